"""Time per update and per epoch, on any device."""

import statistics
import time
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from ..errors import UsageError
from ..internals.lightning import call_again, pass_over
from ..runs.files import write_json
from ..runs.folder import device_name, run_to_write
from .instrument import Instrument


class AcceleratorTimer(Instrument):
    """Measure the time of an update and of an epoch, with the device synchronised.

    An update's time runs from the end of the one before it, or from the epoch's start, so loading
    the batch and all callbacks are in it, and validation is not. The first updates are left out
    (warm-up), and after `steps` updates no more are taken, so that later ones need not wait for the
    device.
    An epoch's time includes its validation; the first epoch is left out where there are more.

    Written: `timing.json` in the run's folder.

    Args:
        warmup: how many updates are left out at the start.
        steps: how many updates are timed at most.

    Attributes:
        step_seconds: the timed updates.
        epoch_seconds: the timed epochs.
    """

    def __init__(self, warmup: int = 10, steps: int = 200) -> None:
        for name, value in (("warmup", warmup), ("steps", steps)):
            if value < 0:
                raise UsageError(f"{name} must be at least 0, and {value} was given")
        self.warmup = warmup
        self.steps = steps
        self.step_seconds: list[float] = []
        self.epoch_seconds: list[float] = []
        self._seen = 0
        self._last_step = 0.0
        self._epoch_start = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin anew."""
        self.step_seconds, self.epoch_seconds, self._seen = [], [], 0
        self._step = trainer.global_step
        call_again(self, "on_train_batch_end")

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note when the epoch starts."""
        self._last_step = self._epoch_start = _now(pl_module.device)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Take the time of one update."""
        self._take(trainer, pl_module)

    def on_updates(
        self, trainer: Trainer, pl_module: LightningModule, losses: Tensor, batch: Any
    ) -> None:
        """Take the time of many updates that were made at once: to each its share."""
        self._take(trainer, pl_module)

    def _take(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if len(self.step_seconds) >= self.steps:
            return
        now = _now(pl_module.device)
        step, self._step = self._step, trainer.global_step
        updates = self._step - step
        if not updates:  # the next batch is of the same update
            return
        if self._seen >= self.warmup:
            timed = min(updates, self.steps - len(self.step_seconds))
            self.step_seconds += [(now - self._last_step) / updates] * timed
        self._seen += updates
        self._last_step = now
        if len(self.step_seconds) >= self.steps:
            pass_over(self, "on_train_batch_end")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the time of the epoch."""
        self.epoch_seconds.append(_now(pl_module.device) - self._epoch_start)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write `timing.json`, unless nothing was left to train and it is there."""
        run = run_to_write(trainer)
        if run is not None and (self.epoch_seconds or not run.timing.is_file()):
            run.folder.mkdir(parents=True, exist_ok=True)
            write_json(run.timing, self.report(pl_module.device))

    def report(self, device: torch.device) -> dict[str, Any]:
        """Return what was measured: seconds, as median and quartiles, and on what."""
        return {
            "device": device_name(device),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "step": _spread(self.step_seconds),
            "epoch": _spread(self.epoch_seconds[1:] or self.epoch_seconds),
        }


def _now(device: torch.device) -> float:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
    return time.perf_counter()


def _spread(seconds: list[float]) -> dict[str, float | int] | None:
    if not seconds:
        return None
    quartiles = (
        statistics.quantiles(seconds, n=4, method="inclusive") if len(seconds) > 1 else seconds * 3
    )
    return {
        "median": quartiles[1],
        "lower_quartile": quartiles[0],
        "upper_quartile": quartiles[2],
        "count": len(seconds),
    }
