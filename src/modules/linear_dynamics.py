"""Linear dynamics: how one parameter moves states over time."""

from typing import Any, get_args

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor
from torch.nn import Parameter

from ..errors import UsageError
from ..objectives import linear_dynamics_loss, roll_out
from ..objectives.linear_dynamics import Memory
from ..optimizers import GradientDescent
from .descent_module import DescentModule


class LinearDynamics(DescentModule):
    r"""States moved by :math:`x_{t+1} = x_t + \theta` for T steps, to end near a target.

    .. math:: L_T(\theta) = \frac{1}{n} \sum_i (x_{T,i} - x^*)^2, \qquad L_T'' = 2T^2

    Gradient descent is stable for a learning rate below :math:`1/T^2`, and reaches the minimiser
    in one step at :math:`1/(2T^2)`.

    Shapes: batch (x_0,): x_0: (n,); theta: ().

    Args:
        horizon: T, the number of time steps, >= 1.
        theta: where :math:`\theta` starts.
        target: :math:`x^*`.
        optimizer: see `DescentModule`.
        lr_scheduler: see `DescentModule`.
        manual_optimization: see `DescentModule`.
        memory: `full` remembers every time step for backward, `checkpointed` every
            :math:`\sqrt T`-th, for a third more time; both give the same gradient, bit for bit.

    Raises:
        UsageError: if `horizon` is less than 1, or `memory` is another word.
    """

    def __init__(
        self,
        horizon: int = 20,
        theta: float = 1.0,
        target: float = 1.0,
        optimizer: OptimizerCallable = GradientDescent,
        lr_scheduler: LRSchedulerCallable | None = None,
        manual_optimization: bool = False,
        memory: Memory = "full",
    ) -> None:
        super().__init__(optimizer, lr_scheduler, manual_optimization)
        if horizon < 1:
            raise UsageError(f"horizon must be at least 1, and {horizon} was given")
        if memory not in get_args(Memory):
            raise UsageError(f"memory = {memory!r} is neither of {', '.join(get_args(Memory))}")
        self.horizon = horizon
        self.memory: Memory = memory
        self.target = target
        self.theta = Parameter(torch.tensor(float(theta)))

    def forward(self, x: Tensor) -> Tensor:
        """Return the states at time T for the states at time 0."""
        return roll_out(x, self.theta, self.horizon, self.memory)

    quantity = "mean squared distance from the target"

    def loss(self, batch: tuple[Tensor]) -> Tensor:
        """Return the mean squared distance of the final states from the target."""
        (x,) = batch
        return linear_dynamics_loss(self.theta, x, self.horizon, self.target, self.memory)

    def largest_curvature(self, batch: Any) -> float:
        """Return 2T², whatever the batch."""
        return 2.0 * self.horizon**2

    def closed_gradient(self, batch: tuple[Tensor]) -> Tensor:
        r"""Return :math:`2T (\bar x_0 + T\theta - x^*)`."""
        theta = self.theta.detach()
        distance = batch[0].mean() + self.horizon * theta - self.target
        return (2 * self.horizon * distance).reshape(1)

    def minimiser(self, batch: tuple[Tensor]) -> Tensor:
        r"""Return :math:`(x^* - \bar x_0) / T`, where the mean final state is the target."""
        return ((self.target - batch[0].mean()) / self.horizon).reshape(1)

    def predict_step(self, batch: tuple[Tensor], batch_idx: int) -> Tensor:
        """Return the final states of a batch."""
        final: Tensor = self(batch[0])
        return final
