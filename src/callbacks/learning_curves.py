"""Learning curves: the losses per update and per epoch, as figures."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from ..run import Run, tensorboard
from .batch_loss import BatchLoss
from .instrument import Instrument, recording

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_START = -1  # as in figures.py, which is imported only when a figure is drawn


class LearningCurves(Instrument):
    """Draw `figures/epoch_losses` and `figures/batch_losses`, as PNG, SVG and in TensorBoard.

    Values are taken from what the module logged, at each epoch's end; one that was not logged anew
    in an epoch is left out. What a full sanity check (`num_sanity_val_steps: -1`) measures is
    the point before any update. The figures are drawn when the fit ends, also by an exception, and
    a run that resumes draws the epochs before it too. Losses per update are those of a `BatchLoss`
    among the callbacks: put it before this one, so that it has them all when a run breaks off.

    Args:
        train: the metric's name for the loss on the training set.
        val: the metric's name for the loss on the validation set.

    Attributes:
        epochs: the epochs with a value, counted from 0; -1 is before any update.
        curves: name of a metric to its value at each of the epochs, None where there is none.
    """

    def __init__(self, train: str = "loss/train", val: str = "loss/val") -> None:
        self.train = train
        self.val = val
        self.epochs: list[int] = []
        self.curves: dict[str, list[float | None]] = {train: [], val: []}
        self._before: dict[str, Tensor] = {}
        self._folder: Path | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find the place of the figures."""
        folder = Run.of(trainer).figures  # asked for in all processes: Lightning broadcasts it
        self._folder = folder if recording(trainer) else None

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the losses before any update, if the sanity check went through all the data."""
        if not trainer.sanity_checking or self.epochs:
            return
        if trainer.num_sanity_val_batches == trainer.num_val_batches:
            self._record(_START, self._logged(trainer))

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remember the metrics so far, to know at the end which ones are new."""
        self._before = self._logged(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the losses of the epoch."""
        logged = self._logged(trainer).items()
        fresh = {name: value for name, value in logged if value is not self._before.get(name)}
        self._record(trainer.current_epoch, fresh)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the figures."""
        self._draw(trainer)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Draw the figures of a run that ends before its time."""
        self._draw(trainer)

    def state_dict(self) -> dict[str, Any]:
        """Return the curves so far."""
        curves = {name: list(values) for name, values in self.curves.items()}
        return {"epochs": list(self.epochs), "curves": curves}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the curves of an earlier run; names that are not drawn now are dropped."""
        self.epochs = list(state_dict["epochs"])
        unknown: list[float | None] = [None] * len(self.epochs)
        earlier = state_dict["curves"]
        self.curves = {name: list(earlier.get(name, unknown)) for name in self.curves}

    def _logged(self, trainer: Trainer) -> dict[str, Tensor]:
        metrics = trainer.callback_metrics
        return {name: metrics[name] for name in self.curves if name in metrics}

    def _record(self, epoch: int, values: dict[str, Tensor]) -> None:
        """Append one epoch's values; an epoch that is run again replaces its first run."""
        if not values:
            return
        kept = sum(earlier < epoch for earlier in self.epochs)
        self.epochs[kept:] = [epoch]
        for name, curve in self.curves.items():
            curve[kept:] = [float(values[name]) if name in values else None]

    def _draw(self, trainer: Trainer) -> None:
        folder, self._folder = self._folder, None
        if folder is None:
            return
        callbacks = trainer.callbacks  # type: ignore[attr-defined]  # set outside its __init__
        source = next((found for found in callbacks if isinstance(found, BatchLoss)), None)
        try:
            if self.epochs:
                _keep(trainer, _epoch_figure(self), folder / "epoch_losses")
            if source is not None and source.losses:
                _keep(trainer, _batch_figure(trainer, source), folder / "batch_losses")
        except Exception as error:  # a picture is never worth a run
            rank_zero_warn(f"The learning curves were not drawn: {error}")


def _epoch_figure(curves: LearningCurves) -> "Figure":
    from ..figures import learning_curve_figure

    return learning_curve_figure(curves.epochs, curves.curves)


def _batch_figure(trainer: Trainer, source: BatchLoss) -> "Figure":
    from ..figures import batch_loss_figure

    batches = trainer.num_training_batches  # infinite where a loader has no length
    steps_per_epoch = int(batches) if math.isfinite(batches) else 0
    return batch_loss_figure(source.losses, steps_per_epoch, first_step=source.first_step)


def _keep(trainer: Trainer, figure: "Figure", path: Path) -> None:
    """Write a figure into the run's folder and into TensorBoard, where there is one."""
    from ..figures import pixels, save_figure

    save_figure(figure, path)
    writer = tensorboard(trainer)
    if writer is not None:
        image, step = pixels(figure), trainer.global_step
        writer.add_image(f"figure/{path.name}", image, step, dataformats="HWC")
        writer.flush()
