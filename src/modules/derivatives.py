"""An objective and its derivatives at given points: written down, drawn, and checked."""

import csv
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from ..drawing.derivatives import derivative_figure
from ..drawing.figure import files_of
from ..errors import RunError, UsageError
from ..objectives import Comparison, Objective
from ..objectives.derivatives import (
    as_objective,
    comparisons,
    derivatives,
    following,
    largest_error,
    share_of_bound,
)
from ..runs.files import replacing
from ..runs.folder import Run, keep_picture

#: what the derivatives are called in the table and the figure, by order
NAMES = ("value", "first_derivative", "second_derivative")


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
    with replacing(path, newline="") as file:
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
        panels = {name: part.tolist() for name, part in zip(NAMES, found, strict=False)}
        figure = derivative_figure(self.objective.name, points.tolist(), panels)
        keep_picture(self.trainer, path, files_of(figure))
