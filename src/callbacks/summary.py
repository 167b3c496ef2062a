"""What a fit found: a table for the reader, a file for scripts, HParams in TensorBoard."""

import json
import math
import os
import sys
import time
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from ..runs.folder import device_name, parameter_values, run_to_write
from .accelerator_timer import AcceleratorTimer
from .instrument import Instrument


class Summary(Instrument):
    """Write `summary.json`, log hyperparameters with the best loss, and print a table.

    Attributes:
        least: the epoch of the least training loss and of the least validation loss, with the
            losses: ``{"train": {"epoch", "loss"}, "val": {…}}``. Epochs count from 0.
    """

    def __init__(self) -> None:
        self.least: dict[str, dict[str, Any]] = {}
        self._start = 0.0
        self._before = 0  # updates of the run that this one goes on with

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note when training starts."""
        self._start = time.monotonic()
        self._before = trainer.global_step

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the least losses."""
        metrics = trainer.callback_metrics
        for name in ("train", "val"):
            value = metrics.get(f"loss/{name}")
            if value is not None:
                loss = float(value)
                if name not in self.least or loss < self.least[name]["loss"]:
                    self.least[name] = {"epoch": trainer.current_epoch, "loss": loss}

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write and show what was found."""
        run = run_to_write(trainer)
        if run is None:
            return
        report = self.report(trainer, pl_module)
        run.folder.mkdir(parents=True, exist_ok=True)
        run.summary.write_text(json.dumps(report, indent=2) + "\n")
        best = report["least"]["val"] or report["least"]["train"]
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger) and best and pl_module.hparams:
                logger.log_hyperparams(dict(pl_module.hparams), {"best/loss": best["loss"]})
        print(self.table(trainer, report, run.folder))

    def report(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """Return the content of `summary.json`."""
        seed = os.environ.get("PL_GLOBAL_SEED")
        return {
            "least": {name: self.least.get(name) for name in ("train", "val")},
            "parameters": parameter_values(pl_module),
            "steps": trainer.global_step,
            "seconds": round(time.monotonic() - self._start, 3),
            "seed": None if seed is None else int(seed),
            "device": device_name(pl_module.device),
        }

    def table(self, trainer: Trainer, report: dict[str, Any], folder: Path) -> str:
        """Return the table that ends a fit."""
        rows = [
            (f"least {label} loss", f"{least['loss']:.6g} at epoch {least['epoch']}")
            for name, label in (("train", "training"), ("val", "validation"))
            if (least := report["least"][name])
        ]
        rows += [(name, _short(value)) for name, value in report["parameters"].items()]
        made = f"{report['steps'] - self._before} in {report['seconds']:.1f} s"
        before = f", {self._before} before" if self._before else ""
        rows.append(("updates", f"{made} on {report['device']}{before}"))
        rows += [
            ("time per update", f"{timed['median'] * 1e6:.0f} µs (median of {timed['count']})")
            for callback in trainer.callbacks  # type: ignore[attr-defined]
            if isinstance(callback, AcceleratorTimer)
            and (timed := callback.report(trainer.strategy.root_device)["step"])
        ]
        rows.append(("run", str(folder)))
        rows.append(("to see it", f"{_command('tensorboard')} --logdir {folder.parent}"))
        rows.append(("to test it", f"{_command('descentlab')} test --run {folder}"))
        return "\n" + "\n".join(f"{name:<22}{value}" for name, value in rows)


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return f"shape {tuple(value['shape'])}, norm {value['norm']:.6g}"
    if isinstance(value, list):
        if len(str(value)) > 200:
            return f"{len(value)} values or rows, in summary.json"
        return f"[{', '.join(map(_short, value))}]"
    return f"{value:.6g}" if math.isfinite(value) else str(value)


def _command(name: str) -> str:
    """Return how a command of this Python is called: by its path, unless it is on PATH."""
    beside = Path(sys.executable).with_name(name)
    on_path = str(beside.parent) in os.environ.get("PATH", "").split(os.pathsep)
    if on_path or not beside.exists():
        return name
    return os.path.relpath(beside)
