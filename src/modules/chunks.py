"""Many updates in one training step, for what Lightning does around a step to be paid once."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.plugins.precision import DoublePrecision, Precision
from torch import Tensor

from ..datamodules import Chunk
from ..errors import UsageError
from ..optimizers import Rule

if TYPE_CHECKING:
    from .descent_module import DescentModule

#: what Lightning calls within an update, and a chunk without `descend` would pass over
UPDATE_HOOKS = (
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
)


def descend_chunk(module: "DescentModule", chunk: Chunk) -> Tensor:
    """Make one update for each batch of a chunk, the same as one training step for each.

    Where nothing listens within an update, in one process and without mixed precision, gradients
    go from `torch.autograd.grad` straight to the rule; otherwise, and at the first update of all,
    every update is `module.descend`.

    Args:
        module: under manual optimization.
        chunk: its batches; those beyond `max_steps` are left.

    Returns:
        The loss of each batch before its update, detached; shape (updates,).

    Raises:
        UsageError: if the module is under automatic optimization.
    """
    if module.automatic_optimization:
        raise UsageError(
            "data.chunk is above 1, which automatic optimization cannot do: "
            "add --model.manual_optimization true"
        )
    left = module.trainer.max_steps - module.global_step
    batches = chunk.batches()[: left if module.trainer.max_steps >= 0 else None]
    losses: list[Tensor] = []
    for batch in batches:
        if module.global_step == 0 or not losses:
            update = _update(module)
        losses.append(update(batch))
    return torch.stack(losses)


def _update(module: "DescentModule") -> Callable[[Any], Tensor]:
    """Return how an update is made: the short way, or `descend`."""
    optimizer = cast(LightningOptimizer, module.optimizers())
    rule = optimizer.optimizer
    trainer = module.trainer
    if module.global_step == 0 or not isinstance(rule, Rule) or not _unheard(trainer, module):
        return lambda batch: _descend(module, batch)
    slots = [(parameter, group) for group in rule.param_groups for parameter in group["params"]]
    parameters = [parameter for parameter, _ in slots]

    def short(batch: Any) -> Tensor:
        # the wrapped optimizer's own hooks are what counts global_step
        optimizer._on_before_step()
        loss = module.loss(batch)
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        with torch.no_grad():
            for (parameter, group), gradient in zip(slots, gradients, strict=True):
                if gradient is not None:
                    rule.update(parameter, gradient, rule.state[parameter], group)
        optimizer._on_after_step()
        return loss.detach()

    return short


def _descend(module: "DescentModule", batch: Any) -> Tensor:
    loss = module.loss(batch)
    module.descend(loss)
    return loss.detach()


def _unheard(trainer: Trainer, module: "DescentModule") -> bool:
    """Return whether nothing listens, and nothing else happens, within an update."""
    plain = type(trainer.precision_plugin) in (Precision, DoublePrecision)
    listeners = [(module, LightningModule), *((one, Callback) for one in trainer.callbacks)]  # type: ignore[attr-defined]
    return (
        plain
        and trainer.world_size == 1
        and module.zeroes_gradients
        and not any(_listens(one, base, hook) for one, base in listeners for hook in UPDATE_HOOKS)
    )


def _listens(one: object, base: type, hook: str) -> bool:
    """Return whether an object does something of its own at a hook."""
    found = getattr(one, hook)
    return callable(found) and getattr(found, "__func__", found) is not getattr(base, hook)
