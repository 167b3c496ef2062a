"""Many updates in one training step, for what Lightning does around a step to be paid once."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.plugins.precision import DoublePrecision, Precision
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from ..datamodules import Chunk
from ..internals import SPEED_TRICKS
from ..internals.lightning import UPDATE_HOOKS, count_updates
from ..internals.torch import CompilationError
from ..optimizers import Rule
from .compiled import BLOCK, CompiledUpdates

if TYPE_CHECKING:
    from .descent_module import DescentModule

Batch = tuple[Tensor, ...]


class ChunkDescent:
    """Makes one update for each batch of a chunk: what one training step for each would do.

    Where nothing listens within an update, in one process and without mixed precision, gradients
    go from `torch.autograd.grad` straight to the rule; otherwise, and at the first update of all,
    each update is `module.descend`. Both give the same parameters bit for bit.

    Args:
        module: under manual optimization.
    """

    def __init__(self, module: "DescentModule") -> None:
        self.module = module
        self.optimizer = cast(LightningOptimizer, module.optimizers())
        self.block = 0
        self.compiled: CompiledUpdates | None = None
        if module.compiles and isinstance(self.optimizer.optimizer, Rule):
            self.compiled = CompiledUpdates(module, self.optimizer.optimizer)
        elif module.compiles:
            rank_zero_warn(
                "model.compile = true compiles the rules of descentlab.optimizers, and "
                f"{type(self.optimizer.optimizer).__name__} is none: its updates go uncompiled"
            )

    def __call__(self, chunk: Chunk) -> Tensor:
        """Return the losses of the batches before their updates, detached; shape (updates,).

        Batches beyond `max_steps` are left.
        """
        module, stop = self.module, chunk.updates
        if module.trainer.max_steps >= 0:
            stop = min(stop, module.trainer.max_steps - module.global_step)
        unheard = _unheard(module.trainer, module)
        losses: list[Tensor] = []
        if module.global_step == 0:  # where the graph is drawn, whatever comes after
            losses.append(self._descend(chunk.rows(0, 1).batches()[0]).reshape(1))
        if unheard and self.compiled is not None:
            losses += self._compiled(chunk, len(losses), stop)
        done = sum(map(len, losses))
        update = self._short() if unheard and SPEED_TRICKS else self._descend
        rest = [update(batch) for batch in chunk.rows(done, stop).batches()]
        return torch.cat([*losses, torch.stack(rest)] if rest else losses)

    def _descend(self, batch: Batch) -> Tensor:
        loss = self.module.loss(batch)
        self.module.descend(loss)
        return loss.detach()

    def _short(self) -> Callable[[Batch], Tensor]:
        rule = self.optimizer.optimizer
        if not isinstance(rule, Rule):
            return self._descend
        slots = [(p, group) for group in rule.param_groups for p in group["params"]]
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
        if count < 1 or self.compiled is None:
            return []
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
            self.compiled = None
            return []
        count_updates(self.module.trainer, len(losses))
        return [losses]


def _unheard(trainer: Trainer, module: "DescentModule") -> bool:
    """Return whether nothing listens, and nothing else happens, within an update."""
    attached: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    listeners: list[tuple[Any, type]] = [(module, LightningModule)]
    listeners += [(callback, Callback) for callback in attached]
    return (
        type(trainer.precision_plugin) in (Precision, DoublePrecision)
        and trainer.world_size == 1
        and module.zeroes_gradients
        and not any(_listens(one, base, hook) for one, base in listeners for hook in UPDATE_HOOKS)
    )


def _listens(one: object, base: type, hook: str) -> bool:
    """Return whether an object does something of its own at a hook."""
    found = getattr(one, hook)
    return callable(found) and getattr(found, "__func__", found) is not getattr(base, hook)
