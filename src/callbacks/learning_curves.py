"""Learning curves: the losses per update and per epoch, as figures."""

import math
from collections.abc import Sized
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch.utils.data import DataLoader

from ..drawing.axes import START
from ..drawing.batch_losses import batch_loss_figure
from ..drawing.curves import learning_curve_figure
from ..drawing.figure import Figure, files_of
from ..internals.lightning import epoch_share
from ..runs.folder import keep_picture, run_to_write, warn_unwritten
from .batch_loss import BatchLoss
from .fresh_metrics import FreshMetrics, fitting, is_new
from .instrument import Instrument


class LearningCurves(Instrument):
    """Draw `figures/epoch_losses` and `figures/batch_losses`, as PNG, SVG and in TensorBoard.

    Values are taken from what the module logged, at each epoch's end, and at the end of each
    validation within an epoch; one that was not logged anew is left out. What a full sanity check
    (`num_sanity_val_steps: -1`) measures is the point before any update. The figures are drawn when
    the fit ends, also by an exception, and a run that resumes draws the epochs before it too.
    Losses per update are those of a `BatchLoss` among the callbacks: put it before this one, so
    that it has them all when a run breaks off.

    Args:
        train: the metric's name for the loss on the training set.
        val: the metric's name for the loss on the validation set.

    """

    def __init__(self, train: str = "loss/train", val: str = "loss/val") -> None:
        self.names = (train, val)
        self._begin()

    def _begin(self) -> None:
        # epoch and losses, row by row: a tensor, so that a checkpoint of it costs microseconds
        self._rows = torch.empty(0, 3, dtype=torch.float64)
        self._count = 0
        self._metrics = FreshMetrics()
        self._folder: Path | None = None

    @property
    def epochs(self) -> list[float]:
        """The epochs with a value, counted from 0, at their ends; -1 is before any update.

        What was measured within epoch e lies between e - 1 and e.
        """
        rows: list[float] = self._rows[: self._count, 0].tolist()
        return rows

    @property
    def curves(self) -> dict[str, list[float | None]]:
        """The value of each metric at each of the epochs, None where there is none."""
        columns = self._rows[: self._count, 1:].T.tolist()
        return {
            name: [None if math.isnan(value) else value for value in column]
            for name, column in zip(self.names, columns, strict=True)
        }

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Begin anew, unless the trainer goes on."""
        if stage == "fit" and is_new(trainer):
            self._begin()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find the place of the figures."""
        run = run_to_write(trainer)
        self._folder = run.figures if run is not None else None

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remember the metrics before a validation within an epoch, to know what it measures."""
        if fitting(trainer) and not trainer.is_last_batch:
            self._metrics.look(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take what was measured within an epoch, or before any update by a full sanity check."""
        if fitting(trainer) and not trainer.is_last_batch:
            epoch = trainer.current_epoch - 1 + epoch_share(trainer)
            self._record(epoch, self._metrics.look(trainer))
        elif trainer.sanity_checking and not self._count and _is_full(trainer):
            self._record(START, self._metrics.look(trainer))

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remember the metrics so far, to know at the end which ones are new."""
        self._metrics.look(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the losses of the epoch."""
        self._record(trainer.current_epoch, self._metrics.look(trainer))

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the figures."""
        self._draw(trainer, pl_module)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Draw the figures of a run that ends before its time."""
        self._draw(trainer, pl_module)

    def state_dict(self) -> dict[str, Any]:
        """Return the curves so far."""
        return {"names": list(self.names), "rows": self._rows[: self._count].clone()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the curves of an earlier run; names that are not drawn now are dropped."""
        rows, names = state_dict["rows"], state_dict["names"]
        self._count = len(rows)
        self._rows = torch.full_like(rows, math.nan)
        self._rows[:, 0] = rows[:, 0]
        for column, name in enumerate(self.names, start=1):
            if name in names:
                self._rows[:, column] = rows[:, 1 + names.index(name)]

    def _record(self, epoch: float, values: dict[str, float]) -> None:
        """Append what was measured; an epoch that is run again replaces its first run."""
        if values.keys().isdisjoint(self.names):
            return
        while self._count and self._rows[self._count - 1, 0] >= epoch:
            self._count -= 1
        if self._count == len(self._rows):
            self._rows = torch.cat([self._rows, torch.empty_like(self._rows), torch.empty(64, 3)])
        row = [epoch, *(values.get(name, math.nan) for name in self.names)]
        self._rows.numpy()[self._count] = row  # a tenth of the time of a tensor
        self._count += 1

    def _draw(self, trainer: Trainer, pl_module: LightningModule) -> None:
        folder, self._folder = self._folder, None
        if folder is None:
            return
        callbacks = trainer.callbacks  # type: ignore[attr-defined]  # set outside its __init__
        source = next((found for found in callbacks if isinstance(found, BatchLoss)), None)
        quantity = quantity_of(trainer, pl_module)
        try:
            if self._count:
                own = quantity if self.names == ("loss/train", "loss/val") else "loss"
                figure = learning_curve_figure(self.epochs, self.curves, own)
                keep_picture(trainer, folder / "epoch_losses", files_of(figure))
            if source is not None and source.losses:
                figure = _batch_figure(source, trainer, quantity)
                keep_picture(trainer, folder / "batch_losses", files_of(figure))
        except Exception as error:  # a picture is never worth a run
            warn_unwritten("The learning curves were not drawn", error)


def quantity_of(trainer: Trainer, module: object) -> str:
    """Return what the loss of a module is, with its unit as far as it is known.

    The class that has the method `loss` says it, as `quantity`, in which `{target}` stands for what
    the data call the target. Where it does not, as in a class that changes only the `loss` of
    another, it is "loss".
    """
    kinds = [vars(kind) for kind in type(module).__mro__ if "loss" in vars(kind)]
    quantity = str(kinds[0].get("quantity", "loss")) if kinds else "loss"
    labels = getattr(trainer.datamodule, "labels", ("x", "y"))  # type: ignore[attr-defined]  # set outside its __init__
    return quantity.replace("{target}", shorten(labels[1], 20, placeholder="…"))


def _is_full(trainer: Trainer) -> bool:
    """Return whether the sanity check went through all validation data."""
    return trainer.num_sanity_val_batches == trainer.num_val_batches


def _batch_figure(source: BatchLoss, trainer: Trainer, quantity: str) -> Figure:
    updates = source.updates_per_epoch
    short = _rows_of_a_short_batch(trainer, updates)
    return batch_loss_figure(
        source.losses, updates, first_step=source.first_step, short=short, quantity=quantity
    )


def _rows_of_a_short_batch(trainer: Trainer, updates: int) -> int:
    """Return how many rows an epoch's last update has, if they are fewer; 0 if not, or unknown."""
    loader = trainer.train_dataloader
    rows, size = getattr(loader, "rows", None), getattr(loader, "batch_size", None)
    if rows is None and isinstance(loader, DataLoader) and isinstance(loader.dataset, Sized):
        rows, size = len(loader.dataset), (size or 0) * trainer.world_size
    size = (size or 0) * trainer.accumulate_grad_batches
    left = rows - (updates - 1) * size if rows and size else 0
    return left if 0 < left < size else 0
