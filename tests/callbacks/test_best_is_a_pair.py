"""The best parameters are a pair: the parameters, and the value that was measured with them.

The truth is Lightning's own ModelCheckpoint beside it, and a loss worked out from the file.
"""

import json

import pytest
import torch
from foreign import Foreign, data, fit, loader
from lightning.pytorch.callbacks import (
    EMAWeightAveraging,
    ModelCheckpoint,
    StochasticWeightAveraging,
)

from descentlab.callbacks import BestParameters, Summary

SOONER = {"val_check_interval": 2}  # of five batches
RARELY = {"check_val_every_n_epoch": 3}


class Random(Foreign):
    """A random start, and a training loss that is logged at the end of every epoch."""

    def __init__(self, seed=0, **settings):
        super().__init__(**settings)
        generator = torch.Generator().manual_seed(seed)
        for parameter in self.parameters():
            parameter.data = 3 * torch.randn(parameter.shape, generator=generator)

    def training_step(self, batch, batch_idx):
        loss = super().training_step(batch, batch_idx)
        self.log("loss/train", loss, on_step=True, on_epoch=True, batch_size=len(batch[0]))
        return loss


def loss_of(checkpoint):
    x, y = data()
    state = checkpoint["state_dict"]
    return ((x @ state["line.weight"].T + state["line.bias"])[:, 0] - y).square().mean().item()


def load(path):
    return torch.load(path, weights_only=True)


@pytest.mark.filterwarnings("ignore:Checkpoint directory")
@pytest.mark.parametrize("flags", [{}, SOONER, RARELY, {"max_steps": 13}], ids=str)
@pytest.mark.parametrize(("lr", "seed"), [(0.9, 0), (0.85, 1), (0.3, 2)])
def test_it_is_what_model_checkpoint_keeps(tmp_path, flags, lr, seed):
    theirs = ModelCheckpoint(tmp_path / "theirs", monitor="loss/val", filename="kept")
    ours, summary = BestParameters(), Summary()
    fit(tmp_path, theirs, ours, summary, module=Random(seed, lr=lr), epochs=9, **flags)
    best = load(tmp_path / "checkpoints" / "best.ckpt")
    kept = load(theirs.best_model_path)
    assert all(map(torch.equal, best["state_dict"].values(), kept["state_dict"].values()))
    assert (best["epoch"], best["global_step"]) == (kept["epoch"], kept["global_step"])
    assert ours.best_value == float(theirs.best_model_score)
    assert loss_of(best) == pytest.approx(ours.best_value, rel=1e-5)
    least = json.loads((tmp_path / "summary.json").read_text())["least"]["val"]
    assert least["loss"] == ours.best_value
    assert (least["epoch"], least["step"]) == (best["epoch"], best["global_step"])


def test_a_stale_value_would_be_another_pair(tmp_path):
    """Negative control: the parameters of the epoch's end do not have the loss of its middle."""
    ours = BestParameters()
    fit(tmp_path, ours, module=Random(lr=0.9), epochs=9, val_check_interval=2)
    assert ours.best["global_step"] % 5 != 0
    assert loss_of(ours.last) != pytest.approx(ours.best_value, rel=1e-2)


def test_a_training_loss_does_not_compare_with_a_validation_loss(tmp_path):
    class Small(Random):
        """Its training loss is far below its validation loss."""

        def training_step(self, batch, batch_idx):
            loss = Foreign.training_step(self, batch, batch_idx)
            self.log("loss/train", loss * 1e-6, on_epoch=True, on_step=False, batch_size=8)
            return loss

    ours = BestParameters()
    fit(tmp_path, ours, module=Small(lr=0.9), epochs=8, check_val_every_n_epoch=3)
    assert ours.best_epoch in (2, 5)  # the ones that were validated
    assert loss_of(ours.best) == pytest.approx(ours.best_value, rel=1e-5)


def test_a_monitor_may_wait_for_its_validation(tmp_path):
    ours = BestParameters(monitor="loss/val")
    fit(tmp_path, ours, epochs=4, check_val_every_n_epoch=3)
    assert ours.best_epoch == 2


@pytest.mark.parametrize("monitor", ["loss/val", "loss/train"])
def test_a_monitor_of_a_loop_is_taken_at_its_end(tmp_path, monitor):
    theirs = ModelCheckpoint(tmp_path / "theirs", monitor=monitor)
    ours = BestParameters(monitor=monitor)
    fit(tmp_path, theirs, ours, module=Random(lr=0.9), epochs=7)
    assert ours.best_value == float(theirs.best_model_score)
    assert ours.best_epoch == load(theirs.best_model_path)["epoch"]


