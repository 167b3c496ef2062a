"""Steps of the members of a group: as rows of one tensor, or each by its own optimizer."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ..errors import UsageError
from ..optimizers import Rule
from .losses import per_row


class MemberOptimizers(Optimizer):
    """Step each member by an optimizer of its own, on its row of the stacked parameters.

    For any class of optimizer: what it does with one member is what it does in a run of its own.

    Args:
        parameters: (M, …) each.
        make: makes the optimizer of a member from its parameters and the swept hyperparameters.
        values: the swept hyperparameters by name, (M,) each.
    """

    def __init__(
        self,
        parameters: Sequence[nn.Parameter],
        make: Callable[..., Optimizer],
        values: Mapping[str, Tensor],
    ) -> None:
        super().__init__(parameters, {})
        self._stacked, self._make = list(parameters), make
        self.begin(values)

    def begin(self, values: Mapping[str, Tensor]) -> None:
        """Make the optimizers of a group anew, as before its first update."""
        members = len(next(iter(values.values())))
        self._rows = [
            [nn.Parameter(p.data[row], requires_grad=p.requires_grad) for p in self._stacked]
            for row in range(members)
        ]
        self._members = [
            self._make(rows, **{name: float(value[row]) for name, value in values.items()})
            for row, rows in enumerate(self._rows)
        ]

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Step all members by the gradients of the stacked parameters.

        Args:
            closure: called once, before the steps.

        Returns:
            What the closure returned, or None.
        """
        loss = None if closure is None else closure()
        for number, (rows, optimizer) in enumerate(zip(self._rows, self._members, strict=True)):
            for row, stacked in zip(rows, self._stacked, strict=True):
                row.grad = None if stacked.grad is None else stacked.grad[number]
            optimizer.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Return the states of all members."""
        return {"members": [optimizer.state_dict() for optimizer in self._members]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        for optimizer, state in zip(self._members, state_dict["members"], strict=True):
            optimizer.load_state_dict(state)


def settings_of(optimizer: Optimizer) -> dict[str, Any]:
    """Return the hyperparameters with which an optimizer's class would make one like it."""
    named = inspect.signature(type(optimizer).__init__).parameters
    return {name: value for name, value in optimizer.defaults.items() if name in named}


def swept_over(kind: type[Optimizer], settings: Mapping[str, Any]) -> list[str]:
    """Return the hyperparameters of a class that are numbers, not counts: what can be swept."""
    named = inspect.signature(kind.__init__).parameters
    return [
        name
        for name, value in settings.items()
        if type(value) in (int, float) and named[name].annotation not in (int, "int")
    ]


def check_grid(
    kind: type[Optimizer], settings: Mapping[str, Any], grid: Mapping[str, Sequence[float]]
) -> None:
    """Refuse a grid that an optimizer cannot be swept over, before anything is trained.

    Args:
        kind: the class of the optimizer.
        settings: its hyperparameters that are not swept, and the defaults of those that are.
        grid: values for each swept hyperparameter.

    Raises:
        UsageError: naming the hyperparameter, or the class; of a wrong value, the class's own.
    """
    closure = inspect.signature(kind.step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        raise UsageError(
            f"{kind.__name__} computes the loss several times in a step, which a sweep does not: "
            "train one setting at a time"
        )
    names = swept_over(kind, settings)
    known = ", ".join(names)
    if not grid:
        raise UsageError(
            f"the grid is empty: give values for some of {known}, such as {{lr: [0.01, 0.1]}}"
        )
    for name, values in grid.items():
        if name not in names:
            raise UsageError(f"grid.{name}: {kind.__name__} can be swept over {known}")
        if not values:
            raise UsageError(f"grid.{name} has no values: give at least one")
        if len(set(map(float, values))) < len(values):
            raise UsageError(f"grid.{name} = {list(values)} has a value twice: give each once")
        for value in values:
            try:
                kind([nn.Parameter(torch.zeros(1, 1))], **{**settings, name: float(value)})
            except UsageError:
                raise
            except ValueError as error:
                raise UsageError(f"grid.{name}, {value}: {error}") from error


def set_hyperparameters(groups: Sequence[dict[str, Any]], values: Mapping[str, Tensor]) -> None:
    """Give a rule one value of each swept hyperparameter for each member.

    Args:
        groups: its groups, of one parameter each.
        values: by name, (M,), float64.
    """
    for group in groups:
        (parameter,) = group["params"]
        for name, value in values.items():
            exact = value.float() if parameter.device.type == "mps" else value  # it has no float64
            group[name] = per_row(exact.to(parameter.device), parameter)


def steps_rows_alone(
    kind: type[Optimizer], settings: Mapping[str, Any], grid: Mapping[str, Sequence[float]]
) -> bool:
    """Return whether a step on stacked parameters moves each row as a step on that row would.

    It is tried: three members with two parameters each, and gradients small and large. A rule that
    divides by the norm of a gradient, say, sees the norm of all rows.
    """
    if not issubclass(kind, Rule):
        return False
    draw = torch.Generator().manual_seed(0)
    shapes = ((3, 2, 2), (3, 4))
    starts = [torch.randn(shape, generator=draw, dtype=torch.float64) for shape in shapes]
    steps = [
        [scale * torch.randn(shape, generator=draw, dtype=torch.float64) for shape in shapes]
        for scale in (1e-3, 1.0, 1e3)
    ]
    values = {
        name: torch.tensor([float(some[row % len(some)]) for row in range(3)], dtype=torch.float64)
        for name, some in grid.items()
    }

    def make(parameters: Sequence[nn.Parameter], **swept: float) -> Optimizer:
        return kind(parameters, **{**settings, **swept})

    stacked = [nn.Parameter(start.clone()) for start in starts]
    rule = kind([{"params": [p]} for p in stacked], **settings)
    set_hyperparameters(rule.param_groups, values)
    own = [nn.Parameter(start.clone()) for start in starts]
    one_by_one = MemberOptimizers(own, make, values)
    for gradients in steps:
        for parameters in (stacked, own):
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient.clone()
        one_by_one.step()
        try:
            rule.step()
        except (RuntimeError, TypeError, ValueError):  # its arithmetic is for numbers alone
            return False
    return all(
        torch.allclose(a, b, rtol=1e-9, atol=1e-12, equal_nan=True)
        for a, b in zip(stacked, own, strict=True)
    )
