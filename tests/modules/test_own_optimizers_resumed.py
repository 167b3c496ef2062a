"""Modules of one's own that go on: with their own optimizers, or without word of what they had."""

from functools import partial

import pytest
import torch
from lightning.pytorch import Trainer
from torch.optim.lr_scheduler import StepLR

from descentlab.datamodules import RegressionData, Steps
from descentlab.errors import UsageError
from descentlab.modules import LinearRegression, ToyObjective
from descentlab.objectives import SquaredNorm


class OwnOptimizer(ToyObjective):
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.05, momentum=0.9)


class Forgetful(ToyObjective):
    def on_save_checkpoint(self, checkpoint):
        checkpoint["mine"] = 1


def fit(module, folder, epochs, ckpt_path=None, data=None):
    trainer = Trainer(
        max_epochs=epochs,
        default_root_dir=folder,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, data or Steps(), ckpt_path=ckpt_path, weights_only=True)
    trainer.save_checkpoint(folder / "last.ckpt")
    return [parameter.tolist() for parameter in module.parameters()]


@pytest.mark.parametrize("kind", ["another", "same"])
def test_a_module_made_from_a_checkpoint_says_if_it_would_train_otherwise(tmp_path, kind, recwarn):
    adam = partial(torch.optim.Adam, lr=0.3)
    fit(ToyObjective(SquaredNorm(), [1.0, -2.0], optimizer=adam), tmp_path, 3)
    recwarn.clear()
    options = {} if kind == "another" else {"optimizer": partial(torch.optim.Adam, lr=0.3)}
    made = ToyObjective.load_from_checkpoint(
        tmp_path / "last.ckpt", weights_only=True, objective=SquaredNorm(), **options
    )
    said = [str(each.message) for each in recwarn if "was trained by" in str(each.message)]
    assert len(said) == (kind == "another")
    assert all(
        "ToyObjective was trained by Adam(lr=0.3, betas=(0.9, 0.999)" in text for text in said
    )
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]["theta"]
    assert torch.equal(made.theta, saved)


def test_a_regression_made_from_a_checkpoint_has_its_slope_and_says_so_too(tmp_path):
    rate = partial(torch.optim.SGD, lr=0.01)
    module = LinearRegression(optimizer=rate, lr_scheduler=partial(StepLR, step_size=2))
    fit(module, tmp_path, 2, data=RegressionData(source="line"))
    with pytest.warns(UserWarning, match=r"was trained by SGD\(lr=0.01.* and StepLR, and is made"):
        made = LinearRegression.load_from_checkpoint(tmp_path / "last.ckpt", weights_only=True)
    assert torch.equal(made.slope, module.slope)


def test_an_objective_is_given_again(tmp_path):
    fit(ToyObjective(SquaredNorm(), [1.0, -2.0]), tmp_path, 3)
    with pytest.raises(TypeError, match="'objective'"):
        ToyObjective.load_from_checkpoint(tmp_path / "last.ckpt", weights_only=True)


def test_an_optimizer_of_the_modules_own_goes_on_as_it_was(tmp_path):
    whole = fit(OwnOptimizer(SquaredNorm(), [1.0, -2.0]), tmp_path, 7)
    fit(OwnOptimizer(SquaredNorm(), [1.0, -2.0]), tmp_path, 3)
    again = OwnOptimizer(SquaredNorm(), [5.0, 5.0])
    assert fit(again, tmp_path, 7, tmp_path / "last.ckpt") == whole


def test_a_checkpoint_without_word_of_its_optimizer_is_refused(tmp_path):
    fit(Forgetful(SquaredNorm(), [1.0, -2.0]), tmp_path, 3)
    with pytest.raises(UsageError, match=r"call super\(\).on_save_checkpoint.* in Forgetful"):
        fit(Forgetful(SquaredNorm(), [1.0, -2.0]), tmp_path, 7, tmp_path / "last.ckpt")
