"""Sums and means of a function of each element: their Hessians are diagonal."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from .objective import Objective, diagonal


@dataclass(frozen=True)
class CubicMinusSquare(Objective):
    r"""The notebook's cubic toy: a sum over columns, not a mean.

    .. math::
        f(a, b) = \sum_i \left(3 a_i^3 - b_i^2\right), \qquad
        \partial f / \partial a_i = 9 a_i^2, \qquad \partial f / \partial b_i = -2 b_i

    The second derivatives are :math:`18 a_i` and :math:`-2`. It is not bounded below.

    Shapes: theta: (2, n), the rows a and b. Value: ().

    Example:
        >>> theta = torch.tensor([[2.0, 3.0], [6.0, 4.0]])
        >>> CubicMinusSquare()(theta)
        tensor(53.)
        >>> CubicMinusSquare().gradient(theta)
        tensor([[ 36.,  81.],
                [-12.,  -8.]])

    Reference:
        Handout entries: AG-1 to AG-7.
    """

    shape: ClassVar[tuple[int | str, ...]] = (2, "n")
    first_guess: ClassVar[tuple[tuple[float, ...], ...]] = ((2.0, 3.0), (6.0, 4.0))

    def value(self, theta: Tensor) -> Tensor:
        """Return the sum of cubes less squares."""
        a, b = theta.unbind()
        return (3 * a**3 - b**2).sum()

    def gradient(self, theta: Tensor) -> Tensor:
        """Return the rows 9 a² and -2 b."""
        a, b = theta.unbind()
        return torch.stack((9 * a**2, -2 * b))

    def hessian(self, theta: Tensor) -> Tensor:
        """Return 18 a and -2 on the diagonal."""
        a, b = theta.unbind()
        return diagonal(torch.stack((18 * a, -2 * torch.ones_like(b))))


@dataclass(frozen=True)
class MeanLog(Objective):
    r"""A mean of logarithms on a slope.

    .. math::
        f(x) = \frac1n \sum_i \left(\ln(x_i^2 + 1) + k x_i\right), \qquad
        \frac{\partial f}{\partial x_i} = \frac1n \left(\frac{2 x_i}{x_i^2 + 1} + k\right), \qquad
        H_{ii} = \frac1n \frac{2\,(1 - x_i^2)}{(x_i^2 + 1)^2}

    With the handout's k = 5 every slope is at least 4/n, so there is no minimum.

    Shapes: theta (x): (n,). Value: ().

    Args:
        slope: k.

    Example:
        >>> MeanLog().gradient(torch.arange(5.0))
        tensor([1.0000, 1.2000, 1.1600, 1.1200, 1.0941])

    Reference:
        Handout entry: DI-8.
    """

    slope: float = 5.0

    shape: ClassVar[tuple[int | str, ...]] = ("n",)
    first_guess: ClassVar[tuple[float, ...]] = (0.0, 1.0, 2.0, 3.0, 4.0)

    def value(self, theta: Tensor) -> Tensor:
        """Return the mean over the elements."""
        return (torch.log(theta**2 + 1) + self.slope * theta).mean()

    def gradient(self, theta: Tensor) -> Tensor:
        """Return each element's slope, over n."""
        return (2 * theta / (theta**2 + 1) + self.slope) / theta.numel()

    def hessian(self, theta: Tensor) -> Tensor:
        """Return each element's curvature, over n, on the diagonal."""
        return diagonal(2 * (1 - theta**2) / (theta**2 + 1) ** 2 / theta.numel())
