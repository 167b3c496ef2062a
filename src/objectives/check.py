"""Hold an objective's closed forms against autograd, in both modes, and finite differences."""

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import torch
from torch import Tensor
from torch.func import jacfwd, jacrev

from ..errors import UsageError
from .finite_differences import central_difference
from .objective import Objective

RELATIVE = 1e-12
"""Allowed between methods that are exact, relative to the derivative's scale (see `_scale`)."""


@dataclass(frozen=True)
class Comparison:
    """Two methods' values of one derivative at one point, where they differ most.

    Args:
        objective: the name of its class.
        order: of the derivative: 1 or 2.
        point: theta, as nested lists.
        index: of the element of the derivative at which the two differ most.
        method_a: one of "closed form", "reverse mode", "forward mode", "finite differences".
        value_a: what it gave there.
        method_b: another one.
        value_b: what that gave.
        error: how far apart they are there.
        bound: how far apart they may be there.
    """

    objective: str
    order: int
    point: Any
    index: tuple[int, ...]
    method_a: str
    value_a: float
    method_b: str
    value_b: float
    error: float
    bound: float

    @property
    def agrees(self) -> bool:
        """Whether the error is within the bound; never, if either value is not a number."""
        return self.error <= self.bound

    def __str__(self) -> str:
        """Say which two methods gave what, where."""
        element = f"[{', '.join(map(str, self.index))}]" if self.index else ""
        return (
            f"{self.objective}, derivative {self.order}{element} at {self.point}: "
            f"{self.method_a} {self.value_a!r}, {self.method_b} {self.value_b!r} "
            f"(apart {self.error:.1e}, allowed {self.bound:.1e})"
        )


def _estimates(objective: Objective, theta: Tensor, order: int) -> dict[str, tuple[Tensor, Tensor]]:
    """Return each method's derivative and the bound of its error."""
    lower: Callable[[Tensor], Tensor] = objective if order == 1 else jacrev(objective)
    forward: Callable[[Tensor], Tensor] = objective if order == 1 else jacfwd(objective)
    closed = objective.jacobian(theta) if order == 1 else objective.hessian(theta)
    exact = {
        "closed form": closed,
        "reverse mode": jacrev(lower)(theta),
        "forward mode": _forward_mode(forward, theta),
    }
    bound = RELATIVE * _scale(lower, theta)
    found = {method: (value, bound.expand_as(value)) for method, value in exact.items()}
    if not _beside_a_kink(objective, theta):
        found["finite differences"] = central_difference(lower, theta)
    return found


def _scale(lower: Callable[[Tensor], Tensor], theta: Tensor) -> Tensor:
    r"""Return the scale of rounding errors in a derivative, from autograd alone.

    .. math:: \max(1,\ \max|D|,\ \max \textstyle\sum_j |\partial_j D\, \theta_j|), \qquad D = g'

    The last term is what a relative change of theta does: it counts where terms of D cancel, as
    near the minimiser of a steep parabola.
    """
    derivative: Callable[[Tensor], Tensor] = jacrev(lower)
    moved = jacrev(derivative)(theta) * theta
    per_element = moved.abs().flatten(-theta.dim()).sum(-1) if theta.dim() else moved.abs()
    largest = torch.maximum(derivative(theta).abs().max(), per_element.max())
    return largest.clamp(min=1.0)


def _forward_mode(function: Callable[[Tensor], Tensor], theta: Tensor) -> Tensor:
    """Return the Jacobian by forward mode."""
    with warnings.catch_warnings():  # torch warns of its own jit.script when first asked for this
        warnings.filterwarnings("ignore", message=".*torch.jit.script", category=DeprecationWarning)
        jacobian: Tensor = jacfwd(function)(theta)
    return jacobian


def _beside_a_kink(objective: Objective, theta: Tensor) -> bool:
    """Whether finite differences at theta would straddle a kink, and so mean nothing."""
    reach = 2 * torch.finfo(theta.dtype).eps ** (1 / 3) * theta.abs().clamp(min=1.0)
    return any(bool(((theta - kink).abs() <= reach).any()) for kink in objective.kinks)


def compare(
    objective: Objective, theta: Tensor, orders: Iterable[int] = (1, 2)
) -> list[Comparison]:
    """Hold every two methods against each other at one point.

    Derivatives come from the closed form, autograd in reverse and in forward mode, and central
    differences (of the value, and of the reverse-mode first derivative). The last are left out
    beside a kink, where they mean nothing: there the convention is what the other three agree on.

    Args:
        objective: what to check.
        theta: where; float64, of the objective's shape.
        orders: of the derivatives: 1, 2 or both.

    Returns:
        One row for each order and pair of methods, with the element that is furthest out of bounds.

    Raises:
        UsageError: if theta is not float64 or an order is neither 1 nor 2.

    Example:
        >>> from descentlab.objectives import Square
        >>> rows = compare(Square(), torch.tensor(3.0, dtype=torch.float64))
        >>> len(rows), all(row.agrees for row in rows)
        (12, True)
    """
    if theta.dtype != torch.float64:
        raise UsageError(f"Derivatives are compared in float64, not in {theta.dtype}.")
    theta = theta.detach()
    rows = []
    for order in orders:
        if order not in (1, 2):
            raise UsageError(f"There are derivatives of order 1 and 2 to compare, not {order}.")
        found = _estimates(objective, theta, order)
        for (a, (value_a, bound_a)), (b, (value_b, bound_b)) in combinations(found.items(), 2):
            bound = torch.maximum(bound_a, bound_b)
            place = _worst(value_a, value_b, bound)
            first, second, allowed = (float(x[place]) for x in (value_a, value_b, bound))
            rows.append(
                Comparison(
                    objective=objective.name,
                    order=order,
                    point=theta.tolist(),
                    index=place,
                    method_a=a,
                    value_a=first,
                    method_b=b,
                    value_b=second,
                    error=abs(first - second),
                    bound=allowed,
                )
            )
    return rows


def _worst(a: Tensor, b: Tensor, bound: Tensor) -> tuple[int, ...]:
    """Return the index of the element that is furthest out of bounds; NaN is further than all."""
    place = ((a - b).abs() / bound).argmax()
    return tuple(int(i) for i in torch.unravel_index(place, a.shape))


def disagreements(
    objective: Objective, theta: Tensor, orders: Iterable[int] = (1, 2)
) -> list[Comparison]:
    """Return the rows of `compare` in which two methods differ by more than they may.

    Args:
        objective: what to check.
        theta: where; float64, of the objective's shape.
        orders: of the derivatives: 1, 2 or both.

    Returns:
        The rows; none if the closed forms are right.

    Raises:
        UsageError: as `compare`.
    """
    return [row for row in compare(objective, theta, orders) if not row.agrees]
