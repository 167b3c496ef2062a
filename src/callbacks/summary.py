"""Summary of a fit: a table and a page for the reader, a file for scripts, HParams."""

import math
import os
import time
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from ..runs.files import write_json
from ..runs.folder import Run, device_name, parameter_values, run_to_write
from ..runs.hyperparameters import flat
from ..runs.logger import RunLogger
from ..runs.terminal import called, show
from .accelerator_timer import AcceleratorTimer
from .fresh_metrics import FreshMetrics, fitting, is_new
from .instrument import Instrument
from .report import versions, write_report

_TAGS = {"train": "loss/train", "val": "loss/val"}
#: what is kept of a least loss, each with its kind
_LEAST: dict[str, type] = {"epoch": int, "loss": float, "step": int}


class Summary(Instrument):
    """Write `summary.json` and `report.html`, log hyperparameters, and print a table.

    The page has the figures that are in the run's folder when the fit ends, also by an exception:
    put this after what draws them.

    A run that resumes sums up all of the run: the least losses and the seconds of the part before
    count too.

    Attributes:
        silent: whether no table is printed.
        least: the least training loss and the least validation loss of all that were measured, with
            the epoch in which, or at whose end, they were, and the updates made by then:
            ``{"train": {"epoch", "loss", "step"}, "val": {…}}``. Epochs count from 0.
        start: the losses before any update, where the sanity check goes through all the data.
        last: those that were measured last.
        measured_at: how many updates were made by then.
    """

    silent = False

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self.least: dict[str, dict[str, Any]] = {}
        self.start: dict[str, float] = {}
        self.last: dict[str, float] = {}
        self.measured_at = 0
        self._metrics = FreshMetrics()
        self._run: Run | None = None  # whose page is to be written
        self._start = 0.0
        self._first_rates = ""  # those of the optimizers when training starts
        self._seconds_before = 0.0  # of the run that this one goes on with
        self._before = 0  # updates of it

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Begin anew, unless the trainer goes on."""
        if stage == "fit" and is_new(trainer):
            self._begin()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note when training starts, and where."""
        self._run = run_to_write(trainer)
        self._metrics.look(trainer)
        self._start = time.monotonic()
        self._first_rates = _rates(trainer)
        self._before = trainer.global_step

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remember the metrics so far, to know at the end which ones are measured."""
        self._metrics.look(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the least losses, or those before any update."""
        fresh = self._metrics.look(trainer)
        if fitting(trainer):
            self._keep(trainer, fresh)
        elif trainer.sanity_checking and trainer.num_sanity_val_batches == trainer.num_val_batches:
            self.start = {name: fresh[tag] for name, tag in _TAGS.items() if tag in fresh}

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the least losses."""
        self._keep(trainer, self._metrics.look(trainer))

    def _keep(self, trainer: Trainer, fresh: dict[str, float]) -> None:
        last = {name: fresh[tag] for name, tag in _TAGS.items() if tag in fresh}
        if last:
            self.last, self.measured_at = self.last | last, trainer.global_step
        for name, tag in _TAGS.items():
            if not math.isfinite(fresh.get(tag, math.nan)):
                continue
            if name not in self.least or fresh[tag] < self.least[name]["loss"]:
                self.least[name] = {
                    "epoch": trainer.current_epoch,
                    "loss": fresh[tag],
                    "step": trainer.global_step,
                }

    def state_dict(self) -> dict[str, Any]:
        """Return what was found so far."""
        return {
            "least": {name: dict(least) for name, least in self.least.items()},
            "start": dict(self.start),
            "last": dict(self.last),
            "measured_at": self.measured_at,
            "seconds": self._seconds(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with what the run found before; what is no number is refused where it is read."""
        self.least = {
            name: {key: kind(least[key]) for key, kind in _LEAST.items()}
            for name, least in state_dict["least"].items()
        }
        self.start = {name: float(loss) for name, loss in state_dict["start"].items()}
        self.last = {name: float(loss) for name, loss in state_dict.get("last", {}).items()}
        self.measured_at = int(state_dict.get("measured_at", 0))
        self._seconds_before = float(state_dict["seconds"])

    def _seconds(self) -> float:
        running = time.monotonic() - self._start if self._start else 0.0
        return self._seconds_before + running

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write and show what was found."""
        run = run_to_write(trainer)
        if run is None:
            return
        report = self.report(trainer, pl_module)
        run.folder.mkdir(parents=True, exist_ok=True)
        write_json(run.summary, report)
        best = report["least"]["val"] or report["least"]["train"]
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger) and best and pl_module.hparams:
                settings = {**pl_module.hparams, "batch_size": _batch_size(trainer)}
                given = flat({**settings, "seed": report["seed"]})
                logger.log_hyperparams(given, {"loss/best": best["loss"]})
        if not self.silent:
            show(self.table(trainer, report, run.folder))
        self._seconds_before, self._start = self._seconds(), 0.0

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the page, when all figures are drawn, unless nothing was left to train."""
        run, self._run = self._run, None
        if run is not None:
            write_report(run)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Write the page of a run that ends before its time, from what was logged until then."""
        for logger in trainer.loggers:
            if isinstance(logger, RunLogger) and self._run is not None:
                logger.save()
        self.on_fit_end(trainer, pl_module)

    def report(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """Return the content of `summary.json`."""
        seed = os.environ.get("PL_GLOBAL_SEED")
        return {
            "least": {name: self.least.get(name) for name in _TAGS},
            "start": {name: self.start.get(name) for name in _TAGS},
            "last": {name: self.last.get(name) for name in _TAGS} | {"step": self.measured_at},
            "parameters": parameter_values(pl_module),
            "steps": trainer.global_step,
            "seconds": round(self._seconds(), 3),
            "seed": None if seed is None else int(seed),
            "device": device_name(pl_module.device),
            "versions": versions(),
        }

    def table(self, trainer: Trainer, report: dict[str, Any], folder: Path) -> str:
        """Return the table that ends a fit."""
        rows = [
            (f"start {label} loss", f"{start:.6g}")
            for name, label in (("train", "training"), ("val", "validation"))
            if (start := report["start"][name]) is not None
        ]
        rows += [
            (
                f"least {label} loss",
                f"{least['loss']:.6g} at epoch {least['epoch']}{self._rose(name)}",
            )
            for name, label in (("train", "training"), ("val", "validation"))
            if (least := report["least"][name])
        ]
        rows += self._ended_higher()
        rows += self._measured_when(trainer)
        rows += [(name, _short(value)) for name, value in report["parameters"].items()]
        if self._first_rates:
            rows.append(("lr", self._rates(trainer)))
        seconds = report["seconds"] - self._seconds_before
        made = f"{report['steps'] - self._before} in {seconds:.1f} s"
        before = f", {self._before} before" if self._before else ""
        rows.append(("updates", f"{made} on {report['device']}{before}"))
        rows += [
            ("time per update", f"{timed['median'] * 1e6:.0f} µs (median of {timed['count']})")
            for callback in trainer.callbacks  # type: ignore[attr-defined]
            if isinstance(callback, AcceleratorTimer)
            and (timed := callback.report(trainer.strategy.root_device)["step"])
        ]
        rows.append(("run", str(folder)))
        rows.append(("to see it", f"{called()} tensorboard {folder}"))
        rows.append(("to test it", f"{called()} test --run {folder}"))
        return "\n" + "\n".join(f"{name:<22}{value}" for name, value in rows)

    def _rates(self, trainer: Trainer) -> str:
        """Return the learning rates, at the start and, where they are others, at the end."""
        now = _rates(trainer)
        return now if now == self._first_rates else f"{self._first_rates}, {now} at the end"

    def _ended_higher(self) -> list[tuple[str, str]]:
        """Return the last training loss where it is above the start, and was below it before."""
        start, last = (found.get("train") for found in (self.start, self.last))
        least = (self.least.get("train") or {}).get("loss", math.inf)
        if start is None or last is None or not least <= start < last:
            return []
        return [("last training loss", f"{last:.6g}, worse than at the start ({start:.6g})")]

    def _measured_when(self, trainer: Trainer) -> list[tuple[str, str]]:
        """Return when losses were measured last, where the parameters changed since, or never."""
        made = trainer.global_step
        if not self.last and made:
            return [("losses", "none: nothing is logged as loss/train or loss/val")]
        if not self.last or self.measured_at >= made:
            return []
        return [("losses measured last", f"after update {self.measured_at} of {made}")]

    def _rose(self, name: str) -> str:
        """Return what is to be said of a loss that was never below its start."""
        start = self.start.get(name)
        if start is None or self.least[name]["loss"] <= start:
            return ""
        return f", worse than at the start ({start:.6g})"


def _rates(trainer: Trainer) -> str:
    """Return the learning rates of all groups of parameters; one that they share but once."""
    groups = [group for optimizer in trainer.optimizers for group in optimizer.param_groups]
    rates = (f"{float(group['lr']):.6g}" for group in groups if "lr" in group)
    return ", ".join(dict.fromkeys(rates))


def _batch_size(trainer: Trainer) -> Any:
    return getattr(getattr(trainer, "datamodule", None), "batch_size", None)


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return f"shape {tuple(value['shape'])}, norm {value['norm']:.6g}"
    if isinstance(value, list):
        if len(str(value)) > 200:
            return f"{len(value)} values or rows, in summary.json"
        return f"[{', '.join(map(_short, value))}]"
    return f"{value:.6g}" if math.isfinite(value) else str(value)
