"""Copies of the parameters of a run, which a reference optimizer steps."""

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor
from torch.linalg import vector_norm
from torch.optim import LBFGS, Optimizer

from ..errors import UsageError
from ..internals.torch import copy_all, step_unheard

UNNAMED = "a parameter that the module does not have"
_MOST_NAMES = 3  # in a sentence
_MOST_ELEMENTS = 2**16  # of gradients, before the reference takes the steps that wait

#: gradients of a step, and hyperparameters of each group
_Noted = tuple[list[Tensor | None], list[dict[str, Any]]]


class Shadow:
    """Copies of an optimizer's parameters, stepped by a reference."""

    def __init__(
        self, optimizer: Optimizer, reference: OptimizerCallable, names: Mapping[int, str]
    ) -> None:
        self.copies: list[Tensor] = []
        self.ways: list[Tensor] = []
        self.reaches: list[Tensor] = []
        self.steps = self.elements = 0
        self.gradients: list[Tensor | None] = []
        self.waiting: list[_Noted] = []
        self.defaults = optimizer.defaults
        groups = [self._copied(group) for group in optimizer.param_groups]
        self.optimizer = _made(reference, groups)
        for each in (optimizer, self.optimizer):
            if isinstance(each, LBFGS):
                raise several_gradients(each)
        self._refuse_what_is_left_out(optimizer, names)
        self.groups = len(groups)  # of the run
        self.sources = self._sources(groups)

    def _refuse_what_is_left_out(self, optimizer: Optimizer, names: Mapping[int, str]) -> None:
        """Raise where the reference has not all parameters of an optimizer that are trained."""
        pairs = list(zip(_parameters(optimizer), self.copies, strict=True))
        stepped = set(map(id, _parameters(self.optimizer)))
        left = [p for p, copy in pairs if p.requires_grad and id(copy) not in stepped]
        if left:
            named = ", ".join(names.get(id(p), UNNAMED) for p in left[:_MOST_NAMES])
            more = f" and {len(left) - _MOST_NAMES} more" if len(left) > _MOST_NAMES else ""
            raise UsageError(
                f"Parity: the reference leaves out {named}{more}, which the run trains: let it "
                "step every parameter that it is given"
            )

    def _sources(self, groups: list[dict[str, Any]]) -> list[int]:
        """Return from which of the run's groups each group of the reference has its parameters."""
        place = {id(p): number for number, group in enumerate(groups) for p in group["params"]}
        found = [
            {place[id(p)] for p in group["params"] if id(p) in place}
            for group in self.optimizer.param_groups
        ]
        if any(len(each) > 1 for each in found):
            raise UsageError(
                f"Parity: the reference joins parameters that are in {len(groups)} groups of the "
                "run: let it keep the groups that it is given"
            )
        return [min(each, default=0) for each in found]

    def _copied(self, group: dict[str, Any]) -> dict[str, Any]:
        fresh = [p.detach().clone().requires_grad_() for p in group["params"]]
        self.copies += fresh
        tops = [_top(copy.detach().nan_to_num(0, 0, 0)) for copy in fresh]
        self.ways += [top * 0 for top in tops]
        self.reaches += tops
        self.elements += sum(map(Tensor.numel, fresh))
        return {"params": fresh}

    @property
    def noted(self) -> int:
        """How many steps of the run were noted, those that are still to be taken included."""
        return self.steps + len(self.waiting)

    def grow(self, optimizer: Optimizer) -> None:
        """Copy the groups that were added to an optimizer, before a step."""
        added = optimizer.param_groups[self.groups :]
        if added:
            self.catch_up()
        for group in added:
            self.optimizer.add_param_group(self._copied(group))
            self.sources.append(self.groups)
            self.groups += 1

    def keep_gradients(self, optimizer: Optimizer) -> None:
        """Keep the gradients that an optimizer is given for a step."""
        self.gradients = [
            None if (slope := p.grad) is None else slope.detach().clone()
            for group in optimizer.param_groups
            for p in group["params"]
        ]

    def note(self, optimizer: Optimizer) -> None:
        """Note the step for which gradients were kept, to be taken later."""
        settings = [_settings(group) for group in optimizer.param_groups]
        self.waiting.append((self.gradients, settings))
        self.defaults = optimizer.defaults
        if len(self.waiting) * self.elements > _MOST_ELEMENTS:
            self.catch_up()

    @torch.no_grad()
    def catch_up(self) -> None:
        """Take the steps that were noted."""
        if not self.waiting:
            return
        step = step_unheard(self.optimizer)
        room = len(self.waiting) + 1
        trails = [copy.new_empty((room, *copy.shape)) for copy in self.copies]
        places = zip(*(trail.unbind() for trail in trails), strict=True)
        copies, last = [copy.detach() for copy in self.copies], None
        copy_all(list(next(places)), copies)
        with torch.random.fork_rng(devices=[]):
            for (gradients, settings), place in zip(self.waiting, places, strict=True):
                if last is None or settings != last:
                    self._take_over(settings)
                    last = settings
                for copy, gradient in zip(self.copies, gradients, strict=True):
                    copy.grad = gradient
                step()
                copy_all(list(place), copies)
        self.steps += len(self.waiting)
        self.waiting.clear()
        for index, trail in enumerate(trails):
            if trail.numel():
                # a bound that is none would allow anything, at every other entry too
                rows = trail.nan_to_num_(0, 0, 0).view(room, -1)
                way = vector_norm(rows.diff(dim=0), torch.inf, dim=1).sum()
                self.ways[index] = self.ways[index] + way
                self.reaches[index] = torch.maximum(self.reaches[index], _top(trail))

    def _take_over(self, settings: list[dict[str, Any]]) -> None:
        """Take the learning rate, and what else the run does not leave at its default."""
        for source, theirs in zip(self.sources, self.optimizer.param_groups, strict=True):
            mine = settings[source]
            for key in mine.keys() & theirs.keys():
                usual = key in self.defaults and bool(mine[key] == self.defaults[key])
                if key == "lr" or not usual:
                    theirs[key] = mine[key]
                elif key in self.optimizer.defaults:
                    theirs[key] = self.optimizer.defaults[key]

    def beside(self, optimizer: Optimizer) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Return each parameter, its copy, and what rounding may make of their difference."""
        spacings = [4 * torch.finfo(copy.dtype).eps * (self.steps + 8) for copy in self.copies]
        bounds = [
            spacing * (reach + way)
            for spacing, reach, way in zip(spacings, self.reaches, self.ways, strict=True)
        ]
        detached = [copy.detach() for copy in self.copies]
        return list(zip(_parameters(optimizer), detached, bounds, strict=True))

    def state(self) -> dict[str, Any]:
        """Return all of it, for a checkpoint."""
        self.catch_up()
        kept = {"copies": self.copies, "ways": self.ways, "reaches": self.reaches}
        tensors = {name: [each.detach().clone() for each in many] for name, many in kept.items()}
        return {**tensors, "steps": self.steps, "optimizer": self.optimizer.state_dict()}

    def load(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        with torch.no_grad():
            for copy, kept in zip(self.copies, state["copies"], strict=True):
                copy.copy_(kept)
        like = [copy.device for copy in self.copies]
        for name in ("ways", "reaches"):
            moved = [each.to(device) for each, device in zip(state[name], like, strict=True)]
            setattr(self, name, moved)
        self.steps = state["steps"]
        self.optimizer.load_state_dict(state["optimizer"])


def _made(reference: OptimizerCallable, groups: list[dict[str, Any]]) -> Optimizer:
    """Return the reference; of a single group it is given the parameters alone."""
    only = groups[0]["params"] if len(groups) == 1 else []
    try:
        made: Any = reference(only or groups)
    except (TypeError, ValueError) as error:
        count = f"{len(only)} parameters" if only else f"{len(groups)} groups of parameters"
        raise UsageError(
            f"Parity: the reference makes no optimizer of {count} ({in_short(error)}): give a "
            "class or a function that does"
        ) from error
    if not isinstance(made, Optimizer):
        raise UsageError(
            f"Parity: the reference gives {in_short(repr(made))}, which is no optimizer: give a "
            "class or a function of parameters that makes one"
        )
    needed = [
        each.name
        for each in inspect.signature(made.step).parameters.values()
        if each.default is each.empty and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
    ]
    if needed and not isinstance(made, LBFGS):
        raise UsageError(
            f"Parity: the step of {type(made).__name__} needs {needed[0]}, which a reference is "
            "not given: give one whose step needs nothing"
        )
    return made


def in_short(text: object) -> str:
    """Return the start of a text, in one line."""
    line = " ".join(str(text).split())
    return line if len(line) <= 80 else f"{line[:80]}…"


def several_gradients(optimizer: Optimizer) -> UsageError:
    """Return the error that says why an optimizer is not followed."""
    kind = type(optimizer).__name__
    return UsageError(
        f"Parity: {kind} takes several gradients a step, and is not followed: leave Parity out"
    )


def _parameters(optimizer: Optimizer) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _settings(group: dict[str, Any]) -> dict[str, Any]:
    """Return a group's hyperparameters as they are now."""
    return {
        key: value.clone() if isinstance(value, Tensor) else value
        for key, value in group.items()
        if key != "params"
    }


def _top(values: Tensor) -> Tensor:
    """Return the largest magnitude, as a tensor on the same device; 0 of none."""
    found: Tensor = vector_norm(values, torch.inf) if values.numel() else values.abs().sum()
    return found
