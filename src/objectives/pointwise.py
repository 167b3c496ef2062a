"""Smooth functions of one number."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..errors import UsageError
from .objective import Objective


@dataclass(frozen=True)
class Rational(Objective):
    r"""A bump of height 2 / width², around a centre.

    .. math::
        f(x) = \frac{2}{d^2 + w^2}, \qquad f' = \frac{4 d}{(d^2 + w^2)^2}, \qquad
        f'' = \frac{4\,(3 d^2 - w^2)}{(d^2 + w^2)^3}, \qquad d = c - x

    It has a maximum at c and no minimum: it falls towards zero on both sides.

    Shapes: theta (x): (). Value: ().

    Args:
        center: c.
        width: w, > 0.

    Raises:
        UsageError: if the width is not > 0.

    Example:
        >>> Rational().gradient(torch.tensor(2.0))
        tensor(0.0710)

    Reference:
        Handout entry: PS-1.1 (12/169 at 2).
    """

    center: float = 5.0
    width: float = 2.0

    first_guess: ClassVar[float] = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width <= 0:
            raise UsageError(f"Rational: width must be > 0, not {self.width}.")

    def value(self, theta: Tensor) -> Tensor:
        """Return the height of the bump."""
        return 2 / ((self.center - theta) ** 2 + self.width**2)

    def gradient(self, theta: Tensor) -> Tensor:
        """Return its slope: positive on the left of the centre."""
        distance = self.center - theta
        return 4 * distance / (distance**2 + self.width**2) ** 2

    def hessian(self, theta: Tensor) -> Tensor:
        """Return its curvature: negative between the points of inflection."""
        square = (self.center - theta) ** 2
        return 4 * (3 * square - self.width**2) / (square + self.width**2) ** 3


@dataclass(frozen=True)
class Sigmoid(Objective):
    r"""The logistic function.

    .. math:: s(x) = \frac{1}{1 + e^{-x}}, \qquad s' = s(1 - s), \qquad s'' = s(1 - s)(1 - 2s)

    Shapes: theta (x): (). Value: ().

    Example:
        >>> Sigmoid().gradient(torch.tensor(0.0))
        tensor(0.2500)

    Reference:
        Handout entries: PS-1.2, PS-1.5.
    """

    first_guess: ClassVar[float] = 0.173

    def value(self, theta: Tensor) -> Tensor:
        """Return s."""
        return torch.sigmoid(theta)

    def gradient(self, theta: Tensor) -> Tensor:
        """Return s (1 - s)."""
        s = torch.sigmoid(theta)
        return s * (1 - s)

    def hessian(self, theta: Tensor) -> Tensor:
        """Return s (1 - s) (1 - 2s)."""
        s = torch.sigmoid(theta)
        return s * (1 - s) * (1 - 2 * s)


def sine_with_constant(x: Tensor, c: Tensor | float) -> Tensor:
    r"""Return the slides' two-leaf example, of which c may be a leaf too (DI-4).

    .. math:: y = c \sin x + x + c, \qquad \partial y / \partial c = \sin x + 1

    Shapes: x, c and y: ().

    Args:
        x: where.
        c: a number, or a tensor that autograd follows.

    Returns:
        y.
    """
    return c * torch.sin(x) + x + c


@dataclass(frozen=True)
class SineWithConstant(Objective):
    r"""A sine on a slope.

    .. math:: f(x) = c \sin x + x + c, \qquad f' = c \cos x + 1, \qquad f'' = -c \sin x

    It is not bounded below.

    Shapes: theta (x): (). Value: ().

    Args:
        c: the amplitude, and the constant.

    Example:
        >>> SineWithConstant(c=3.0)(torch.tensor(5.0))
        tensor(5.1232)

    Reference:
        Handout entries: DI-3, DI-5.
    """

    c: float = 3.0

    first_guess: ClassVar[float] = 5.0

    def value(self, theta: Tensor) -> Tensor:
        """Return c sin x + x + c."""
        return sine_with_constant(theta, self.c)

    def gradient(self, theta: Tensor) -> Tensor:
        """Return c cos x + 1."""
        return self.c * torch.cos(theta) + 1

    def hessian(self, theta: Tensor) -> Tensor:
        """Return -c sin x."""
        return -self.c * torch.sin(theta)
