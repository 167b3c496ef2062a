"""The lecture's non-convex objective, with a kink at its global minimum."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from .objective import Objective


@dataclass(frozen=True)
class WavyKink(Objective):
    r"""A wave that grows, on two straight flanks.

    .. math::
        f(\theta) = \theta\cos 4\theta + 2\,|\theta|, \qquad
        f' = \cos 4\theta - 4\theta\sin 4\theta + 2\operatorname{sign}\theta, \qquad
        f'' = -8\sin 4\theta - 16\theta\cos 4\theta

    Since :math:`f \ge |\theta|`, the kink at 0 is the global minimum, of value 0.

    Convention at the kink: sign(0) = 0, as in `torch.abs`. So `gradient(0)` is 1, one of the
    subgradients, which are the numbers from -1 to 3. Gradient descent therefore does not rest at
    the minimiser. The second derivative does not exist there: `hessian(0)` is that of the smooth
    part, 0.

    Shapes: theta: (). Value: ().

    Example:
        >>> WavyKink().gradient(torch.tensor(0.0))
        tensor(1.)

    Reference:
        Handout entries: DI-10, DI-11.
    """

    first_guess: ClassVar[float] = 0.5
    kinks: ClassVar[tuple[float, ...]] = (0.0,)
    local_minima: ClassVar[tuple[float, ...]] = (
        -4.6990632576469125,
        -3.1214837100367188,
        -1.529166939939435,
        0.6837670176585962,
        2.3291511243203846,
        3.910966323573707,
    )
    """The local minima inside [-5, 5], other than the kink: the zeros of f' where f'' > 0."""

    def value(self, theta: Tensor) -> Tensor:
        """Return the wave and the flanks."""
        return theta * torch.cos(4 * theta) + 2 * theta.abs()

    def gradient(self, theta: Tensor) -> Tensor:
        """Return the slope; at the kink, the one that goes with sign(0) = 0."""
        wave = torch.cos(4 * theta) - 4 * theta * torch.sin(4 * theta)
        return wave + 2 * torch.sign(theta)

    def hessian(self, theta: Tensor) -> Tensor:
        """Return the curvature of the wave: the flanks are straight."""
        return -8 * torch.sin(4 * theta) - 16 * theta * torch.cos(4 * theta)

    @property
    def minimiser(self) -> Tensor:
        """The kink."""
        return torch.zeros((), dtype=torch.float64)