def test_another_monitor_does_not_take_over_the_old_value(tmp_path):
    fit(tmp_path, BestParameters(monitor="loss/val"), module=Random(lr=0.9), epochs=4)
    ours = BestParameters(monitor="loss/train")
    last = tmp_path / "checkpoints" / "last.ckpt"
    fit(tmp_path / "rest", ours, module=Random(lr=0.9), epochs=6, ckpt_path=last)
    assert ours.best_epoch >= 4


@pytest.mark.filterwarnings("ignore:Checkpoint directory")
@pytest.mark.parametrize("ours_first", [False, True])
@pytest.mark.parametrize("counter", [False, True])
def test_a_model_checkpoint_keeps_its_files(tmp_path, ours_first, counter):
    settings = {"enable_version_counter": counter, "dirpath": tmp_path / "checkpoints"}
    theirs = ModelCheckpoint(monitor="loss/val", mode="max", filename="best", **settings)
    alone = ModelCheckpoint(tmp_path / "alone", monitor="loss/val", mode="max", filename="best")
    fit(tmp_path / "alone", alone, module=Random(lr=0.9), epochs=6)
    both = (BestParameters(every=0), theirs) if ours_first else (theirs, BestParameters(every=0))
    trainer = fit(tmp_path, *both, module=Random(lr=0.9), epochs=6)
    kept, expected = load(theirs.best_model_path), load(alone.best_model_path)
    assert kept["epoch"] == expected["epoch"]
    assert all(map(torch.equal, kept["state_dict"].values(), expected["state_dict"].values()))
    assert trainer.checkpoint_callback is theirs  # so `ckpt_path="best"` is their file


@pytest.mark.parametrize(
    "averaging",
    [
        lambda: EMAWeightAveraging(decay=0.9),
        lambda: EMAWeightAveraging(decay=0.9, update_starting_at_epoch=2),
        lambda: StochasticWeightAveraging(swa_lrs=0.05, swa_epoch_start=3),
    ],
    ids=["ema", "ema_epoch", "swa"],
)
@pytest.mark.filterwarnings("ignore:Loading checkpoint outside")
def test_averaged_parameters_are_in_the_summary_and_in_a_checkpoint(tmp_path, averaging):
    module = Random(lr=0.9)
    ours = BestParameters()
    fit(tmp_path, averaging(), ours, Summary(), module=module, epochs=7)
    last = load(tmp_path / "checkpoints" / "last.ckpt")["state_dict"]
    assert all(torch.equal(last[name], value) for name, value in module.state_dict().items())
    parameters = json.loads((tmp_path / "summary.json").read_text())["parameters"]
    assert {name: value.tolist() for name, value in last.items()} == parameters
    assert loss_of(ours.best) == pytest.approx(ours.best_value, rel=1e-5)
    plain = Random(lr=0.9)
    fit(tmp_path / "plain", module=plain, epochs=7)
    assert not torch.equal(plain.line.weight, module.line.weight)


def test_a_run_knows_its_past(tmp_path):
    whole, first, rest = Summary(), Summary(), Summary()
    fit(tmp_path / "whole", whole, module=Random(lr=0.9), epochs=6)
    fit(tmp_path, first, BestParameters(), module=Random(lr=0.9), epochs=4)
    last = tmp_path / "checkpoints" / "last.ckpt"
    callbacks = rest, BestParameters()
    fit(tmp_path / "rest", *callbacks, module=Random(lr=0.9), epochs=6, ckpt_path=last)
    assert rest.least == whole.least
    assert rest.least["val"]["epoch"] < 4
    seconds = [
        json.loads((tmp_path / f / "summary.json").read_text())["seconds"] for f in (".", "rest")
    ]
    assert seconds[1] >= seconds[0] > 0


def test_a_second_trainer_starts_anew(tmp_path):
    ours, summary = BestParameters(), Summary()
    fit(tmp_path, ours, summary, module=Random(lr=0.05), epochs=6)
    good = ours.best_value
    fit(tmp_path / "two", ours, summary, module=Random(lr=0.9), epochs=2)
    assert ours.best_value == summary.least["val"]["loss"] > good
    assert list(ours.history.epochs) == [0, 1]


def test_a_second_fit_of_one_trainer_goes_on(tmp_path):
    ours, summary, module = BestParameters(), Summary(), Random(lr=0.9)
    trainer = fit(tmp_path, ours, summary, module=module, epochs=3)
    before = dict(summary.least["val"])
    trainer.fit_loop.max_epochs = 5
    trainer.fit(module, loader(), loader(batch_size=40))
    assert list(ours.history.epochs) == [0, 1, 2, 3, 4]
    assert summary.least["val"]["loss"] <= before["loss"]
    assert ours.best_value == summary.least["val"]["loss"]
