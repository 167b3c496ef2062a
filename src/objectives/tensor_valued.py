"""Objectives with more indices than a gradient has: a vector-valued one, and one of a matrix."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from .objective import Objective


@dataclass(frozen=True)
class VectorPair(Objective):
    r"""Two functions of two numbers.

    .. math::
        f(x, y) = \begin{pmatrix} x^2 + y^2 \\ 2 x^2 y^2 \end{pmatrix}, \qquad
        J = \begin{pmatrix} 2x & 2y \\ 4 x y^2 & 4 x^2 y \end{pmatrix}

    It has a Jacobian and no gradient; `hessian` stacks the Hessians of both functions.

    Shapes: theta: (2,), x and y. Value: (2,). Jacobian: (2, 2), one row a function.
    Hessian: (2, 2, 2), the first index the function.

    Example:
        >>> VectorPair().jacobian(torch.tensor([1.0, 2.0]))
        tensor([[ 2.,  4.],
                [16.,  8.]])

    Reference:
        Handout entry: PS-1.3.
    """

    shape: ClassVar[tuple[int | str, ...]] = (2,)
    first_guess: ClassVar[tuple[float, ...]] = (1.376, 2.123)

    def value(self, theta: Tensor) -> Tensor:
        """Return both functions."""
        x, y = theta.unbind()
        return torch.stack((x**2 + y**2, 2 * x**2 * y**2))

    def jacobian(self, theta: Tensor) -> Tensor:
        """Return the gradient of each function as a row."""
        x, y = theta.unbind()
        return torch.stack((2 * x, 2 * y, 4 * x * y**2, 4 * x**2 * y)).reshape(2, 2)

    def hessian(self, theta: Tensor) -> Tensor:
        """Return the Hessian of each function."""
        x, y = theta.unbind()
        two, mixed = 2 * torch.ones_like(x), 8 * x * y
        first = (two, torch.zeros_like(x), torch.zeros_like(x), two)
        second = (4 * y**2, mixed, mixed, 4 * x**2)
        return torch.stack(first + second).reshape(2, 2, 2)


@dataclass(frozen=True)
class TraceOfSquare(Objective):
    r"""The trace of a square matrix times itself.

    .. math::
        f(A) = \operatorname{tr}(A^2) = \sum_{ij} A_{ij} A_{ji}, \qquad
        \nabla f = 2 A^\top, \qquad
        \frac{\partial^2 f}{\partial A_{ij}\,\partial A_{kl}} = 2\,\delta_{il}\,\delta_{jk}

    The curvature is 2 along symmetric and -2 along antisymmetric matrices: a saddle, so that
    there is a largest curvature but no minimiser and no stable learning rate.

    Shapes: theta (A): (n, n). Value: (). Gradient: (n, n). Hessian: (n, n, n, n).

    Example:
        >>> TraceOfSquare().gradient(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
        tensor([[2., 6.],
                [4., 8.]])

    Reference:
        Handout entry: PS-1.4.
    """

    shape: ClassVar[tuple[int | str, ...]] = ("n", "n")
    first_guess: ClassVar[tuple[tuple[float, ...], ...]] = ((1.0, 2.0), (3.0, 4.0))

    def value(self, theta: Tensor) -> Tensor:
        """Return the trace."""
        return torch.trace(theta @ theta)

    def gradient(self, theta: Tensor) -> Tensor:
        """Return twice the transpose."""
        return 2 * theta.mT

    def hessian(self, theta: Tensor) -> Tensor:
        """Return twice the permutation that transposes."""
        unit = torch.eye(theta.shape[-1], dtype=theta.dtype, device=theta.device)
        return 2 * torch.einsum("il,jk->ijkl", unit, unit)

    @property
    def largest_curvature(self) -> float:
        """Two, along symmetric matrices."""
        return 2.0
