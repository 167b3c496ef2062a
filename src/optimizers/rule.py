"""What all rules share: the loop over parameters, the closure, the check of hyperparameters."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.optimizer import ParamsT

from ..errors import UsageError
from ..internals.torch import forget_gradients, profile_hook_step

#: a number, or one for each member of a sweep: float64, (M, 1, …), as many dimensions as what moves
Hyperparameter = float | Tensor


class Rule(Optimizer, ABC):
    """An update rule written out: subclasses give `update` for one parameter and `check`.

    Parameters without a gradient are passed over, as in torch.optim.

    Attributes:
        per_member: the hyperparameters of which `update` takes one value for each member of a
            sweep, where parameters, gradients and state hold a member in each row.

    Args:
        params: parameters, or groups of parameters with hyperparameters of their own.
        hyperparameters: the defaults of every group.

    Raises:
        UsageError: (a ValueError) if a hyperparameter of any group is out of its range.
    """

    per_member: ClassVar[tuple[str, ...]] = ()

    def __init__(self, params: ParamsT, **hyperparameters: Any) -> None:
        super().__init__(params, hyperparameters)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters, its hyperparameters checked."""
        self.check(**{key: param_group.get(key, value) for key, value in self.defaults.items()})
        super().add_param_group(param_group)

    @abstractmethod
    def check(self, **hyperparameters: Any) -> None:
        """Raise a UsageError that names the first hyperparameter out of its range."""

    @abstractmethod
    def update(
        self, parameter: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]
    ) -> None:
        """Move one parameter, in place, and bring its state up to date."""

    #: the names of the state of a parameter
    state_names: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def zero_state(cls, parameter: Tensor) -> dict[str, Tensor]:
        """Return the state before the first step, for `pure`."""
        return {
            name: torch.zeros((), dtype=torch.float64, device=parameter.device)
            if name == "step"
            else torch.zeros_like(parameter, requires_grad=False)
            for name in cls.state_names
        }

    @staticmethod
    @abstractmethod
    def pure(
        parameter: Tensor, gradient: Tensor, state: dict[str, Tensor], hyper: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the moved parameter and the new state, nothing changed in place.

        The same update as `update`, up to rounding, for torch.compile and torch.func.vmap.

        Args:
            parameter: any shape.
            gradient: of the same shape.
            state: by the names of the optimizer's state; zeros before the first step, `step`
                float64.
            hyper: hyperparameters by name, float64 without dimensions; `betas` has two elements.
        """

    profile_hook_step = staticmethod(profile_hook_step)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters; this short way spares 10 µs an update."""
        if not set_to_none:
            super().zero_grad(set_to_none)
            return
        forget_gradients(self)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient.

        Args:
            closure: computes the loss and the gradients anew; called once, with gradients enabled.

        Returns:
            What the closure returned, or None.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with torch.no_grad():
            for group in self.param_groups:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        self.update(parameter, parameter.grad, self.state[parameter], group)
        return loss


def require(name: str, value: float, allowed: bool, range_: str) -> None:
    """Refuse a hyperparameter that is not finite or not allowed.

    Raises:
        UsageError: naming the hyperparameter, its range and the value that was given.
    """
    if not (math.isfinite(value) and allowed):
        raise UsageError(f"{name} must be {range_}, and {value} was given")


def like(value: Hyperparameter, target: Tensor) -> Hyperparameter:
    """Return a number as it is, and one value for each member in the precision of the target."""
    return value.to(target.dtype) if isinstance(value, Tensor) else value


def add_scaled(target: Tensor, direction: Tensor, factor: Hyperparameter) -> None:
    r"""Add a multiple of a direction in place: :math:`\theta \leftarrow \theta + c\,d`.

    Both forms round alike, bit for bit on a CPU.

    Example:
        >>> theta = torch.zeros(2, 1)
        >>> add_scaled(theta, torch.ones(2, 1), torch.tensor([[0.5], [2.0]]))
        >>> theta.flatten()
        tensor([0.5000, 2.0000])
    """
    if isinstance(factor, Tensor):
        target.addcmul_(direction, factor.to(target.dtype))
    else:
        target.add_(direction, alpha=factor)
