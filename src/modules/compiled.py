"""Many updates as one compiled function."""

from collections.abc import Collection
from types import FunctionType
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value

from ..optimizers import Rule
from .chunkable import Chunkable

#: updates in one compiled function: more take longer to compile and gain little
BLOCK = 50

Values = dict[str, Tensor]
States = dict[str, dict[str, Tensor]]


class _Loss(nn.Module):
    """The loss of a module as its forward, which is what `functional_call` calls."""

    def __init__(self, module: Chunkable) -> None:
        super().__init__()
        self.module = module

    def forward(self, *batch: Tensor) -> Tensor:
        return self.module.loss(batch)


class CompiledUpdates:
    """Updates of a module by a rule, compiled by torch.compile.

    Equal to the updates one by one within rounding. The first call of each shape compiles, which
    takes from ten seconds to a minute; torch keeps what it compiled for the next process.

    Args:
        module: whose loss it is.
        rule: of the module's parameters.
        moving: the names of the parameters that have gradients.
    """

    def __init__(self, module: Chunkable, rule: Rule, moving: Collection[str]) -> None:
        self.module = module
        self.rule = rule
        self.group_of = self._groups(moving)
        self.parameters = {f"module.{name}": p for name, p in module.named_parameters()}
        updates = _updates(_Loss(module), rule, self.group_of)
        # a code object of its own for each fit: torch compiles one only eight times in a process
        updates.__code__ = updates.__code__.replace()
        self.function = torch.compile(updates, fullgraph=True, dynamic=False)

    def covers(self, moving: Collection[str]) -> bool:
        """Return whether these parameters move in the groups that they had at the beginning."""
        return self.group_of == self._groups(moving)

    def _groups(self, moving: Collection[str]) -> dict[str, int]:
        """Return the number of the group of each parameter that moves, by its name in the loss."""
        names = {
            parameter: f"module.{name}"
            for name, parameter in self.module.named_parameters()
            if name in moving and parameter.requires_grad
        }
        return {
            names[parameter]: number
            for number, group in enumerate(self.rule.param_groups)
            for parameter in group["params"]
            if parameter in names
        }

    def __call__(self, blocks: list[tuple[Tensor, ...]]) -> Tensor:
        """Make the updates of some blocks, and put parameters and state where the rule has them.

        Args:
            blocks: of each the stacked batches, tensors of shape (updates, rows, …).

        Returns:
            The loss of each batch before its update, shape (updates,).
        """
        values = {name: self.parameters[name].detach() for name in self.group_of}
        states = {name: self.rule.state.get(self.parameters[name], {}) for name in self.group_of}
        hypers = [
            {name: _as_tensors(group[name]) for name in self.rule.defaults}
            for group in self.rule.param_groups
        ]
        losses = []
        for block in blocks:
            values, states, each = self.function(values, states, hypers, block)
            losses.append(each)
        with torch.no_grad():
            for name, state in states.items():
                if state:  # out of memory that torch takes back
                    kept = {key: value.clone() for key, value in state.items()}
                    self.rule.state[self.parameters[name]] = kept
            for name, value in values.items():
                self.parameters[name].copy_(value)
        return torch.cat(losses)


def _as_tensors(value: Any) -> Any:
    """Return floats as float64 tensors: inputs of a compiled function, where floats are fixed."""
    if isinstance(value, (tuple, list)):
        return tuple(map(_as_tensors, value))
    return torch.tensor(value, dtype=torch.float64) if isinstance(value, float) else value


def _updates(loss: _Loss, rule: Rule, group_of: dict[str, int]) -> FunctionType:
    """Return the updates of one block as a pure function: of values, states, hypers and a block."""

    def updates(
        values: Values, states: States, hypers: list[Values], block: tuple[Tensor, ...]
    ) -> tuple[Values, States, Tensor]:
        losses = []
        for index in range(len(block[0])):
            batch = tuple(part[index] for part in block)

            def loss_of(values: Values, batch: Any = batch) -> Any:
                return functional_call(loss, values, batch)

            gradients, value = grad_and_value(loss_of)(values)
            moved = {
                name: rule.moved(values[name], gradients[name], states[name], hypers[group])
                for name, group in group_of.items()
            }
            values = {name: parameter for name, (parameter, _) in moved.items()}
            states = {name: state for name, (_, state) in moved.items()}
            losses.append(value)
        return values, states, torch.stack(losses)

    return cast(FunctionType, updates)
