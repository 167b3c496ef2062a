"""Whether batches must be trained on one by one, and why."""

from collections.abc import Sequence
from typing import Any

from lightning.pytorch import Callback, LightningDataModule
from lightning.pytorch.plugins.precision import DoublePrecision, Precision
from lightning.pytorch.profilers import PassThroughProfiler
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch import Tensor
from torch.optim import Optimizer

from ..datamodules import ResumableLoader
from ..internals.lightning import STEP_HOOKS, TRANSFER_HOOKS, NoProfiler
from ..internals.many_updates import goes_forward_alone, saves_within_epochs, training_loaders
from ..internals.torch import (
    gradients_have_listeners,
    heard_by_none,
    method_of,
    step_has_listeners,
)
from ..optimizers import Rule
from .chunkable import Chunkable
from .closures import needs_closure

#: as many updates as there may be
MANY = 2**62
#: what makes an update, of the module
_OF_AN_UPDATE = (
    "training_step",
    "descend",
    "manual_backward",
    "backward",
    "optimizers",
    "optimizer_step",
    "optimizer_zero_grad",
    "configure_gradient_clipping",
    "lr_scheduler_step",
    "step_schedulers",
    *STEP_HOOKS,
    *TRANSFER_HOOKS,
)


def why_one_by_one(module: Chunkable, base: type) -> str | None:
    """Return why something might listen within an update, or make it otherwise; None if nothing.

    Args:
        module: in a fit.
        base: the class that has updates as they are written.
    """
    return (
        _of_the_trainer(module)
        or _of_hooks(module, base, _OF_AN_UPDATE)
        or _of_the_update(module)
        or _of_callbacks(module)
    )


def why_heard(module: Chunkable, base: type) -> str | None:
    """Return why something might listen within an update; None if nothing.

    Args:
        module: in a fit; its training step makes the update.
        base: the class with that step.
    """
    return (
        _of_the_trainer(module)
        or _of_hooks(module, base, ("training_step", *STEP_HOOKS, *TRANSFER_HOOKS))
        or _of_listeners(module)
        or _of_callbacks(module)
    )


def _of_the_trainer(module: Chunkable) -> str | None:
    trainer: Any = module.trainer
    loaders = training_loaders(trainer)
    reasons = {
        "another module is trained": trainer.lightning_module is not module,
        "several processes": type(trainer.strategy) is not SingleDeviceStrategy,
        "accumulated gradients": trainer.accumulate_grad_batches != 1,
        "clipped gradients": bool(trainer.gradient_clip_val),
        "a precision that scales or casts": type(trainer.precision_plugin)
        not in (Precision, DoublePrecision),
        "a profiler": type(trainer.profiler) not in (PassThroughProfiler, NoProfiler),
        "updates are left out": goes_forward_alone(trainer),
        "a scheduler of every step": module.automatic_optimization
        and any(each.interval == "step" for each in trainer.lr_scheduler_configs),
        "a loader of another kind": len(loaders) != 1
        or not isinstance(loaders[0], ResumableLoader),
        "several optimizers": len(trainer.optimizers) != 1,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def _of_hooks(module: Chunkable, base: type, names: Sequence[str]) -> str | None:
    data = module.trainer.datamodule  # type: ignore[attr-defined]
    for name in names:
        if _listens(module, base, name):
            return f"{type(module).__name__} has {name} of its own"
    for name in TRANSFER_HOOKS if data is not None else ():
        if _listens(data, LightningDataModule, name):
            return f"{type(data).__name__} has {name} of its own"
    return None


def _of_the_update(module: Chunkable) -> str | None:
    optimizer = module.trainer.optimizers[0]
    if not module.zeroes_gradients:
        return "gradients add up"
    if not (steps_as_written(optimizer) or _is_of_torch(optimizer)):
        return f"{type(optimizer).__name__} is no rule as it is written, and none of torch.optim"
    if any(isinstance(group.get("lr"), Tensor) for group in optimizer.param_groups):
        return "a learning rate that is a tensor"
    return _of_listeners(module)


def _of_listeners(module: Chunkable) -> str | None:
    optimizer = module.trainer.optimizers[0]
    with heard_by_none(optimizer):
        if step_has_listeners(optimizer):
            return "a hook of the optimizer's step"
    if gradients_have_listeners(p for _, p in module.named_parameters()):
        return "a hook of a parameter's gradient"
    return None


def _of_callbacks(module: Chunkable) -> str | None:
    attached: list[Callback] = module.trainer.callbacks  # type: ignore[attr-defined]
    for callback in attached:
        for hook in STEP_HOOKS:
            if not _listens(callback, Callback, hook) or _told(callback, hook):
                continue
            if not _says(callback, hook, "updates_unheard") or unheard(callback, module) < 2:
                return f"{type(callback).__name__} has {hook}"
    return None


def unheard(callback: Callback, module: Chunkable) -> int:
    """Return how many updates a callback need not hear before the next one that it must."""
    ask = getattr(callback, "updates_unheard", None)
    return MANY if ask is None else int(ask(module.trainer))


def _told(callback: Callback, hook: str) -> bool:
    """Return whether it is enough for a callback to be told of many updates at once, or of none."""
    if hook != "on_train_batch_end" or hook in vars(callback):
        return False
    return not saves_within_epochs(callback) or _says(callback, hook, "on_updates")


def _says(callback: Callback, hook: str, method: str) -> bool:
    """Return whether a callback has a method for a hook, in no class before that with the hook."""
    if hook in vars(callback):
        return False
    for kind in type(callback).__mro__:
        if method in vars(kind):
            return True
        if hook in vars(kind):
            return False
    return False


def _listens(one: object, base: type, hook: str) -> bool:
    """Return whether an object does something of its own at a hook."""
    found = getattr(one, hook)
    return callable(found) and getattr(found, "__func__", found) is not getattr(base, hook)


def steps_as_written(optimizer: Optimizer) -> bool:
    """Return whether an optimizer is a rule, of which no more than the formula is its own."""
    return isinstance(optimizer, Rule) and all(
        method_of(optimizer, name) is method_of(Rule, name)
        for name in ("step", "zero_grad", "advance", "moved")
    )


def _is_of_torch(optimizer: Optimizer) -> bool:
    """Return whether an optimizer is one of torch's, whose step needs no closure."""
    kind = type(optimizer)
    return (
        kind.__module__.startswith("torch.optim.")
        and not needs_closure(optimizer)
        and all(
            method_of(optimizer, name) is method_of(kind, name) for name in ("step", "zero_grad")
        )
    )
