"""An objective and its derivatives at given points: written down, drawn, and checked."""

import csv
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor
from torch.func import jacrev, vmap

from ..errors import RunError, UsageError
from ..objectives import Comparison, Objective, compare
from ..runs.folder import Run, tensorboard

Function = Callable[[Tensor], Tensor]

#: what the derivatives are called in the table and the figure, by order
NAMES = ("value", "first_derivative", "second_derivative")

CLOSED_FORM = "closed form"


@dataclass(frozen=True)
class WithoutClosedForm(Objective):
    """A plain function of a tensor, of any shape, as an objective: its derivatives are autograd's.

    Args:
        function: it must be fit for `torch.func`.
    """

    function: Function

    def __call__(self, theta: Tensor) -> Tensor:
        """Return the value at theta, whatever its shape."""
        return self.value(theta)

    def value(self, theta: Tensor) -> Tensor:
        """Return the function's value."""
        return self.function(theta)

    def jacobian(self, theta: Tensor) -> Tensor:
        """Return the first derivative, by reverse mode."""
        first: Tensor = jacrev(self.function)(theta)
        return first

    def hessian(self, theta: Tensor) -> Tensor:
        """Return the second derivative, by reverse mode twice."""
        second: Tensor = jacrev(jacrev(self.function))(theta)
        return second

    @property
    def name(self) -> str:
        """The function's own name."""
        return str(getattr(self.function, "__name__", type(self.function).__name__))


def as_objective(function: Objective | Function) -> Objective:
    """Return an objective as it is, and any other function as one without a closed form."""
    return function if isinstance(function, Objective) else WithoutClosedForm(function)


def derivatives(objective: Function, points: Tensor, orders: int = 2) -> list[Tensor]:
    r"""Return an objective's value and its derivatives by autograd, in reverse mode.

    .. math:: f(\theta_i), \quad \frac{\partial f}{\partial\theta}(\theta_i), \quad
        \frac{\partial^2 f}{\partial\theta^2}(\theta_i), \qquad i = 1, \dots, n

    Shapes: points: (n, *s). Value: (n, *r). Derivatives: (n, *r, *s) and (n, *r, *s, *s).

    Args:
        objective: f, a function of one point that is fit for `torch.func`.
        points: one along the first axis.
        orders: the highest order of the derivatives.

    Returns:
        The value and each derivative, by order.

    Example:
        >>> [d.tolist() for d in derivatives(torch.square, torch.tensor([1.0, 3.0]))]
        [[1.0, 9.0], [2.0, 6.0], [2.0, 2.0]]
    """
    found = []
    for _ in range(orders + 1):
        found.append(vmap(objective)(points))
        objective = jacrev(objective)
    return found


def comparisons(objective: Objective, points: Tensor, orders: int = 2) -> list[Comparison]:
    """Hold every two ways to a derivative against each other, at each point.

    Args:
        objective: what to check; one without a closed form is checked without it.
        points: one along the first axis, float64.
        orders: the highest order of the derivatives, 1 or 2.

    Returns:
        The rows of `descentlab.objectives.compare` at all points, point by point.
    """
    objective(points[0])  # says what is wrong with the shape, which the closed forms do not
    rows = [row for point in points for row in compare(objective, point, range(1, orders + 1))]
    if isinstance(objective, WithoutClosedForm):
        return [row for row in rows if CLOSED_FORM not in (row.method_a, row.method_b)]
    return rows


def share_of_bound(row: Comparison) -> float:
    """Return the error of a comparison over what is allowed; infinite if it is not a number."""
    share = row.error / row.bound
    return math.inf if math.isnan(share) else share


def largest_error(rows: Sequence[Comparison]) -> float:
    """Return how far apart two values are at most; infinite if one is not a number."""
    return max(math.inf if math.isnan(row.error) else row.error for row in rows)


