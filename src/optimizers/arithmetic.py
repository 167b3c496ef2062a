r"""The operations that update rules are made of, for a factor that is a number or a tensor.

With a number they are torch's own, which round once where a product and a sum would round twice.
A tensor, float64, is one factor for all or has one for each member of a sweep, (M, 1, …); it is
rounded to the precision of what it acts on, or to float32 where that is lower.
"""

from collections.abc import Callable

import torch
from torch import Tensor

#: a number; or float64 without dimensions, or with one value for each member, (M, 1, …)
Factor = float | Tensor


def scaled(target: Tensor, factor: Factor) -> Tensor:
    r"""Return a multiple of a tensor: :math:`c\,a`.

    Example:
        >>> scaled(torch.ones(2), 0.5)
        tensor([0.5000, 0.5000])
    """
    if isinstance(factor, Tensor):
        return _rounded_once(torch.mul, target, factor)
    return target * factor


def add_scaled(target: Tensor, direction: Tensor, factor: Factor) -> Tensor:
    r"""Return a tensor plus a multiple of another: :math:`a + c\,d`.

    Example:
        >>> add_scaled(torch.zeros(2), torch.ones(2), 0.5)
        tensor([0.5000, 0.5000])
        >>> factors = torch.tensor([[0.5], [2.0]], dtype=torch.float64)
        >>> add_scaled(torch.zeros(2, 1), torch.ones(2, 1), factors).flatten()
        tensor([0.5000, 2.0000])
    """
    if isinstance(factor, Tensor):
        # in half precision torch rounds this factor, and no other, before it multiplies
        return _rounded_once(torch.addcmul, target, direction, factor.to(target.dtype))
    return target.add(direction, alpha=factor)


def add_product(target: Tensor, one: Tensor, other: Tensor, factor: Factor) -> Tensor:
    r"""Return a tensor plus a multiple of a product: :math:`a + c\,u v`.

    Example:
        >>> add_product(torch.ones(1), torch.tensor([3.0]), torch.tensor([4.0]), 0.5)
        tensor([7.])
    """
    if isinstance(factor, Tensor):
        return _rounded_once(lambda a, u, v, c: a.addcmul(c * u, v), target, one, other, factor)
    return target.addcmul(one, other, value=factor)


def add_quotient(target: Tensor, numerator: Tensor, denominator: Tensor, factor: Factor) -> Tensor:
    r"""Return a tensor plus a multiple of a quotient: :math:`a + c\,u / v`.

    Example:
        >>> add_quotient(torch.ones(1), torch.tensor([3.0]), torch.tensor([4.0]), 2.0)
        tensor([2.5000])
    """
    if isinstance(factor, Tensor):
        return _rounded_once(
            lambda a, u, v, c: a.addcdiv(c * u, v), target, numerator, denominator, factor
        )
    return target.addcdiv(numerator, denominator, value=factor)


def interpolated(start: Tensor, end: Tensor, weight: Factor) -> Tensor:
    r"""Return the point between two tensors: :math:`a + c\,(b - a)`.

    Example:
        >>> interpolated(torch.zeros(1), torch.ones(1), 0.25)
        tensor([0.2500])
    """
    if isinstance(weight, Tensor):
        return _rounded_once(torch.lerp, start, end, weight)
    return start.lerp(end, weight)


def _rounded_once(operation: Callable[..., Tensor], target: Tensor, *others: Tensor) -> Tensor:
    """Compute as torch does in half precision, in float32, and round to the target's precision."""
    wide = torch.promote_types(target.dtype, torch.float32)
    result = operation(target.to(wide), *(other.to(wide) for other in others))
    return result.to(target.dtype)
