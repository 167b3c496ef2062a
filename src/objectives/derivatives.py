"""The derivatives of any function by autograd, and every two ways to them held together."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import jacrev, vmap

from ..errors import UsageError
from .check import Comparison, compare
from .objective import Objective

Function = Callable[[Tensor], Tensor]

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