def write_table(path: Path, points: Tensor, found: Sequence[Tensor]) -> None:
    """Write points, values and derivatives as CSV, every number in full.

    Args:
        path: the file; its folder is made.
        points: one along the first axis.
        found: what `derivatives` returned. Elements of what is not a number have a column each,
            such as `first_derivative[0][1]`.
    """
    parts = [points, *found]
    header = [
        name + "".join(f"[{i}]" for i in index)
        for name, part in zip(("point", *NAMES), parts, strict=False)
        for index in product(*(range(length) for length in part.shape[1:]))
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(torch.cat([part.reshape(len(points), -1) for part in parts], 1).tolist())


def summary_table(rows: Sequence[Comparison], points: int) -> str:
    """Return the largest error of each order as a table, with its largest share of the bound.

    Args:
        rows: what `comparisons` returned.
        points: how many points there are.
    """
    lines = [f"{'objective':<22}{'order':>6}{'points':>8}{'largest error':>16}{'error/bound':>14}"]
    for order in sorted({row.order for row in rows}):
        of_order = [row for row in rows if row.order == order]
        error = largest_error(of_order)
        share = max(map(share_of_bound, of_order))
        name = of_order[0].objective
        lines.append(f"{name:<22}{order:>6}{points:>8}{error:>16.1e}{share:>14.2g}")
    return "\n".join(lines)


@contextmanager
def following(objective: Objective, points: Tensor) -> Iterator[Tensor]:
    """Let autograd follow, also inside Lightning's inference mode, and give float64 points.

    Raises:
        UsageError: if the objective cannot be evaluated or followed.
    """
    with torch.inference_mode(False), torch.enable_grad():
        try:
            yield points.double().clone()  # a clone is no inference tensor
        except UsageError:
            raise
        except (RuntimeError, TypeError, ValueError, IndexError) as error:
            raise UsageError(
                f"objective {objective.name} cannot be differentiated at points of shape "
                f"{tuple(points.shape[1:])}: {error}"
            ) from error


class Derivatives(LightningModule):
    """Evaluate an objective and its derivatives, in float64 whatever the trainer's precision.

    It has nothing to train. `predict` writes `derivatives.csv` into the run's folder and, where
    point and value are numbers, draws `figures/derivatives` with one panel per order: all by
    autograd. `test` holds autograd in reverse and forward mode, the closed form and finite
    differences against each other, and fails with the two values that differ.

    Args:
        objective: a class of `descentlab.objectives`, or any function of a tensor by its import
            path; the latter has no closed form, and the other three are compared.
        orders: the highest order of the derivatives, 1 or 2.

    Raises:
        UsageError: if orders is neither 1 nor 2.
    """

    def __init__(self, objective: Objective | Callable[..., Any], orders: int = 2) -> None:
        super().__init__()
        if orders not in (1, 2):
            raise UsageError(f"orders = {orders}: derivatives are evaluated up to order 1 or 2")
        self.objective = as_objective(objective)
        self.orders = orders
        self._batches: list[list[Tensor]] = []
        self._rows: list[Comparison] = []
        self._count = 0

    def forward(self, points: Tensor) -> list[Tensor]:
        """Return the value and each derivative at the points, which lie along the first axis."""
        with following(self.objective, points) as exact:
            return derivatives(self.objective, exact, self.orders)

    def on_predict_start(self) -> None:
        """Forget earlier batches."""
        self._batches = []

    def predict_step(self, batch: Tensor, batch_idx: int) -> list[Tensor]:
        """Return the value and each derivative at the points of a batch."""
        found: list[Tensor] = self(batch)
        self._batches.append([part.cpu() for part in (batch.double(), *found)])
        return found

    def on_predict_epoch_end(self) -> None:
        """Write the table and the figure."""
        points, *found = (torch.cat(parts) for parts in zip(*self._batches, strict=True))
        run = Run.of(self.trainer)
        if not self.trainer.is_global_zero or getattr(self.trainer, "fast_dev_run", False):
            return
        table = run.folder / "derivatives.csv"
        write_table(table, points, found)
        self.print(f"{self.objective.name} at {len(points)} points: {table}")
        if points.dim() == found[0].dim() == 1:
            self._draw(run.figures / "derivatives", points, found)

    def on_test_start(self) -> None:
        """Forget earlier comparisons."""
        self._rows, self._count = [], 0

    def test_step(self, batch: Tensor, batch_idx: int) -> None:
        """Compare at the points of a batch."""
        with following(self.objective, batch) as exact:
            self._rows += comparisons(self.objective, exact, self.orders)
        self._count += len(batch)

    def on_test_epoch_end(self) -> None:
        """Print the table of the largest errors, and log the largest of all."""
        self.print(summary_table(self._rows, self._count))
        worst = max(map(share_of_bound, self._rows))
        self.log_dict({"error/largest": largest_error(self._rows), "error/of_bound": worst})

    def on_test_end(self) -> None:
        """Fail if two ways to a derivative differ.

        Raises:
            RunError: naming the objective, the point and the two values that are furthest apart.
        """
        wrong = [row for row in self._rows if not row.agrees]
        if wrong:
            points = len({str(row.point) for row in wrong})
            worst = max(wrong, key=share_of_bound)
            raise RunError(f"{worst}; {points} of {self._count} points have such a difference")

    def _draw(self, path: Path, points: Tensor, found: Sequence[Tensor]) -> None:
        """Keep the figure in the run's folder and in TensorBoard, where there is one."""
        from ..drawing.curves import derivative_figure, pixels, save_figure

        panels = {name: part.tolist() for name, part in zip(NAMES, found, strict=False)}
        figure = derivative_figure(self.objective.name, points.tolist(), panels)
        save_figure(figure, path)
        writer = tensorboard(self.trainer)
        if writer is not None:
            writer.add_image(f"figure/{path.name}", pixels(figure), 0, dataformats="HWC")
            writer.flush()
