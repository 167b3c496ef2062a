"""Many updates in one turn of the training loop, for what is done around one to be paid once."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, cast

import torch
from lightning.pytorch import Callback
from lightning.pytorch.plugins.precision import Precision
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor
from torch.optim import Optimizer

from ..datamodules import Batches
from ..internals.lightning import same_draws
from ..internals.many_updates import Turn
from ..internals.torch import CompilationError, heard_by_none, say_stepped, step_unheard
from ..optimizers import Rule
from .chunkable import Chunkable
from .compiled import BLOCK, CompiledUpdates
from .one_by_one import steps_as_written, unheard, why_one_by_one

Batch = tuple[Tensor, ...]
Update = Callable[[Any], Tensor]
Listener = Callable[[Optimizer], None]
Context = Callable[[], AbstractContextManager[Any]]

REST = 50  # updates at most, after one that had to go by itself, until it is asked again: 14 µs
SECONDS = 0.2  # so long may a turn take before signals, callbacks and the progress have theirs


class ChunkDescent:
    """Makes the updates of a turn: what Lightning would do for each of its batches.

    Where nothing listens within an update, and nothing that makes it was changed, gradients go from
    `torch.autograd.grad` straight to the rule, or from `backward` to the step of torch's optimizer,
    the same bit for bit. Everywhere else, and at the first update of a fit, batches are left to
    Lightning, one by one. Compiled updates are the same within rounding, so that a fit that goes on
    compiles from its first update on, as the one before did in its midst.

    Args:
        module: in a fit.
        base: the class that has updates as they are written.
        chunk: how many updates a turn has at most; `auto` for as many as take 0.2 s.
    """

    def __init__(self, module: Chunkable, base: type, chunk: int | Literal["auto"]) -> None:
        self.module, self.base, self.chunk = module, base, chunk
        self.block = 0
        self.compiled: CompiledUpdates | None = None
        self.trainable: set[str] | None = None
        self.moving: set[str] = set()
        self.seconds = 0.0  # that a compiled block takes
        self.reasons = 0
        reason = _why_not_compiled(module, self.optimizer) if module.compiles else None
        self.compiles = module.compiles and reason is None
        if reason is not None:
            rank_zero_warn(f"model.compile = true: {reason}: the updates go uncompiled")
        self.begun = False
        self.refused = self.rest = 0  # times in a row, and updates until it is asked again

    @property
    def optimizer(self) -> Optimizer:
        """The one that makes the updates."""
        return self.module.trainer.optimizers[0]

    def updates(self, most: int) -> int:
        """Return how many updates to make in the next turn; below 2 leaves it to Lightning."""
        begun = self.begun or (self.compiles and self.module.global_step > 0)
        self.begun = True
        if isinstance(self.chunk, int) and not self.compiles:
            most = min(most, self.chunk)
        if most < 2 or not begun:
            return 1
        if self.rest:
            self.rest -= 1
            return 1
        if reason := self.reason():
            self._say(reason)
            self.refused += 1
            self.rest = 0 if self.compiles else min(self.refused - 1, REST)
            return 1
        self.refused = 0
        if self.compiles:
            return most
        told = [each for each in self._told() if hasattr(each, "most_updates")]
        attached: list[Callback] = self.module.trainer.callbacks  # type: ignore[attr-defined]
        quiet = (unheard(each, self.module) for each in attached)
        return min([most, *(int(each.most_updates()) for each in told), *quiet])

    def reason(self) -> str | None:
        """Return why something might listen within an update, or make it otherwise, or None."""
        return why_one_by_one(self.module, self.base)

    def _say(self, reason: str) -> None:
        """Say, where updates were to be compiled, why they are not; once, and not of a moment."""
        self.reasons += 1
        if self.compiles and self.reasons == 2:
            rank_zero_warn(f"model.compile = true: {reason}: the updates go one by one, uncompiled")

    def make(self, turn: Turn, updates: int) -> None:
        """Make up to so many updates, and tell who wants to know of them."""
        losses: list[Tensor] = []
        batches: list[Any] = []
        try:
            if self.compiles:
                self._compiled(turn, updates, losses, batches)
            if not turn.made:
                with heard_by_none(self.optimizer) as listeners:
                    self._uncompiled(turn, updates, losses, batches, listeners)
            say_stepped(self.optimizer)
            self.step_schedulers()
        finally:
            if turn.made:
                counted = torch.cat(losses)[: turn.made]
                for each in self._told():
                    each.on_updates(self.module.trainer, self.module, counted, batches[-1])

    def step_schedulers(self) -> None:
        """Step those that Lightning does not, under manual optimization."""
        if not self.module.automatic_optimization:
            self.module.step_schedulers()

    def _told(self) -> list[Any]:
        """Return the callbacks that are told of many updates at once."""
        attached: list[Callback] = self.module.trainer.callbacks  # type: ignore[attr-defined]
        return [
            each
            for each in attached
            if hasattr(each, "on_updates")
            and (callable(each.on_train_batch_end) or hasattr(each, "updates_unheard"))
        ]

    def _uncompiled(
        self,
        turn: Turn,
        updates: int,
        losses: list[Tensor],
        batches: list[Any],
        listeners: list[list[Listener]],
    ) -> None:
        end = time.monotonic() + SECONDS
        whole, of_loss = self._contexts()
        update = self._heard(self.update(of_loss), *listeners)
        with whole():
            for _ in range(updates):
                batches[:] = [turn.next()]
                loss = update(batches[0])
                losses.append(loss.reshape(1))
                turn.count()
                if turn.asked_to_end or time.monotonic() >= end:
                    break

    def _contexts(self) -> tuple[Context, Context]:
        """Return what Lightning has around a training step, for updates and for losses alone."""
        precision = self.module.trainer.precision_plugin
        if type(precision) is Precision:  # which has nothing
            return nullcontext, nullcontext
        if self.module.automatic_optimization:
            return nullcontext, precision.train_step_context
        return precision.train_step_context, nullcontext

    def update(self, of_loss: Context) -> Update:
        """Return what makes an update with a batch, and returns the loss before it.

        Args:
            of_loss: what is around the computation of the loss alone.
        """
        return (self._short if steps_as_written(self.optimizer) else self._step)(of_loss)

    def _heard(self, update: Update, before: list[Listener], after: list[Listener]) -> Update:
        """Return an update with what is to be called before its step and after."""
        if not before and not after:
            return update

        def heard(batch: Any) -> Tensor:
            for listener in before:
                listener(self.optimizer)
            loss = update(batch)
            for listener in after:
                listener(self.optimizer)
            return loss

        return heard

    def _short(self, of_loss: Context) -> Update:
        rule = cast(Rule, self.optimizer)
        slots = [
            (p, group) for group in rule.param_groups for p in group["params"] if p.requires_grad
        ]
        parameters = [parameter for parameter, _ in slots]

        def short(batch: Any) -> Tensor:
            with of_loss():
                loss = self.module.loss(batch)
            gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
            with torch.no_grad():
                for (parameter, group), gradient in zip(slots, gradients, strict=True):
                    parameter.grad = gradient
                    if gradient is not None:
                        rule.advance(parameter, gradient, group)
            return loss.detach()

        return short

    def _step(self, of_loss: Context) -> Update:
        step = step_unheard(self.optimizer)

        def update(batch: Any) -> Tensor:
            with of_loss():
                loss = self.module.loss(batch)
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            step()
            return loss.detach()

        return update

    def _compiled(self, turn: Turn, updates: int, losses: list[Tensor], batches: list[Any]) -> None:
        """Make the updates of as many blocks as there are, of whole batches, and have time."""
        passes = turn.passes
        if not isinstance(passes, Batches):
            self.compiles = False
            rank_zero_warn(
                "model.compile = true: batches are no tensors: the updates go uncompiled"
            )
            return
        chunk = BLOCK if self.chunk == "auto" else self.chunk
        self.block = self.block or min(BLOCK, chunk, passes.whole)  # each size compiles anew
        count = min(updates // self.block, self._blocks())
        count = passes.ahead(count * self.block) // self.block
        if count < 1:
            return
        rows = turn.moved(passes.stacked(count * self.block))
        begun = time.monotonic()
        done = self._blocks_of(rows, count)
        if done is None:
            return
        self.seconds = (time.monotonic() - begun) / count
        passes.skip(len(done))
        turn.count_many(len(done))
        losses.append(done)
        batches.append(tuple(part[-1] for part in rows))

    def _blocks(self) -> int:
        """Return how many blocks a turn has at most: as many as are made in its time, or one."""
        blocks = int(SECONDS / self.seconds) if self.seconds else 1
        if self.chunk != "auto":
            blocks = min(blocks, self.chunk // self.block)
        return max(blocks, 1)

    def _blocks_of(self, rows: tuple[Tensor, ...], count: int) -> Tensor | None:
        """Return the losses of stacked batches before their updates; None if not compiled."""
        rule = cast(Rule, self.optimizer)
        trainable = {name for name, p in self.module.named_parameters() if p.requires_grad}
        if trainable != self.trainable:
            first = tuple(part[0] for part in rows)
            with same_draws():
                self.moving = self._moved_by(first)
            self.trainable = trainable
        if self.compiled is None or not self.compiled.covers(self.moving):
            self.compiled = CompiledUpdates(self.module, rule, self.moving)
        parts = (part.reshape(count, self.block, *part.shape[1:]) for part in rows)
        try:
            return self.compiled(list(zip(*parts, strict=True)))
        except CompilationError as error:
            rank_zero_warn(
                "The updates were not compiled, and go on uncompiled: "
                f"{' '.join(str(error).split())[:200]}"
            )
            self.compiles = False
            return None

    def _moved_by(self, batch: Batch) -> set[str]:
        """Return the names of the parameters that the loss of a batch depends on."""
        named = {name: p for name, p in self.module.named_parameters() if p.requires_grad}
        loss = self.module.loss(batch)
        gradients = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
        return {name for name, each in zip(named, gradients, strict=True) if each is not None}


def _why_not_compiled(module: Chunkable, optimizer: Optimizer) -> str | None:
    """Return why the updates of a fit cannot be compiled, or None."""
    kind = type(optimizer).__name__
    if not isinstance(optimizer, Rule):
        return f"it is for the rules of descentlab.optimizers, and {kind} is none"
    if not steps_as_written(optimizer):
        return f"{kind} has a step of its own"
    if not module.descends_as_written():
        return f"{type(module).__name__} has a descend of its own"
    return None
