"""Private interfaces of Lightning that the project relies on.

For speed alone, off with `DESCENTLAB_PLAIN=1`; without it all goes on as before, slower:

- a hook that is None is not called (`LeanModule`, `pass_over`): 2 to 4 µs a hook, six an update
  and eight an epoch;
- `_current_fx_name` set without `nn.Module.__setattr__` (`LeanModule`): 50 to 75 µs an update;
- `_call_batch_hook` passed over where it hands on the batch as it is (`LeanModule`): 25 µs;
- `__signature__`, which Lightning asks for at every step (`with_signature`): 20 µs an update, 60 µs
  a validation;
- a profiler that makes no generators (`NoProfiler`): 1.5 µs, 25 times an update;
- `callback_metrics`, a live dict (`set_metrics`): 340 µs a value, which `self.log` takes;
- `_checkpoint_connector.dump_checkpoint` (`snapshot`): 3 ms an epoch, which writing a file takes.

For what no public interface gives:

- `batch_progress`, `epoch_progress`, `restarting` (`resume_position`): which batch comes next after
  a stop within an epoch; without it a batch is skipped or comes twice;
- `fit_loop.max_epochs`, set (`set_max_epochs`): a sweep in groups is several trainings in one fit;
- `fit_loop.run`, with `on_run_start` and `on_run_end` (`end_in_any_case`): Lightning calls neither
  where nothing is left to train, and the results of a run that was stopped then are never written;
- `total_batch_idx` (`batches_trained`): the number of the first update of a run that goes on;
- `batch_progress.current` (`epoch_share`): how far an epoch is;
- the counts of updates in a checkpoint (`carry_updates`): Lightning counts automatic and manual
  ones apart, and begins at 0 where a run goes on the other way;
- `fit_loop._data_source` (`training_loader`): what `fit` was given to train on, before it is set
  up;
- `_accelerator_connector.use_distributed_sampler` (`divides_loaders`): whether rows of a DataLoader
  are divided among processes;
- `_trainer` (`is_attached`): whether a module has a trainer, without the error of asking for it;
- `_trainer`, set (`look_on`): a copy of a module that reads its trainer and changes nothing there.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers.logger import DummyLogger
from lightning.pytorch.profilers import PassThroughProfiler
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.model_helpers import is_overridden
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor

from . import SPEED_TRICKS

#: within an update
UPDATE_HOOKS = (
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
)

#: within it and around it
STEP_HOOKS = ("on_train_batch_start", "on_train_batch_end", *UPDATE_HOOKS)

#: around an epoch and its validation
EPOCH_HOOKS = (
    "on_train_epoch_start",
    "on_train_epoch_end",
    "on_validation_start",
    "on_validation_epoch_start",
    "on_validation_epoch_end",
    "on_validation_end",
)

#: around a batch of it, whose signatures Lightning looks at where they are a module's
VALIDATION_BATCH_HOOKS = ("on_validation_batch_start", "on_validation_batch_end")

#: the hooks, of a module or its data, that take a batch on its way to the device
TRANSFER_HOOKS = (
    "on_before_batch_transfer",
    "transfer_batch_to_device",
    "on_after_batch_transfer",
)

_NOTHING = nullcontext()
_AS_IT_IS = (int, float, str, bool, type(None))  # most of a state

Step = TypeVar("Step", bound=Callable[..., Any])


def pass_over(hooked: LightningModule | Callback, hook: str) -> None:
    """Have Lightning call a hook of an object no more, where that saves time; see `call_again`.

    The object must do right where the hook is called all the same.
    """
    if SPEED_TRICKS:
        hooked.__dict__[hook] = None


def call_again(hooked: LightningModule | Callback, hook: str) -> None:
    """Have Lightning call a hook that it passed over."""
    hooked.__dict__.pop(hook, None)


def pass_over_unused(hooked: LightningModule | Callback, base: type) -> None:
    """Have Lightning pass over the hooks that a class leaves as its base has them."""
    of_callbacks = VALIDATION_BATCH_HOOKS if isinstance(hooked, Callback) else ()
    for hook in STEP_HOOKS + EPOCH_HOOKS + of_callbacks:
        if getattr(type(hooked), hook) is getattr(base, hook):
            pass_over(hooked, hook)


class LeanModule(LightningModule):
    """Spare what an update costs beside its arithmetic, where nothing would come of it.

    All of it is overridden in this class alone, and gives way to hooks that are really there.
    """

    _batches_stay = False  # whether, in a fit, a batch is on its device and no hook takes it

    def __init__(self) -> None:
        super().__init__()
        pass_over_unused(self, LightningModule)

    def on_fit_start(self) -> None:
        """See which hooks would do something in this fit."""
        trainer = self.trainer
        homes = [self, *([trainer.datamodule] if trainer.datamodule is not None else [])]  # type: ignore[attr-defined]
        taken = any(is_overridden(hook, home) for home in homes for hook in TRANSFER_HOOKS)
        self._batches_stay = self.device.type == "cpu" and not taken
        hook = "configure_gradient_clipping"
        call_again(self, hook)
        if not trainer.gradient_clip_val and not is_overridden(hook, self):
            pass_over(self, hook)

    if SPEED_TRICKS:

        def __setattr__(self, name: str, value: Any) -> None:
            """Set an attribute; what Lightning sets 44 times an update goes the short way."""
            if name == "_current_fx_name":
                self.__dict__[name] = value
            else:
                super().__setattr__(name, value)

        def _call_batch_hook(self, hook_name: str, *args: Any) -> Any:
            if self._batches_stay and self.trainer.state.fn is TrainerFn.FITTING:
                return args[0]
            return super()._call_batch_hook(hook_name, *args)


def with_signature(step: Step) -> Step:
    """Give a step its signature, so that it is not worked out anew at each call."""
    if SPEED_TRICKS:
        step.__signature__ = inspect.signature(step)  # type: ignore[attr-defined]
    return step


class NoProfiler(PassThroughProfiler):
    """Measure nothing, without the generator that Lightning's own way to do so makes each time."""

    if SPEED_TRICKS:

        def profile(self, action_name: str) -> Any:
            """Return a context that does nothing."""
            return _NOTHING


