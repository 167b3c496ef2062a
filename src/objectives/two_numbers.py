"""Functions of two numbers on which optimizers are tried: valleys, plateaus and several minima."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from .objective import Objective


class OfTwoNumbers(Objective):
    """An objective f(x, y), by formulas that take numbers as well as tensors.

    Shapes: theta (x, y): (2,). Value: ().
    """

    shape: ClassVar[tuple[int | str, ...]] = (2,)
    minimisers: ClassVar[tuple[tuple[float, float], ...]] = ()
    """All global minimisers."""

    @abstractmethod
    def height(self, x: Any, y: Any) -> Any:
        """Return f."""

    @abstractmethod
    def slopes(self, x: Any, y: Any) -> tuple[Any, Any]:
        """Return the first derivatives by x and by y."""

    @abstractmethod
    def curvatures(self, x: Any, y: Any) -> tuple[Any, Any, Any]:
        """Return the second derivatives by x twice, by both, and by y twice."""

    def value(self, theta: Tensor) -> Tensor:
        """Return the height."""
        height: Tensor = self.height(*theta)
        return height

    def gradient(self, theta: Tensor) -> Tensor:
        """Return the slopes, (2,)."""
        return torch.stack(self.slopes(*theta))

    def hessian(self, theta: Tensor) -> Tensor:
        """Return the curvatures, (2, 2)."""
        xx, xy, yy = (each + 0 * theta[0] for each in self.curvatures(*theta))
        return torch.stack([torch.stack([xx, xy]), torch.stack([xy, yy])])

    @property
    def minimiser(self) -> Tensor | None:
        """The first of the minimisers, or None where none is known."""
        if not self.minimisers:
            return None
        return torch.tensor(self.minimisers[0], dtype=torch.float64)


@dataclass(frozen=True)
class Rosenbrock(OfTwoNumbers):
    r"""Rosenbrock's valley: narrow, curved, and slow to follow.

    .. math:: f(x, y) = (a - x)^2 + b\,(y - x^2)^2

    The minimiser is :math:`(a, a^2)`, of value 0, where b is above 0.

    Shapes: theta (x, y): (2,). Value: ().

    Args:
        a: where the floor of the valley is lowest.
        b: the steepness of its walls.

    Example:
        >>> Rosenbrock()(torch.tensor([-1.0, 1.0]))
        tensor(4.)

    Reference:
        Rosenbrock (1960), An automatic method for finding the greatest or least value of a
        function; the start is his.
    """

    a: float = 1.0
    b: float = 100.0

    first_guess: ClassVar[tuple[float, ...]] = (-1.2, 1.0)

    def height(self, x: Any, y: Any) -> Any:
        """Return f."""
        return (self.a - x) ** 2 + self.b * (y - x * x) ** 2

    def slopes(self, x: Any, y: Any) -> tuple[Any, Any]:
        """Return the first derivatives by x and by y."""
        along_y = 2 * self.b * (y - x * x)
        return 2 * (x - self.a) - 2 * x * along_y, along_y

    def curvatures(self, x: Any, y: Any) -> tuple[Any, Any, Any]:
        """Return the second derivatives by x twice, by both, and by y twice."""
        return 2 - 4 * self.b * (y - 3 * x * x), -4 * self.b * x, 2 * self.b

    @property
    def minimiser(self) -> Tensor | None:
        """The lowest point of the valley, or None where it is no valley."""
        if self.b <= 0:
            return None
        return torch.tensor([self.a, self.a**2], dtype=torch.float64)


@dataclass(frozen=True)
class Beale(OfTwoNumbers):
    r"""Beale's function: a plateau with a sharp dip.

    .. math:: f(x, y) = \sum_{k=1}^{3} (c_k - x + x y^k)^2, \qquad c = (1.5,\ 2.25,\ 2.625)

    The minimiser is (3, 0.5), of value 0. A sum, not a mean.

    Shapes: theta (x, y): (2,). Value: ().

    Example:
        >>> Beale()(torch.tensor([3.0, 0.5]))
        tensor(0.)

    Reference:
        Beale (1958), On an iterative method for finding a local minimum of a function of more than
        one variable; Moré, Garbow and Hillstrom (1981), problem 5, which has this start.
    """

    first_guess: ClassVar[tuple[float, ...]] = (1.0, 1.0)
    minimisers: ClassVar[tuple[tuple[float, float], ...]] = ((3.0, 0.5),)

    @staticmethod
    def _off(x: Any, y: Any) -> list[tuple[int, Any]]:
        return [(k, c - x + x * y**k) for k, c in enumerate((1.5, 2.25, 2.625), 1)]

    def height(self, x: Any, y: Any) -> Any:
        """Return f."""
        return sum(off**2 for _, off in self._off(x, y))

    def slopes(self, x: Any, y: Any) -> tuple[Any, Any]:
        """Return the first derivatives by x and by y."""
        off = self._off(x, y)
        along_x = sum(2 * each * (y**k - 1) for k, each in off)
        return along_x, sum(2 * each * x * k * y ** (k - 1) for k, each in off)

    def curvatures(self, x: Any, y: Any) -> tuple[Any, Any, Any]:
        """Return the second derivatives by x twice, by both, and by y twice."""
        xx = xy = yy = 0 * x
        for k, off in self._off(x, y):
            by_x, once = y**k - 1, k * y ** (k - 1)  # once: the derivative of y^k
            twice = k * (k - 1) * y ** max(k - 2, 0)
            xx = xx + 2 * by_x**2
            xy = xy + 2 * once * (x * by_x + off)
            yy = yy + 2 * x * (x * once**2 + off * twice)
        return xx, xy, yy


@dataclass(frozen=True)
class Himmelblau(OfTwoNumbers):
    r"""Himmelblau's function: four minima of one height.

    .. math:: f(x, y) = (x^2 + y - 11)^2 + (x + y^2 - 7)^2

    All four have the value 0; `minimiser` is (3, 2), to which gradient descent goes from the start.

    Shapes: theta (x, y): (2,). Value: ().

    Example:
        >>> Himmelblau()(torch.tensor([3.0, 2.0]))
        tensor(0.)

    Reference:
        Himmelblau (1972), Applied Nonlinear Programming.
    """

    first_guess: ClassVar[tuple[float, ...]] = (0.0, 0.0)
    minimisers: ClassVar[tuple[tuple[float, float], ...]] = (
        (3.0, 2.0),
        (-2.805118086952745, 3.131312518250573),
        (-3.7793102533777469, -3.2831859912861694),
        (3.5844283403304917, -1.8481265269644034),
    )

    def height(self, x: Any, y: Any) -> Any:
        """Return f."""
        return (x * x + y - 11) ** 2 + (x + y * y - 7) ** 2

    def slopes(self, x: Any, y: Any) -> tuple[Any, Any]:
        """Return the first derivatives by x and by y."""
        one, other = x * x + y - 11, x + y * y - 7
        return 4 * x * one + 2 * other, 2 * one + 4 * y * other

    def curvatures(self, x: Any, y: Any) -> tuple[Any, Any, Any]:
        """Return the second derivatives by x twice, by both, and by y twice."""
        one, other = x * x + y - 11, x + y * y - 7
        return 8 * x * x + 4 * one + 2, 4 * (x + y), 8 * y * y + 4 * other + 2


@dataclass(frozen=True)
class Booth(OfTwoNumbers):
    r"""Booth's function: a quadratic bowl that lies askew, of condition 9.

    .. math:: f(x, y) = (x + 2y - 7)^2 + (2x + y - 5)^2

    The minimiser is (1, 3), of value 0; the curvatures are 18 and 2 everywhere.

    Shapes: theta (x, y): (2,). Value: ().

    Example:
        >>> Booth().stable_learning_rate == 1 / 9
        True

    Reference:
        Jamil and Yang (2013), A literature survey of benchmark functions, no. 17.
    """

    first_guess: ClassVar[tuple[float, ...]] = (-5.0, 5.0)
    minimisers: ClassVar[tuple[tuple[float, float], ...]] = ((1.0, 3.0),)

    def height(self, x: Any, y: Any) -> Any:
        """Return f."""
        return (x + 2 * y - 7) ** 2 + (2 * x + y - 5) ** 2

    def slopes(self, x: Any, y: Any) -> tuple[Any, Any]:
        """Return the first derivatives by x and by y."""
        return 10 * x + 8 * y - 34, 8 * x + 10 * y - 38

    def curvatures(self, x: Any, y: Any) -> tuple[Any, Any, Any]:
        """Return the second derivatives by x twice, by both, and by y twice."""
        return 10, 8, 10

    @property
    def largest_curvature(self) -> float:
        """Eighteen, along (1, 1)."""
        return 18.0
