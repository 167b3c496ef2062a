"""Modules of one's own that go on: with their own optimizers, or without word of what they had."""

import pytest
import torch
from lightning.pytorch import Trainer

from descentlab.datamodules import Steps
from descentlab.errors import UsageError
from descentlab.modules import ToyObjective
from descentlab.objectives import SquaredNorm


class OwnOptimizer(ToyObjective):
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.05, momentum=0.9)


class Forgetful(ToyObjective):
    def on_save_checkpoint(self, checkpoint):
        checkpoint["mine"] = 1


def fit(module, folder, epochs, ckpt_path=None):
    trainer = Trainer(
        max_epochs=epochs,
        default_root_dir=folder,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, Steps(), ckpt_path=ckpt_path, weights_only=True)
    trainer.save_checkpoint(folder / "last.ckpt")
    return module.theta.tolist()


def test_an_optimizer_of_the_modules_own_goes_on_as_it_was(tmp_path):
    whole = fit(OwnOptimizer(SquaredNorm(), [1.0, -2.0]), tmp_path, 7)
    fit(OwnOptimizer(SquaredNorm(), [1.0, -2.0]), tmp_path, 3)
    again = OwnOptimizer(SquaredNorm(), [5.0, 5.0])
    assert fit(again, tmp_path, 7, tmp_path / "last.ckpt") == whole


def test_a_checkpoint_without_word_of_its_optimizer_is_refused(tmp_path):
    fit(Forgetful(SquaredNorm(), [1.0, -2.0]), tmp_path, 3)
    with pytest.raises(UsageError, match=r"call super\(\).on_save_checkpoint.* in Forgetful"):
        fit(Forgetful(SquaredNorm(), [1.0, -2.0]), tmp_path, 7, tmp_path / "last.ckpt")
