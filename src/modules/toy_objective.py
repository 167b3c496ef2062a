"""An objective without data: the parameters themselves are what descends."""

from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor
from torch.nn import Parameter

from ..objectives import Objective
from ..objectives.two_numbers import OfTwoNumbers
from ..optimizers import GradientDescent
from .descent_module import DescentModule


class ToyObjective(DescentModule):
    r"""Descend an objective of one tensor, :math:`L(\theta) = f(\theta)`.

    The DataModule `Steps` drives it: a batch is the number of a step, and is not looked at.

    Args:
        objective: f: a class of `descentlab.objectives`, or any callable of a tensor that gives a
            tensor without dimensions, by its import path.
        start: where :math:`\theta` starts: a number, or nested lists of numbers.
        optimizer: see `DescentModule`.
        lr_scheduler: see `DescentModule`.
        manual_optimization: see `DescentModule`.
        zero_grad: False leaves the gradients of earlier steps in place, so that each step follows
            the sum of all gradients so far.
    """

    def __init__(
        self,
        objective: Objective | Callable[[Tensor], Tensor],
        start: float | list[float] | list[list[float]],
        optimizer: OptimizerCallable = GradientDescent,
        lr_scheduler: LRSchedulerCallable | None = None,
        manual_optimization: bool = False,
        zero_grad: bool = True,
    ) -> None:
        super().__init__(optimizer, lr_scheduler, manual_optimization)
        self.zeroes_gradients = zero_grad
        self.objective = objective
        self.theta = Parameter(torch.tensor(start, dtype=torch.get_default_dtype()))

    def forward(self) -> Tensor:
        """Return the objective at the parameters."""
        return self.objective(self.theta)

    quantity = "value of the objective"

    def loss(self, batch: Any) -> Tensor:
        """Return the objective at the parameters, whatever the batch."""
        value: Tensor = self()
        return value

    def largest_curvature(self, batch: Any) -> float | None:
        """Return the objective's largest curvature, where it states one."""
        return getattr(self.objective, "largest_curvature", None)

    def closed_gradient(self, batch: Any) -> Tensor | None:
        """Return the objective's gradient, where it has one in closed form."""
        if not isinstance(self.objective, Objective):
            return None
        return self.objective.gradient(self.theta.detach()).reshape(-1)

    def minimiser(self, batch: Any) -> Tensor | None:
        """Return the objective's minimiser, where it states one."""
        least = getattr(self.objective, "minimiser", None)
        return None if least is None else least.to(self.theta).expand_as(self.theta).reshape(-1)

    def minimisers(self, batch: Any) -> Tensor | None:
        """Return all minimisers, (m, p), of an objective that states several, or the one."""
        least = self.minimiser(batch)
        if least is None:
            return None
        several = self.objective.minimisers if isinstance(self.objective, OfTwoNumbers) else ()
        return least.new_tensor(several) if len(several) > 1 else least.unsqueeze(0)

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return the objective at the parameters, as one row."""
        value: Tensor = self()
        return value.reshape(1)
