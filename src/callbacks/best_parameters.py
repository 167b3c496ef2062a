"""The best and the last parameters, and those of every epoch."""

import time
from pathlib import Path
from typing import Any, cast

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from ..errors import UsageError
from ..internals.lightning import snapshot
from ..runs.folder import recording, run_to_write, save_atomically
from .instrument import Instrument


class BestParameters(Instrument, Checkpoint):
    """Keep the best, the last and every epoch's parameters in memory, and write them now and then.

    Written, at intervals of time, at the end, and on any exception or signal: `best.ckpt` (the
    epoch with the least monitored value), `last.ckpt` (the last finished epoch), both of which
    `fit --ckpt_path` goes on from, and `parameters.pt` (every epoch's parameters, stacked).
    A run that resumes takes over the best and the earlier epochs of the run that it goes on with.

    Args:
        monitor: the metric whose least value is best; `loss/val` where it is logged, else
            `loss/train`, unless named here.
        every: seconds between two writes.
        history_mb: how many megabytes of parameters of single epochs are kept at most; 0 for none.

    Attributes:
        best: the checkpoint of the best epoch, or None.
        last: the checkpoint of the last finished epoch, or None.
        best_model_path: where the best checkpoint is written.

    Raises:
        UsageError: before training, if the folder cannot be written.
    """

    def __init__(
        self, monitor: str | None = None, every: float = 30.0, history_mb: float = 64.0
    ) -> None:
        if every < 0:
            raise UsageError(f"every must be a number of seconds >= 0, and {every} was given")
        self.monitor = monitor
        self.every = every
        self.history_mb = history_mb
        self.best: dict[str, Any] | None = None
        self.last: dict[str, Any] | None = None
        self.best_model_path = ""
        self.best_value = float("inf")
        self.best_epoch = -1
        self.history: dict[int, dict[str, Tensor]] = {}
        self._bytes = 0.0
        self._fresh = False
        self._folder = Path()
        self._next_write = 0.0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Make sure, before training, that the folder can be written."""
        run = run_to_write(trainer)
        if stage != "fit" or run is None:
            return
        self._folder = run.checkpoints
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._folder / ".probe").touch()
            (self._folder / ".probe").unlink()
        except OSError as error:
            raise UsageError(
                f"{self._folder} cannot be written ({error.strerror}): choose another folder with "
                "--trainer.logger.save_dir"
            ) from error
        self._next_write = time.monotonic() + self.every

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the parameters of the epoch that has just ended."""
        if getattr(trainer, "fast_dev_run", False):
            return
        epoch = trainer.current_epoch
        value = self._monitored(trainer)
        is_best = value is not None and value < self.best_value
        if is_best:
            self.best_value, self.best_epoch = cast(float, value), epoch
        self.last = snapshot(trainer)
        if is_best:
            self.best = self.last
        self._remember(epoch, pl_module)
        self._fresh = True
        if time.monotonic() >= self._next_write:
            self._write(trainer)

    def _monitored(self, trainer: Trainer) -> float | None:
        metrics = trainer.callback_metrics
        if self.monitor is not None and self.monitor not in metrics:
            raise UsageError(
                f"best_parameters.monitor={self.monitor!r} is not logged: "
                f"logged are {', '.join(sorted(metrics)) or 'no metrics'}"
            )
        names = (self.monitor,) if self.monitor is not None else ("loss/val", "loss/train")
        return next((float(metrics[name]) for name in names if name in metrics), None)

    def _remember(self, epoch: int, pl_module: LightningModule) -> None:
        if self._bytes > self.history_mb * 1e6:
            return
        values = {name: p.detach().to("cpu", copy=True) for name, p in pl_module.named_parameters()}
        self._bytes += sum(value.nbytes for value in values.values())
        if self._bytes <= self.history_mb * 1e6:
            self.history[epoch] = values
        elif self.history_mb:
            rank_zero_warn(
                f"parameters.pt ends before epoch {epoch}: more than best_parameters.history_mb="
                f"{self.history_mb:g} MB of parameters; best.ckpt and last.ckpt go on"
            )

    def _write(self, trainer: Trainer) -> None:
        self._next_write = time.monotonic() + self.every
        if not self._fresh or not recording(trainer):
            return
        self._fresh = False
        for name, checkpoint in (("best", self.best), ("last", self.last)):
            if checkpoint is not None:
                save_atomically(checkpoint, self._folder / f"{name}.ckpt")
        self.best_model_path = str(self._folder / "best.ckpt") if self.best is not None else ""
        if self.history:
            stacked = {
                name: torch.stack([values[name] for values in self.history.values()])
                for name in next(iter(self.history.values()))
            }
            epochs = torch.tensor(list(self.history))
            save_atomically({"epoch": epochs, **stacked}, self._folder / "parameters.pt")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write all at the end."""
        self._write(trainer)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Write all that there is when a run ends before its time."""
        self._write(trainer)

    def state_dict(self) -> dict[str, Any]:
        """Return the best value and its epoch so far."""
        return {"best_value": self.best_value, "best_epoch": self.best_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the best value and its epoch; `on_train_start` finds the parameters."""
        self.best_value, self.best_epoch = state_dict["best_value"], state_dict["best_epoch"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take over what lies beside the checkpoint that the run goes on from."""
        if trainer.ckpt_path is None or self.best_epoch < 0:
            return
        folder = Path(trainer.ckpt_path).parent
        best = folder / "best.ckpt"
        if best.is_file():
            self.best = torch.load(best, map_location="cpu", weights_only=True)
        if self.best is None or self.best["epoch"] != self.best_epoch:
            rank_zero_warn(f"{best} is not the best of epoch {self.best_epoch}: best starts anew")
            self.best, self.best_value, self.best_epoch = None, float("inf"), -1
        if (folder / "parameters.pt").is_file():
            stacked = torch.load(folder / "parameters.pt", weights_only=True)
            for row, epoch in enumerate(stacked.pop("epoch").tolist()):
                if epoch < trainer.current_epoch:
                    self.history[epoch] = {name: value[row] for name, value in stacked.items()}
