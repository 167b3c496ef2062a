"""The practical's loss: how far linear dynamics end from a target."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor

from ..errors import UsageError
from .checkpointed import checkpointed, steps
from .objective import Objective

Memory = Literal["full", "checkpointed"]
"""What backward finds remembered: every time step, or the square root of their number."""


def initial_states(n: int, mean: float, std: float, seed: int) -> Tensor:
    r"""Draw initial states from a normal distribution.

    .. math:: x_0^{(i)} = \mu + \sigma z_i, \qquad z_i \sim \mathcal{N}(0, 1)

    Args:
        n: how many.
        mean: their mean, mu.
        std: their standard deviation, sigma.
        seed: of a generator of its own, so that no other draw changes them.

    Returns:
        The states, shape (n,), float64.
    """
    generator = torch.Generator().manual_seed(seed)
    return mean + std * torch.randn(n, generator=generator, dtype=torch.float64)


def f(x: Tensor, theta: Tensor) -> Tensor:
    r"""Move every state by one time step: :math:`x_{t+1} = x_t + \theta`."""
    return x + theta


def roll_out(x0: Tensor, theta: Tensor, horizon: int, memory: Memory = "full") -> Tensor:
    r"""Return the states after a number of time steps, by calling `f` that many times.

    .. math:: x_T = f(\dots f(f(x_0, \theta), \theta) \dots, \theta) = x_0 + T\theta

    Shapes: x0: (n,). theta: (). Result: (n,).

    Args:
        x0: the states at time 0.
        theta: the parameter.
        horizon: T, the number of calls.
        memory: `full` remembers every time step for backward; `checkpointed` remembers about
            :math:`\sqrt T` states and goes through the time steps a second time in backward: the
            same gradient, bit for bit, in memory of order :math:`\sqrt T`.

    Returns:
        The states at time T.

    Example:
        >>> roll_out(torch.zeros(2), torch.tensor(0.5), horizon=4)
        tensor([2., 2.])
    """
    go = steps if memory == "full" else checkpointed
    return go(f, x0, theta, horizon)


def linear_dynamics_loss(
    theta: Tensor, x0: Tensor, horizon: int, target: float = 1.0, memory: Memory = "full"
) -> Tensor:
    r"""Return the mean squared distance of the final states from the target.

    .. math:: L_T(\theta) = \frac1n \sum_i (x_{T,i} - x^*)^2

    Shapes: theta: (). x0: (n,). Result: ().

    Args:
        theta: the parameter.
        x0: the states at time 0.
        horizon: T, the number of time steps.
        target: :math:`x^*`.
        memory: see `roll_out`.

    Returns:
        The loss: a mean over states.
    """
    return ((roll_out(x0, theta, horizon, memory) - target) ** 2).mean()


@dataclass(frozen=True)
class LinearDynamicsLoss(Objective):
    r"""The loss of linear dynamics on a fixed sample of initial states, which only shift it.

    .. math::
        L_T(\theta) = \frac1n \sum_i (x_{0,i} + T\theta - x^*)^2, \qquad
        L_T' = 2T \left(\bar x_0 - x^* + T\theta\right), \qquad L_T'' = 2T^2

    The value is computed by calling `f` T times, the derivatives by this formula. So gradient
    descent is stable below :math:`1/T^2`, reaches the minimiser :math:`(x^* - \bar x_0)/T` in one
    step at half of that, and multiplies the error by :math:`1 - 2T^2\gamma` at each step.

    Shapes: theta: (). Value: (). Initial states `x0`: (n,), float64.

    Args:
        horizon: T >= 1, the number of time steps.
        target: :math:`x^*`.
        states: the initial states; None draws them.
        n: how many states to draw.
        mean: of the normal distribution that they are drawn from.
        std: its standard deviation, >= 0.
        seed: of the draw, which leaves torch's global generator alone.

    Raises:
        UsageError: if horizon < 1, n < 1, std < 0, or there are no states.

    Example:
        >>> loss = LinearDynamicsLoss(horizon=2, states=(0.0, 4.0))
        >>> loss(torch.tensor(1.0)), loss.gradient(torch.tensor(1.0))
        (tensor(13.), tensor(12.))
        >>> loss.minimiser, loss.stable_learning_rate
        (tensor(-0.5000, dtype=torch.float64), 0.25)

    Reference:
        Handout entries: TP-1.2a to TP-1.2f, TP-1.3.
    """

    horizon: int = 20
    target: float = 1.0
    states: tuple[float, ...] | None = None
    n: int = 1024
    mean: float = 1.0
    std: float = 1.0
    seed: int = 0
    x0: Tensor = field(init=False, repr=False, compare=False)

    first_guess: ClassVar[float] = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.horizon < 1:
            raise UsageError(f"LinearDynamicsLoss: horizon must be >= 1, not {self.horizon}.")
        if self.n < 1 or self.std < 0:
            raise UsageError(
                "LinearDynamicsLoss: n must be >= 1 and std >= 0, "
                f"not n={self.n} and std={self.std}."
            )
        if self.states is not None and not self.states:
            raise UsageError("LinearDynamicsLoss: states must hold at least one number.")
        object.__setattr__(self, "x0", self._initial_states())  # the dataclass is frozen

    def _initial_states(self) -> Tensor:
        if self.states is not None:
            return torch.tensor(self.states, dtype=torch.float64)
        return initial_states(self.n, self.mean, self.std, self.seed)

    def value(self, theta: Tensor) -> Tensor:
        """Return the loss, by calling `f` T times."""
        x0 = self.x0.to(dtype=theta.dtype, device=theta.device)
        return linear_dynamics_loss(theta, x0, self.horizon, self.target)

    def gradient(self, theta: Tensor) -> Tensor:
        """Return 2T times the mean distance of the final states from the target."""
        x0 = self.x0.to(dtype=theta.dtype, device=theta.device)
        return 2 * self.horizon * (x0 - self.target + self.horizon * theta).mean()

    def hessian(self, theta: Tensor) -> Tensor:
        """Return 2T²."""
        return 2 * self.horizon**2 * torch.ones_like(theta)

    @property
    def minimiser(self) -> Tensor:
        """Where the final states have the target as their mean."""
        return (self.target - self.x0.mean()) / self.horizon

    @property
    def largest_curvature(self) -> float:
        """2T²: the states have no part in it."""
        return 2.0 * self.horizon**2
