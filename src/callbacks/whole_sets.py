"""The whole training and validation sets, for what is drawn of all rows at the end of a fit."""

from collections.abc import Iterable, Mapping
from typing import Any

from lightning.pytorch import LightningModule, Trainer


def why_no_sets(trainer: Trainer) -> str | None:
    """Return why the whole sets are not at hand; None where they are."""
    if not isinstance(trainer.val_dataloaders, Mapping) or "train" not in trainer.val_dataloaders:
        return 'its validation loaders hold no training set, {"train": loader}'
    if trainer.world_size > 1:
        return "each of several processes has a part of the training set alone"
    return None


def load_sets(trainer: Trainer) -> None:
    """Make the validation loaders of a fit that had nothing left to train, and so made none."""
    if trainer.val_dataloaders is None:
        trainer.fit_loop.epoch_loop.val_loop.setup_data()


def batches_of(trainer: Trainer, pl_module: LightningModule, name: str) -> list[Any]:
    """Return the batches of a set by its name in the validation loaders, as a step gets them."""
    loaders: Any = trainer.val_dataloaders
    batches: Iterable[Any] = loaders[name]
    convert, move = trainer.precision_plugin.convert_input, trainer.strategy.batch_to_device
    return [move(convert(batch), pl_module.device, dataloader_idx=0) for batch in batches]
