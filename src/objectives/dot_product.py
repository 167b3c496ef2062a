"""Functions of a dot product: their gradients are multiples of one fixed vector."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import UsageError
from .objective import Objective


@dataclass(frozen=True)
class DotObjective(Objective):
    r"""What the functions :math:`g(b^\top x)` share: the vector b.

    .. math:: \nabla_x z = J_y^\top \frac{dg}{dy}, \qquad J_y = b^\top, \qquad y = b^\top x

    Shapes: theta (x): (n,), as long as b. Value: ().

    Args:
        b: the weights.

    Raises:
        UsageError: if b is empty.
    """

    b: tuple[float, ...] = (0.0, 1.0, 2.0, 3.0, 4.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.b:
            raise UsageError(f"{self.name}: b must have at least one element.")

    @property
    def shape(self) -> tuple[int | str, ...]:  # type: ignore[override]  # b is known only here
        """As long as b."""
        return (len(self.b),)

    @property
    def start(self) -> Tensor:
        """Twos, as in the handout."""
        return torch.full((len(self.b),), 2.0, dtype=torch.float64)

    def weights(self, theta: Tensor) -> Tensor:
        """Return b with theta's dtype, on its device."""
        return torch.tensor(self.b, dtype=theta.dtype, device=theta.device)

    def inner(self, theta: Tensor) -> Tensor:
        """Return y = bᵀx."""
        return torch.dot(self.weights(theta), theta)


@dataclass(frozen=True)
class LogDot(DotObjective):
    r"""The logarithm of a dot product.

    .. math::
        z = \ln(b^\top x), \qquad \nabla z = \frac{b}{b^\top x}, \qquad
        H = -\frac{b b^\top}{(b^\top x)^2}

    Defined where :math:`b^\top x > 0`; elsewhere the value is NaN.

    Shapes: theta (x): (n,), as long as b. Value: ().

    Args:
        b: the weights.

    Example:
        >>> LogDot().gradient(torch.full((5,), 2.0))
        tensor([0.0000, 0.0500, 0.1000, 0.1500, 0.2000])

    Reference:
        Handout entry: DI-13.
    """

    def value(self, theta: Tensor) -> Tensor:
        """Return ln y."""
        return torch.log(self.inner(theta))

    def gradient(self, theta: Tensor) -> Tensor:
        """Return b / y."""
        return self.weights(theta) / self.inner(theta)

    def hessian(self, theta: Tensor) -> Tensor:
        """Return -b bᵀ / y²."""
        b = self.weights(theta)
        return -torch.outer(b, b) / self.inner(theta) ** 2


@dataclass(frozen=True)
class ExpDot(DotObjective):
    r"""The exponential of a dot product.

    .. math::
        z = \exp(b^\top x), \qquad \nabla z = b\,\exp(b^\top x), \qquad
        H = b b^\top \exp(b^\top x)

    Shapes: theta (x): (n,), as long as b. Value: ().

    Args:
        b: the weights.

    Example:
        >>> ExpDot(b=(1.0, 2.0)).gradient(torch.zeros(2))
        tensor([1., 2.])

    Reference:
        Handout entry: DI-14.
    """

    def value(self, theta: Tensor) -> Tensor:
        """Return exp y."""
        return torch.exp(self.inner(theta))

    def gradient(self, theta: Tensor) -> Tensor:
        """Return b exp y."""
        return self.weights(theta) * torch.exp(self.inner(theta))

    def hessian(self, theta: Tensor) -> Tensor:
        """Return b bᵀ exp y."""
        b = self.weights(theta)
        return torch.outer(b, b) * torch.exp(self.inner(theta))
