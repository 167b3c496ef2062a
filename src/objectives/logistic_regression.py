"""Logistic regression on a fixed sample: convex, smooth, and without a constant curvature."""

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from ..errors import UsageError
from .objective import Objective

_NEWTON_STEPS = 50


@dataclass(frozen=True)
class LogisticRegression(Objective):
    r"""The mean logistic loss of two classes of points in the plane, with a ridge penalty.

    .. math::
        f(\theta) = -\frac1n \sum_i \log\sigma(m_i) + \frac{\rho}{2} \lVert\theta\rVert^2, \qquad
        m_i = s_i\, x_i^\top\theta

    .. math::
        \nabla f = -\frac1n \sum_i \sigma(-m_i)\, s_i x_i + \rho\theta, \qquad
        H = \frac1n \sum_i \sigma(m_i)\,\sigma(-m_i)\, x_i x_i^\top + \rho I

    The points are drawn once: half of them of class :math:`s = 1` around (1, 0.5), half of class
    -1 around (-1, -0.5), of standard deviation 1. Since :math:`\rho > 0` there is one minimiser,
    which Newton's method finds to rounding.

    Shapes: theta: (2,). Value: (). Points `x`: (n, 2). Signs `s`: (n,).

    Args:
        n: how many points, at least 2.
        ridge: :math:`\rho`, above 0.
        seed: of the draw, which leaves torch's global generator alone.

    Raises:
        UsageError: if n < 2, or ridge is not above 0.

    Example:
        >>> LogisticRegression()(torch.zeros(2))  # log 2
        tensor(0.6931)

    Reference:
        Cox (1958), The regression analysis of binary sequences.
    """

    n: int = 100
    ridge: float = 0.01
    seed: int = 0
    x: Tensor = field(init=False, repr=False, compare=False)
    s: Tensor = field(init=False, repr=False, compare=False)

    shape: ClassVar[tuple[int | str, ...]] = (2,)
    first_guess: ClassVar[tuple[float, ...]] = (-1.0, 2.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n < 2 or self.ridge <= 0:
            raise UsageError(
                "LogisticRegression: n must be >= 2 and ridge above 0, "
                f"not n={self.n} and ridge={self.ridge}."
            )
        draw = torch.Generator().manual_seed(self.seed)
        signs = 1.0 - 2.0 * (torch.arange(self.n, dtype=torch.float64) % 2)
        noise = torch.randn((self.n, 2), generator=draw, dtype=torch.float64)
        middle = torch.tensor([1.0, 0.5], dtype=torch.float64)
        object.__setattr__(self, "s", signs)  # the dataclass is frozen
        object.__setattr__(self, "x", noise + signs[:, None] * middle)

    def _signed(self, theta: Tensor) -> Tensor:
        """Return the points times their signs, (n, 2), as theta is kept."""
        return (self.s[:, None] * self.x).to(dtype=theta.dtype, device=theta.device)

    def value(self, theta: Tensor) -> Tensor:
        """Return the mean loss and the penalty."""
        margins = self._signed(theta) @ theta
        return self.ridge / 2 * (theta**2).sum() - logsigmoid(margins).mean()

    def gradient(self, theta: Tensor) -> Tensor:
        """Return the mean of the points, weighted by how wrong they are, and the penalty's."""
        signed = self._signed(theta)
        return self.ridge * theta - signed.T @ torch.sigmoid(-(signed @ theta)) / self.n

    def hessian(self, theta: Tensor) -> Tensor:
        """Return the mean of the points' squares, weighted by how unsure they are."""
        signed = self._signed(theta)
        margins = signed @ theta
        unsure = torch.sigmoid(margins) * torch.sigmoid(-margins)
        penalty = self.ridge * torch.eye(2, dtype=theta.dtype, device=theta.device)
        return (signed.T * unsure) @ signed / self.n + penalty

    @property
    def minimiser(self) -> Tensor:
        """Where Newton's method from 0 comes to rest; it halves steps that do not descend."""
        theta = torch.zeros(2, dtype=torch.float64)
        for _ in range(_NEWTON_STEPS):
            step = torch.linalg.solve(self.hessian(theta), self.gradient(theta))
            while self.value(theta - step) > self.value(theta) and step.norm() > 1e-8:
                step = step / 2
            theta = theta - step
        return theta
