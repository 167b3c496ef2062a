"""The whole training and validation sets, and the instruments that draw them when a fit ends."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn

from ..drawing.figure import Figure, files_of
from ..runs.folder import keep_picture, run_to_write, warn_unwritten
from .fresh_metrics import is_new
from .instrument import Instrument


def why_no_sets(trainer: Trainer) -> str | None:
    """Return why the whole sets are not at hand; None where they are."""
    if not isinstance(trainer.val_dataloaders, Mapping) or "train" not in trainer.val_dataloaders:
        return 'its validation loaders hold no training set, {"train": loader}'
    if trainer.world_size > 1:
        return "each of several processes has a part of the training set alone"
    return None


def batches_of(trainer: Trainer, pl_module: LightningModule, name: str) -> list[Any]:
    """Return the batches of a set by its name in the validation loaders, as a step gets them."""
    loaders: Any = trainer.val_dataloaders
    batches: Iterable[Any] = loaders[name]
    convert, move = trainer.precision_plugin.convert_input, trainer.strategy.batch_to_device
    return [move(convert(batch), pl_module.device, dataloader_idx=0) for batch in batches]


class PictureOfWholeSets(Instrument):
    """Draw a figure of the whole sets when a fit ends, also by an exception.

    Where a figure cannot be drawn the fit is left without it, with a warning.
    """

    #: what it draws, in a word: the name of the figure's files
    picture: str

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._begin()

    @abstractmethod
    def _begin(self) -> None:
        """Forget an earlier run."""

    @abstractmethod
    def _why_not(self, trainer: Trainer, pl_module: LightningModule) -> str | None:
        """Return why there is nothing to draw of a module; None where there is."""

    @abstractmethod
    def _take_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep what there is before the first update of this process."""

    @abstractmethod
    def figure(self, trainer: Trainer, pl_module: LightningModule) -> Figure | None:
        """Return the figure; None for none.

        Raises:
            FloatingPointError: the run diverged, which it says itself.
        """

    def _more(self, figure: Figure) -> dict[str, bytes]:
        """Return what else is made of the figure, which is drawn: content of files, by suffix."""
        return {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Begin anew, unless the trainer goes on."""
        if stage == "fit" and is_new(trainer):
            self._folder = None
            self._begin()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep what there is before the first update, and find the place of the figure."""
        reason = self._why_not(trainer, pl_module)
        if reason is not None:
            rank_zero_warn(f"No {self.picture} is drawn of {type(pl_module).__name__}: {reason}.")
            return
        run = run_to_write(trainer)
        self._folder = run.figures if run is not None else None
        self._take_start(trainer, pl_module)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the figure."""
        self._draw(trainer, pl_module)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Draw the figure of a run that ends before its time."""
        self._draw(trainer, pl_module)

    def _draw(self, trainer: Trainer, pl_module: LightningModule) -> None:
        folder, self._folder = self._folder, None
        if folder is None:
            return
        try:
            figure = self.figure(trainer, pl_module)
            if figure is not None:
                files = files_of(figure)
                files |= self._more(figure)
                keep_picture(trainer, folder / self.picture, files)
        except FloatingPointError as error:
            rank_zero_info(f"The {self.picture} was not drawn: {error}")
        except Exception as error:  # a picture is never worth a run
            warn_unwritten(f"The {self.picture} was not drawn", error)
