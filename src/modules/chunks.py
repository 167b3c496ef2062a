"""Many updates in one training step, for what Lightning does around a step to be paid once."""

from collections.abc import Callable
from typing import Any, cast

import torch
from lightning.pytorch import Callback, LightningModule
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.plugins.precision import DoublePrecision, Precision
from lightning.pytorch.strategies import SingleDeviceStrategy
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor
from torch.optim import Optimizer

from ..datamodules import Chunk
from ..internals import SPEED_TRICKS
from ..internals.lightning import UPDATE_HOOKS, count_updates
from ..internals.torch import (
    CompilationError,
    gradients_have_listeners,
    method_of,
    step_has_listeners,
)
from ..optimizers import Rule
from .chunkable import Chunkable
from .compiled import BLOCK, CompiledUpdates

Batch = tuple[Tensor, ...]


class ChunkDescent:
    """Makes one update for each batch of a chunk: what one training step for each would do.

    Where nothing listens within an update, nothing that makes it was changed, in one process and
    without mixed precision, gradients go from `torch.autograd.grad` straight to the rule;
    otherwise, and at the first update of all, each update is `module.descend`. Both give the same
    parameters bit for bit; compiled updates do within rounding, so that a fit that goes on compiles
    from its first update on, as the one before did in its midst.

    Args:
        module: under manual optimization.
    """

    def __init__(self, module: Chunkable) -> None:
        self.module = module
        self.optimizer = cast(LightningOptimizer, module.optimizers())
        self.block = 0
        self.compiled: CompiledUpdates | None = None
        self.trainable: set[str] | None = None
        self.moving: set[str] = set()
        reason = _why_not_compiled(module, self.optimizer.optimizer) if module.compiles else None
        self.compiles = module.compiles and reason is None
        if reason is not None:
            rank_zero_warn(f"model.compile = true: {reason}: the updates go uncompiled")

    def __call__(self, chunk: Chunk) -> Tensor:
        """Return the losses of the batches before their updates, detached; shape (updates,).

        Batches beyond `max_steps` are left.
        """
        module, stop = self.module, chunk.updates
        if module.trainer.max_steps >= 0:
            stop = min(stop, module.trainer.max_steps - module.global_step)
        unheard = _unheard(module, self.optimizer.optimizer)
        losses: list[Tensor] = []
        trainable = {name for name, p in module.named_parameters() if p.requires_grad}
        if trainable != self.trainable:  # where the graph is drawn, and it is seen what moves
            first = chunk.rows(0, 1).batches()[0]
            if unheard and self.compiles and module.global_step:
                self.moving = self._moved_by(first)
            else:
                losses.append(self._descend(first).reshape(1))
                self.moving = {name for name, p in module.named_parameters() if p.grad is not None}
            self.trainable = trainable
        if unheard and self.compiles:
            losses += self._compiled(chunk, len(losses), stop)
        done = sum(map(len, losses))
        update = self._short() if unheard and SPEED_TRICKS else self._descend
        rest = [update(batch) for batch in chunk.rows(done, stop).batches()]
        return torch.cat([*losses, torch.stack(rest)] if rest else losses)

    def _descend(self, batch: Batch) -> Tensor:
        loss = self.module.loss(batch)
        self.module.descend(loss)
        return loss.detach()

    def _moved_by(self, batch: Batch) -> set[str]:
        """Return the names of the parameters that the loss of a batch depends on."""
        named = {name: p for name, p in self.module.named_parameters() if p.requires_grad}
        loss = self.module.loss(batch)
        gradients = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
        return {name for name, each in zip(named, gradients, strict=True) if each is not None}

    def _short(self) -> Callable[[Batch], Tensor]:
        rule = cast(Rule, self.optimizer.optimizer)
        slots = [
            (p, group) for group in rule.param_groups for p in group["params"] if p.requires_grad
        ]
        parameters = [parameter for parameter, _ in slots]

        def short(batch: Batch) -> Tensor:
            loss = self.module.loss(batch)
            gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
            with torch.no_grad():
                for (parameter, group), gradient in zip(slots, gradients, strict=True):
                    if gradient is not None:
                        rule.advance(parameter, gradient, group)
            count_updates(self.module.trainer, 1)
            return loss.detach()

        return short

    def _compiled(self, chunk: Chunk, start: int, stop: int) -> list[Tensor]:
        """Make the updates of as many blocks as there are from a batch on; return their losses."""
        whole = len(chunk.tensors[0]) // chunk.size
        self.block = self.block or min(BLOCK, whole)  # one size for the fit: each compiles anew
        count = (min(whole, stop) - start) // self.block
        if count < 1:
            return []
        rule = cast(Rule, self.optimizer.optimizer)
        if self.compiled is None or not self.compiled.covers(self.moving):
            self.compiled = CompiledUpdates(self.module, rule, self.moving)
        rows = chunk.rows(start, start + count * self.block).tensors
        shape = (count, self.block, chunk.size)
        blocks = zip(*(part.reshape(*shape, *part.shape[1:]) for part in rows), strict=True)
        try:
            losses = self.compiled(list(blocks))
        except CompilationError as error:
            rank_zero_warn(
                "The updates were not compiled, and go on uncompiled: "
                f"{' '.join(str(error).split())[:200]}"
            )
            self.compiles = False
            return []
        count_updates(self.module.trainer, len(losses))
        return [losses]


def _why_not_compiled(module: Chunkable, optimizer: Optimizer) -> str | None:
    """Return why the updates of a fit cannot be compiled, or None."""
    kind = type(optimizer).__name__
    if not isinstance(optimizer, Rule):
        return f"it is for the rules of descentlab.optimizers, and {kind} is none"
    if not _steps_as_written(optimizer):
        return f"{kind} has a step of its own"
    if not module.descends_as_written():
        return f"{type(module).__name__} has a descend of its own"
    return None


def _steps_as_written(optimizer: Optimizer) -> bool:
    """Return whether an optimizer is a rule, of which no more than the formula is its own."""
    return isinstance(optimizer, Rule) and all(
        method_of(optimizer, name) is method_of(Rule, name)
        for name in ("step", "zero_grad", "advance", "moved")
    )


def _unheard(module: Chunkable, optimizer: Optimizer) -> bool:
    """Return whether an update is as written: nothing listens, and nothing else happens in it."""
    trainer = module.trainer
    attached: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    listeners: list[tuple[Any, type]] = [(module, LightningModule)]
    listeners += [(callback, Callback) for callback in attached]
    return (
        type(trainer.precision_plugin) in (Precision, DoublePrecision)
        and type(trainer.strategy) is SingleDeviceStrategy
        and module.zeroes_gradients
        and module.descends_as_written()
        and _steps_as_written(optimizer)
        and not step_has_listeners(optimizer)
        and not gradients_have_listeners(p for _, p in module.named_parameters())
        and not any(_listens(one, base, hook) for one, base in listeners for hook in UPDATE_HOOKS)
    )


def _listens(one: object, base: type, hook: str) -> bool:
    """Return whether an object does something of its own at a hook."""
    found = getattr(one, hook)
    return callable(found) and getattr(found, "__func__", found) is not getattr(base, hook)
