"""Quadratic objectives: the only ones whose every step of gradient descent is known in advance."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..errors import UsageError
from .objective import Objective, diagonal


@dataclass(frozen=True)
class Square(Objective):
    r"""The square of a number.

    .. math:: f(\theta) = \theta^2, \qquad f' = 2\theta, \qquad f'' = 2

    Gradient descent gives :math:`\theta_k = \theta_0 (1 - 2\gamma)^k`.

    Shapes: theta: (). Value: ().

    Example:
        >>> Square().gradient(torch.tensor(3.0))
        tensor(6.)
        >>> Square().stable_learning_rate
        1.0

    Reference:
        Handout entry: LG-1.
    """

    first_guess: ClassVar[float] = 1.0

    def value(self, theta: Tensor) -> Tensor:
        """Return the square."""
        return theta**2

    def gradient(self, theta: Tensor) -> Tensor:
        """Return twice theta."""
        return 2 * theta

    def hessian(self, theta: Tensor) -> Tensor:
        """Return 2."""
        return 2 * torch.ones_like(theta)

    @property
    def minimiser(self) -> Tensor:
        """Zero."""
        return torch.zeros((), dtype=torch.float64)

    @property
    def largest_curvature(self) -> float:
        """Two."""
        return 2.0


@dataclass(frozen=True)
class SquaredNorm(Objective):
    r"""The squared 2-norm of a vector: a sum, not a mean.

    .. math:: f(\theta) = \sum_i \theta_i^2, \qquad \nabla f = 2\theta, \qquad H = 2I

    Gradient descent gives :math:`\theta_k = (1 - 2\gamma)^k \theta_0`.

    Shapes: theta: (n,). Value: ().

    Example:
        >>> SquaredNorm()(torch.tensor([1.0, -1.0]))
        tensor(2.)

    Reference:
        Handout entry: LG-2.
    """

    shape: ClassVar[tuple[int | str, ...]] = ("n",)
    first_guess: ClassVar[tuple[float, ...]] = (1.0, -1.0)

    def value(self, theta: Tensor) -> Tensor:
        """Return the sum of squares."""
        return (theta**2).sum()

    def gradient(self, theta: Tensor) -> Tensor:
        """Return twice theta."""
        return 2 * theta

    def hessian(self, theta: Tensor) -> Tensor:
        """Return twice the unit matrix."""
        return diagonal(2 * torch.ones_like(theta))

    @property
    def minimiser(self) -> Tensor:
        """Zero, for every length."""
        return torch.zeros((), dtype=torch.float64)

    @property
    def largest_curvature(self) -> float:
        """Two."""
        return 2.0


@dataclass(frozen=True)
class QuadraticWithLinear(Objective):
    r"""A parabola through the origin.

    .. math:: f(x) = a x^2 + b x, \qquad f' = 2 a x + b, \qquad f'' = 2a

    The minimiser is :math:`-b / 2a` where a > 0; otherwise there is none.

    Shapes: theta (x): (). Value: ().

    Args:
        quadratic: a.
        linear: b; zero gives the handout's :math:`3x^2`.

    Example:
        >>> QuadraticWithLinear()(torch.tensor(5.0))
        tensor(80.)

    Reference:
        Handout entries: DI-2, and with ``linear=0`` DI-7.
    """

    quadratic: float = 3.0
    linear: float = 1.0

    first_guess: ClassVar[float] = 5.0

    def value(self, theta: Tensor) -> Tensor:
        """Return the parabola's height."""
        return self.quadratic * theta**2 + self.linear * theta

    def gradient(self, theta: Tensor) -> Tensor:
        """Return the parabola's slope."""
        return 2 * self.quadratic * theta + self.linear

    def hessian(self, theta: Tensor) -> Tensor:
        """Return twice the quadratic coefficient."""
        return 2 * self.quadratic * torch.ones_like(theta)

    @property
    def minimiser(self) -> Tensor | None:
        """The vertex, or None where the parabola does not open upwards."""
        if self.quadratic <= 0:
            return None
        return torch.tensor(-self.linear / (2 * self.quadratic), dtype=torch.float64)

    @property
    def largest_curvature(self) -> float:
        """Twice the quadratic coefficient."""
        return 2.0 * self.quadratic


@dataclass(frozen=True)
class IllConditionedQuadratic(Objective):
    r"""A bowl of any condition number, of as many dimensions as theta has.

    .. math::
        f(\theta) = \frac12 \sum_{i=1}^{n} \lambda_i \theta_i^2, \qquad
        \lambda_i = \kappa^{-(i-1)/(n-1)}, \qquad
        \nabla f = \lambda \odot \theta, \qquad H = \operatorname{diag}\lambda

    The curvatures go from 1 down to :math:`1/\kappa`, evenly in the logarithm; of one dimension
    there is the first alone. Gradient descent is stable below 2, and then needs about
    :math:`\kappa` steps for a digit. A sum, not a mean.

    Shapes: theta: (n,). Value: ().

    Args:
        condition: :math:`\kappa`, at least 1.

    Raises:
        UsageError: if condition is below 1.

    Example:
        >>> IllConditionedQuadratic(condition=100.0).gradient(torch.ones(3))
        tensor([1.0000, 0.1000, 0.0100])

    Reference:
        Nesterov (2004), Introductory Lectures on Convex Optimization, section 2.1.
    """

    condition: float = 100.0

    shape: ClassVar[tuple[int | str, ...]] = ("n",)
    first_guess: ClassVar[tuple[float, ...]] = (1.0, 1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.condition < 1:
            raise UsageError(f"{self.name}: condition must be >= 1, not {self.condition}.")

    def curvatures(self, theta: Tensor) -> Tensor:
        """Return the curvature along each axis, (n,)."""
        last, count = -math.log10(self.condition), theta.shape[-1]
        return torch.logspace(0, last, count, dtype=theta.dtype, device=theta.device)

    def value(self, theta: Tensor) -> Tensor:
        """Return the height of the bowl."""
        return (self.curvatures(theta) * theta**2).sum() / 2

    def gradient(self, theta: Tensor) -> Tensor:
        """Return each number times the curvature along it."""
        return self.curvatures(theta) * theta

    def hessian(self, theta: Tensor) -> Tensor:
        """Return the curvatures on the diagonal."""
        return diagonal(self.curvatures(theta))

    @property
    def minimiser(self) -> Tensor:
        """Zero, for every length."""
        return torch.zeros((), dtype=torch.float64)

    @property
    def largest_curvature(self) -> float:
        """One."""
        return 1.0
