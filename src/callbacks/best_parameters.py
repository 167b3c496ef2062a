"""The best and the last parameters, and those of every epoch."""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_warn
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch import Tensor

from ..errors import UsageError
from ..internals.lightning import copied, same_draws, snapshot
from ..internals.random_state import put_back, random_state
from ..runs.files import remove_leftovers, save_atomically
from ..runs.folder import recording, run_to_write
from ..runs.logger import RunLogger
from ..runs.parameter_history import ParameterHistory
from ..runs.reading import read_checkpoint
from .fresh_metrics import FreshMetrics, fitting, is_new
from .instrument import Instrument


class BestParameters(Instrument, Checkpoint):
    """Keep the best, the last and every epoch's parameters in memory, and write them now and then.

    The best are those with the least value of the monitored metric, with the parameters that it was
    measured with: at the end of a validation, also of one in the middle of an epoch, and for what
    the training loop logs at the end of an epoch. This is what Lightning's `ModelCheckpoint` with
    the same monitor keeps. Where a fit ends with other parameters than its last epoch had, as
    weight averaging does, these are the last.

    Written after the first epoch, at intervals of time, at the end, and on any exception or signal:
    first what was logged, then `parameters.pt` (every epoch's parameters, stacked), `best.ckpt`
    and `last.ckpt` (the last finished epoch), both of which `fit --ckpt_path` goes on from. A file
    of that name that a `ModelCheckpoint` has written is left alone, and `ckpt_path="best"` is that
    one's.
    A run that resumes takes over the best and the earlier epochs of the run that it goes on with,
    and, in one process, the state of the global random generators: of a shuffled DataLoader and of
    dropout it draws what a run that was never stopped does.

    Args:
        monitor: the metric whose least value is best; `loss/val` where it is measured, else
            `loss/train`, unless named here.
        every: seconds between two writes.
        history_mb: how many megabytes of parameters of single epochs are kept at most; 0 for none.

    Attributes:
        best: the checkpoint of the best parameters, or None.
        best_value: the least value of the metric.
        best_epoch: the epoch in which, or at whose end, it was measured.
        last: the checkpoint of the last finished epoch, or None.
        best_model_path: where the best checkpoint is written.

    Raises:
        UsageError: before training, if the folder cannot be written; at the end of an epoch, if
            `monitor` is not logged.
    """

    def __init__(
        self, monitor: str | None = None, every: float = 30.0, history_mb: float = 64.0
    ) -> None:
        for name, value in (("every", every), ("history_mb", history_mb)):
            if not value >= 0:
                raise UsageError(f"{name} must be a number >= 0, and {value} was given")
        self.monitor = monitor
        self.every = every
        self.history_mb = history_mb
        self.best_model_path = ""
        self._folder = Path()
        self._begin()

    def _begin(self) -> None:
        self.best: dict[str, Any] | None = None
        self.last: dict[str, Any] | None = None
        self.best_value = float("inf")
        self.best_epoch = -1
        self.history = ParameterHistory(self.history_mb)
        self._metric = self.monitor
        self._metrics = FreshMetrics()
        self._candidate: tuple[float, dict[str, Any]] | None = None
        self._validated = False
        self._fresh = False
        self._now: dict[str, float] = {"time": 0.0, "rows": 0}
        self._ended_early = False
        self._random: dict[str, Any] | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Make sure, before training, that the folder can be written."""
        if stage != "fit":
            return
        if is_new(trainer):
            self._begin()
        # behind other checkpoint callbacks: `ckpt_path="best"` is that of the first
        attached: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
        trainer.callbacks = [*(one for one in attached if one is not self), self]  # type: ignore[attr-defined]
        self._next_write = 0.0  # after the first epoch
        run = run_to_write(trainer)
        if run is not None:
            self._folder = run.checkpoints
            _check_writable(self._folder)
            remove_leftovers(self._folder)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the random generators into the state of the run that this one goes on with."""
        state, self._random = self._random, None
        if state is not None and trainer.world_size == 1:  # each of several has a state of its own
            put_back(state)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remember the metrics so far, to know at the end which ones are measured."""
        self._metrics.look(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the parameters, if they are the best so far."""
        if not fitting(trainer) or getattr(trainer, "fast_dev_run", False):
            return
        self._validated = True
        value = self._improvement(self._metrics.look(trainer))
        if value is None:
            return
        if trainer.is_last_batch and not _saves_others(trainer):  # the epoch's end takes them
            self._candidate = value, _state(trainer, pl_module)
        else:
            self.best_value, self.best_epoch = value, trainer.current_epoch
            self.best = self._snapshot(trainer)
            self._fresh = True

    def _snapshot(self, trainer: Trainer) -> dict[str, Any]:
        """Return a checkpoint of now, which tells the rows logged after it from those before."""
        self._now = {
            "time": time.time(),
            "rows": max(
                (each.rows for each in trainer.loggers if isinstance(each, RunLogger)), default=0
            ),
        }
        self._ended_early = trainer.should_stop
        return snapshot(trainer)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write, if it is time: all that belongs to the epoch before is logged by now."""
        if self._fresh and time.monotonic() >= self._next_write:
            self._write(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the parameters of the epoch that has just ended."""
        if getattr(trainer, "fast_dev_run", False):
            return
        measured, self._candidate = self._candidate, None
        value = measured[0] if measured is not None else None
        if value is None:
            value = self._improvement(self._metrics.look(trainer))
        if value is not None:
            self.best_value, self.best_epoch = value, trainer.current_epoch
        self.last = self._snapshot(trainer)
        if value is not None:
            self.best = self.last
            if measured is not None and not _equal(self.last["state_dict"], measured[1]):
                self.best = {**self.last, "state_dict": measured[1]}
        self._check_logged(trainer)
        self._remember(trainer.current_epoch, pl_module)
        self._fresh = True

    def _improvement(self, fresh: dict[str, float]) -> float | None:
        """Return the monitored value among those just measured, if it is the least so far."""
        for name in () if self.monitor else ("loss/train", "loss/val"):
            if name in fresh and self._metric in (None, "loss/train") and self._metric != name:
                self._metric = name  # values of another metric do not compare
                self.best, self.best_value, self.best_epoch = None, float("inf"), -1
        value = fresh.get(self._metric or "")
        return value if value is not None and value < self.best_value else None

    def _check_logged(self, trainer: Trainer) -> None:
        logged = trainer.callback_metrics
        waiting = trainer.enable_validation and not self._validated
        if self.monitor is None or self.monitor in logged or waiting:
            return
        raise UsageError(
            f"best_parameters.monitor={self.monitor!r} is not logged: "
            f"logged are {', '.join(sorted(logged)) or 'no metrics'}"
        )

    def _remember(self, epoch: int, pl_module: LightningModule) -> None:
        if not self.history.add(epoch, pl_module) and self.history_mb:
            rank_zero_warn(
                f"parameters.pt ends before epoch {epoch}: more than best_parameters.history_mb="
                f"{self.history_mb:g} MB of parameters; best.ckpt and last.ckpt go on"
            )

    def _write(self, trainer: Trainer) -> None:
        self._next_write = time.monotonic() + self.every
        if not self._fresh or not recording(trainer):
            return
        self._fresh = False
        if self._folder.parent.is_dir():  # of a run that is there, and lacks what was removed
            self._folder.mkdir(exist_ok=True)
        for logger in trainer.loggers:
            logger.save()  # what was logged before a checkpoint is on the disk before it
        if self.history.epochs:
            self.history.write(self._folder / "parameters.pt")
        others = _paths_of_others(trainer)
        written = {}
        for name, checkpoint in (("best", self.best), ("last", self.last)):
            path = self._folder / f"{name}.ckpt"
            if checkpoint is not None and os.path.realpath(path) not in others:
                save_atomically(checkpoint, path)
                written[name] = str(path)
        self.best_model_path = written.get("best", "")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write all at the end."""
        if self.last is not None:
            state = _state(trainer, pl_module)
            if not _equal(self.last["state_dict"], state):
                self.last = {**self.last, "state_dict": state}
        self._write(trainer)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Write all that there is when a run ends before its time."""
        self._write(trainer)

    def state_dict(self) -> dict[str, Any]:
        """Return the best value so far, its epoch and metric, and what a run goes on with."""
        return {
            "metric": self._metric,
            "best_value": self.best_value,
            "best_epoch": self.best_epoch,
            "logged": dict(self._now),
            "ended_early": self._ended_early,
            "random": random_state(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the best value and its epoch; `on_train_start` finds the parameters.

        Of another metric than the one that is monitored now they are left.
        """
        self._random = state_dict.get("random")
        if self._random is not None:
            with same_draws():
                put_back(self._random)  # which says here, and not later, if it is damaged
        metric = state_dict["metric"]
        if not isinstance(metric, str | None):
            raise TypeError(f"the metric is {type(metric).__name__}")
        if self.monitor in (None, metric):
            self._metric = metric
            self.best_value = float(state_dict["best_value"])
            self.best_epoch = int(state_dict["best_epoch"])

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take over what lies beside the checkpoint that the run goes on from."""
        self._metrics.look(trainer)
        if trainer.ckpt_path is None:
            return
        folder = Path(trainer.ckpt_path).parent
        if self.best_epoch >= 0:
            self._take_best(folder / "best.ckpt")
        self._take_history(folder / "parameters.pt")
        self.history.forget_from(trainer.current_epoch)

    def _take_history(self, path: Path) -> None:
        if path.is_file():
            try:
                self.history.read(path)
            except UsageError as error:
                rank_zero_warn(f"{error}; those of earlier epochs are lost")

    def _take_best(self, path: Path) -> None:
        self.best = None
        if path.is_file():
            try:
                self.best = read_checkpoint(path, "only last.ckpt is gone on from")
            except UsageError as error:
                rank_zero_warn(str(error))
        state = (self.best or {}).get("callbacks", {}).get(self.state_key, {})
        state = state if isinstance(state, Mapping) else {}
        value, epoch = state.get("best_value"), state.get("best_epoch")
        if (value, epoch) == (self.best_value, self.best_epoch):
            return
        if (
            isinstance(value, float)
            and isinstance(epoch, int)
            and state.get("metric") == self._metric
            and value < self.best_value
        ):
            # written just before the run was stopped, and the last checkpoint was not any more
            self.best_value, self.best_epoch = value, epoch
            return
        rank_zero_warn(f"{path} is not the best of epoch {self.best_epoch}: best starts anew")
        self.best, self.best_value, self.best_epoch = None, float("inf"), -1


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".probe").touch()
        (folder / ".probe").unlink()
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be written ({error.strerror}): choose another folder with "
            "--trainer.logger.save_dir"
        ) from error


def _state(trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
    """Return the module's state of now as a checkpoint has it; to be called in all processes."""
    if trainer.world_size > 1:  # a module may have a part of it in each
        return cast(dict[str, Any], snapshot(trainer)["state_dict"])
    return cast(dict[str, Any], copied(pl_module.state_dict()))


def _saves_others(trainer: Trainer) -> bool:
    """Return whether a callback puts other parameters into a checkpoint than the module has."""
    attached: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # set outside its __init__
    return any(is_overridden("on_save_checkpoint", one, Callback) for one in attached)


def _paths_of_others(trainer: Trainer) -> set[str]:
    """Return the files that the ModelCheckpoints among the callbacks keep."""
    kept: set[str] = set()
    for one in trainer.checkpoint_callbacks:
        if isinstance(one, ModelCheckpoint):
            kept |= {one.best_model_path, one.last_model_path, *one.best_k_models}
    return {os.path.realpath(path) for path in kept if path}


def _equal(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Return whether two states hold the same."""
    return one.keys() == other.keys() and all(
        torch.equal(value, other[name]) if isinstance(value, Tensor) else value == other[name]
        for name, value in one.items()
    )
