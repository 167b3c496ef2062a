"""A derivative from values alone, and how far wrong it may be."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import vmap

ROUNDINGS = 32
"""Rounding errors granted to one evaluation of the function."""


def central_difference(
    function: Callable[[Tensor], Tensor], theta: Tensor
) -> tuple[Tensor, Tensor]:
    r"""Estimate a derivative by central differences, with a bound on the error.

    .. math::
        D(h) = \frac{g(\theta + h) - g(\theta - h)}{2h}, \qquad
        |D(h) - g'| \le |D(2h) - D(h)| + \frac{32\,\varepsilon\,s}{h}, \qquad
        h = \varepsilon^{1/3} \max(1, |\theta|)

    The first term of the bound is three times the leading error :math:`h^2 g'''/6`, measured. The
    second grants each evaluation 32 roundings of :math:`\varepsilon s`, where the scale
    :math:`s = 1 + |g| + \sum_i \max(1, |\theta_i|)\,|D_i|` holds also where terms of g cancel.

    Shapes: theta: any shape s. g: shape r. Both results: r + s.

    Args:
        function: g; it must be fit for `torch.func.vmap`.
        theta: where.

    Returns:
        The derivative, and the bound of its error, element by element.
    """
    flat = theta.reshape(-1)
    epsilon = torch.finfo(theta.dtype).eps
    reach = flat.abs().clamp(min=1.0)
    steps = epsilon ** (1 / 3) * reach

    def slope(scale: int) -> Tensor:
        """Return D(scale * h); the last axis runs over the elements of theta."""
        above, below = flat + scale * torch.diag(steps), flat - scale * torch.diag(steps)
        width = (above - below).diagonal()  # as rounded, which is not exactly 2h
        high = vmap(function)(above.reshape(-1, *theta.shape))
        low = vmap(function)(below.reshape(-1, *theta.shape))
        return (high - low).movedim(0, -1) / width

    estimate = slope(1)
    scale = 1 + function(theta).abs() + (estimate * reach).abs().sum(-1)
    bound = (slope(2) - estimate).abs() + ROUNDINGS * epsilon * scale.unsqueeze(-1) / steps
    shape = estimate.shape[:-1] + theta.shape
    return estimate.reshape(shape), bound.reshape(shape)