def set_metrics(module: LightningModule, values: Mapping[str, Tensor]) -> None:
    """Put metrics where callbacks find them, `trainer.callback_metrics`, and in no logger.

    Args:
        module: in a hook at which it may log.
        values: by tag.
    """
    if SPEED_TRICKS:
        module.trainer.callback_metrics.update(values)
    else:
        module.log_dict(dict(values), logger=False, batch_size=1)


def snapshot(trainer: Trainer) -> dict[str, Any]:
    """Return a checkpoint that shares no memory with the trainer; to be called in all processes."""
    if SPEED_TRICKS:
        checkpoint = trainer._checkpoint_connector.dump_checkpoint(weights_only=False)
        return cast(dict[str, Any], copied(checkpoint))
    with TemporaryDirectory() as folder:
        path = trainer.strategy.broadcast(Path(folder) / "snapshot.ckpt")
        trainer.save_checkpoint(path)
        loaded: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        trainer.strategy.barrier()
        return loaded


def copied(value: Any) -> Any:
    """Return a state with clones of its tensors."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return {key: x if type(x) in _AS_IT_IS else copied(x) for key, x in value.items()}
    if type(value) in (list, tuple):
        return type(value)(x if type(x) in _AS_IT_IS else copied(x) for x in value)
    return value


def resume_position(trainer: Trainer) -> Any:
    """Return the trainer's own count of batches, set right where a run goes on.

    A checkpoint that was saved while an epoch was beginning has the batch count of the epoch
    before, by which Lightning would skip the new one.
    """
    loop = trainer.fit_loop
    position = loop.epoch_loop.batch_progress
    epochs: Any = loop.epoch_progress.total
    if loop.restarting and epochs.ready > epochs.started:
        position.reset_on_run()
    return position


def set_max_epochs(trainer: Trainer, epochs: int | None) -> None:
    """Set after how many epochs a fit that is under way ends."""
    trainer.fit_loop.max_epochs = epochs


def end_in_any_case(trainer: Trainer) -> None:
    """Have a fit with nothing left to train begin and end as any other, for what its end writes."""
    loop = trainer.fit_loop
    loop.run = partial(_run_or_end, loop)  # type: ignore[method-assign]  # is sent to processes


def _run_or_end(loop: Any) -> None:
    loop.setup_data()
    if loop.trainer.limit_train_batches == 0 or loop.max_batches == 0 or not loop.done:
        type(loop).run(loop)
        return
    loop.epoch_progress.current.completed = loop.epoch_progress.current.processed
    if loop.trainer.val_dataloaders is None:
        loop.epoch_loop.val_loop.setup_data()
    loop.on_run_start()
    loop.on_run_end()


def batches_trained(trainer: Trainer) -> int:
    """Return how many batches were trained on so far, by this run and those it goes on with."""
    return trainer.fit_loop.total_batch_idx + 1


def epoch_share(trainer: Trainer) -> float:
    """Return how much of the epoch is trained; of one without a length n / (n + 1)."""
    done = trainer.fit_loop.epoch_loop.batch_progress.current.ready
    batches = trainer.num_training_batches
    return done / (batches if batches != float("inf") else done + 1)


def carry_updates(checkpoint: dict[str, Any], automatic: bool) -> None:
    """Have a run that goes on the other way, automatic or manual, go on counting its updates.

    Args:
        checkpoint: changed in place.
        automatic: whether the run that goes on is under automatic optimization.
    """
    loop = checkpoint["loops"]["fit_loop"]
    steps = loop["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]["step"]
    by_hand = loop["epoch_loop.manual_optimization.optim_step_progress"]
    before, now = (by_hand, steps) if automatic else (steps, by_hand)
    if before["total"]["completed"] > now["total"]["completed"]:
        for span in ("total", "current"):
            now[span].update(before[span])


def training_loader(trainer: Trainer) -> Any:
    """Return what a fit trains on, before Lightning looks at it."""
    return trainer.fit_loop._data_source.dataloader()


def divides_loaders(trainer: Trainer) -> bool:
    """Return whether Lightning divides the rows of a DataLoader among processes."""
    return trainer.world_size > 1 and trainer._accelerator_connector.use_distributed_sampler


def first_batch(trainer: Trainer) -> Any:
    """Return the first batch of what a fit trains on; None where that cannot be looked at.

    No random number is drawn by it, as far as torch's, NumPy's and Python's generators go. What
    gives its batches only once is not looked at.
    """
    with same_draws():
        loader = training_loader(trainer)
        if not isinstance(loader, Iterable) or isinstance(loader, Mapping | list | tuple):
            return None
        batches = iter(loader)
        return None if batches is loader else next(batches, None)


def is_attached(module: LightningModule) -> bool:
    """Return whether a module has a trainer."""
    return module._trainer is not None


class LossReached(Exception):  # noqa: N818  # no error: it ends a step where its loss is known
    """Carries the loss out of a training step that would go backward next."""

    def __init__(self, loss: Tensor) -> None:
        super().__init__("the loss is known")
        self.loss = loss


class _Still:
    """An object that is read and does nothing: a trainer, an optimizer or a scheduler."""

    def __init__(self, original: Any, **other: Any) -> None:
        self.__dict__.update(other, _original=original)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_original"], name)

    @property  # type: ignore[misc]  # of an object it can be written
    def __class__(self) -> Any:
        """What it is taken for by `isinstance`."""
        return type(self.__dict__["_original"])

    def zero_grad(self, *_: Any, **__: Any) -> None:
        """Leave the gradients."""

    def step(self, closure: Callable[[], Any] | None = None, *_: Any, **__: Any) -> Any:
        """Move nothing."""
        return None if closure is None else closure()


def look_on(copy: LightningModule, module: LightningModule) -> None:
    """Have the training step of a module's copy change, log and step nothing but the copy.

    Under manual optimization it raises `LossReached` where it would first go backward.

    Args:
        copy: has no trainer of its own; changed in place.
        module: in a fit.
    """

    def nothing(*_: Any, **__: Any) -> None:
        pass

    def backward(loss: Tensor, *_: Any, **__: Any) -> None:
        raise LossReached(loss)

    def still(found: Any) -> Any:
        return [_Still(each) for each in found] if isinstance(found, list) else _Still(found)

    silent = DummyLogger()
    copy._trainer = _Still(module.trainer, logger=silent, loggers=[silent])  # type: ignore[assignment]
    for name in ("log", "log_dict", "print", "toggle_optimizer", "untoggle_optimizer"):
        copy.__dict__[name] = nothing
    copy.__dict__["clip_gradients"] = nothing
    copy.__dict__["manual_backward"] = backward
    copy.__dict__["optimizers"] = lambda *_, **__: still(module.optimizers())
    copy.__dict__["lr_schedulers"] = lambda: still(module.lr_schedulers())


@contextmanager
def same_draws() -> Iterator[None]:
    """Leave the global random generators as they are, also past an exception."""
    failed = None
    with isolate_rng():  # leaves them as they were drawn from, if an exception passes it
        try:
            yield
        except BaseException as error:
            failed = error
    if failed is not None:
        raise failed
