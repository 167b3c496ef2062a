"""LearningCurves on a module that is not this project's."""

import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.data import DataLoader, TensorDataset

from descentlab.callbacks import learning_curves
from descentlab.callbacks.batch_loss import BatchLoss
from descentlab.callbacks.best_parameters import BestParameters
from descentlab.callbacks.learning_curves import LearningCurves
from descentlab.datamodules.tensor_loader import TensorLoader
from descentlab.internals import SPEED_TRICKS
from descentlab.internals.lightning import STEP_HOOKS
from descentlab.modules import LinearRegression, TwoLayerNet

# Lightning makes a LeafSpec, which torch 2.13 deprecates
pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")

EPOCH = {"epoch_losses.png", "epoch_losses.svg"}
BATCH = {"batch_losses.png", "batch_losses.svg"}


class Batches:
    def __init__(self, number):
        self.number = number

    def __iter__(self):
        return iter(torch.arange(float(self.number)))

    def __len__(self):
        return self.number


class Foreign(LightningModule):
    """Its training loss in epoch e is e + the batch; its validation loss -10 e + the batch."""

    def __init__(self, fail_in=None):
        super().__init__()
        self.theta = torch.nn.Parameter(torch.zeros(()))
        self.fail_in = fail_in

    def training_step(self, batch, batch_idx):
        if self.current_epoch == self.fail_in:
            raise RuntimeError("broken on purpose")
        loss = self.theta * 0 + batch + self.current_epoch
        self.log("loss/train", loss, on_step=True, on_epoch=True, batch_size=1)
        self.log("mine", loss, on_epoch=True, on_step=False, batch_size=1)
        return loss

    def validation_step(self, batch, batch_idx):
        done = -1 if self.trainer.sanity_checking else self.current_epoch
        self.log("loss/val", batch - 10.0 * done, batch_size=1)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(folder, curves, *callbacks, module=None, validate=True, ckpt_path=None, **settings):
    settings = {
        "default_root_dir": folder,
        "logger": False,
        "accelerator": "cpu",
        "max_epochs": 3,
        "num_sanity_val_steps": -1,
        "callbacks": [*callbacks, curves],
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    } | settings
    trainer = Trainer(**settings)
    validation = Batches(3) if validate else None
    trainer.fit(module or Foreign(), Batches(5), validation, ckpt_path=ckpt_path)
    return trainer


def written(folder):
    return {path.name for path in (Path(folder) / "figures").glob("*")}


def test_values_are_those_of_each_epoch(tmp_path):
    curves = LearningCurves()
    fit(tmp_path, curves)
    assert curves.epochs == [-1, 0, 1, 2]
    assert curves.curves == {"loss/train": [None, 2, 3, 4], "loss/val": [11, 1, -9, -19]}
    assert written(tmp_path) == EPOCH


def test_a_value_that_was_not_measured_anew_is_left_out(tmp_path):
    curves = LearningCurves()
    fit(tmp_path, curves, check_val_every_n_epoch=2, max_epochs=5)
    assert curves.epochs == [-1, 0, 1, 2, 3, 4]
    assert curves.curves["loss/train"] == [None, 2, 3, 4, 5, 6]
    assert curves.curves["loss/val"] == [11, None, -9, None, -29, None]


def test_each_validation_within_an_epoch_is_a_point(tmp_path):
    curves = LearningCurves()
    fit(tmp_path, curves, val_check_interval=2, max_epochs=2)  # after 2 and 4 of 5 batches
    assert curves.epochs == pytest.approx([-1, -0.6, -0.2, 0, 0.4, 0.8, 1])
    assert curves.curves["loss/val"] == [11, 1, 1, None, -9, -9, None]
    assert curves.curves["loss/train"] == [None, None, None, 2, None, None, 3]


class Wavy(Foreign):
    """Its least validation loss is measured within an epoch."""

    def validation_step(self, batch, batch_idx):
        done = self.trainer.fit_loop.total_batch_idx + 1
        self.log("loss/val", torch.tensor(abs(done - 7.0)), batch_size=1)


@pytest.mark.parametrize(("interval", "least"), [(2, 0.0), (4, 2.0), (5, 2.0)])
def test_the_least_of_the_curve_is_the_best_that_is_kept(tmp_path, interval, least):
    curves, best = LearningCurves(), BestParameters()
    fit(
        tmp_path,
        curves,
        best,
        module=Wavy(),
        val_check_interval=interval,
        enable_checkpointing=True,
    )
    pairs = [
        (value, epoch)
        for epoch, value in zip(curves.epochs, curves.curves["loss/val"], strict=True)
        if value is not None and epoch != -1
    ]
    assert min(pairs)[0] == best.best_value == least
    assert math.ceil(min(pairs)[1]) == best.best_epoch


@pytest.mark.parametrize("steps", [0, 2])
def test_a_partial_sanity_check_gives_no_point(tmp_path, steps):
    curves = LearningCurves()
    fit(tmp_path, curves, num_sanity_val_steps=steps)
    assert curves.epochs == [0, 1, 2]


@pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no")
def test_other_names_and_no_validation(tmp_path):
    curves = LearningCurves(train="mine", val="never/logged")
    fit(tmp_path, curves, validate=False)
    assert curves.curves == {"mine": [2, 3, 4], "never/logged": [None, None, None]}
    assert written(tmp_path) == EPOCH
    nothing = LearningCurves(train="no", val="none")
    fit(tmp_path / "empty", nothing)
    assert nothing.epochs == []
    assert written(tmp_path / "empty") == set()


def test_losses_of_every_update_come_from_batch_loss(tmp_path, monkeypatch):
    seen = []
    original = learning_curves._batch_figure
    monkeypatch.setattr(
        learning_curves,
        "_batch_figure",
        lambda *given: seen.append(original(*given)) or seen[0],
    )
    fit(tmp_path, LearningCurves(), BatchLoss())
    assert written(tmp_path) == EPOCH | BATCH
    losses, means = (list(line.get_ydata()) for line in seen[0].axes[0].get_lines())
    assert losses == [batch + epoch for epoch in range(3) for batch in range(5)]
    assert means == pytest.approx([2, 3, 4])


def test_a_run_that_breaks_off_has_its_figures(tmp_path):
    curves, source = LearningCurves(), BatchLoss()
    with pytest.raises(RuntimeError, match="on purpose"):
        fit(tmp_path, curves, source, module=Foreign(fail_in=2))
    source.teardown(None, None, "fit")
    assert curves.epochs == [-1, 0, 1]
    assert written(tmp_path) == EPOCH | BATCH


def test_a_resumed_run_draws_all_epochs(tmp_path):
    fit(tmp_path, LearningCurves(), max_epochs=2).save_checkpoint(tmp_path / "first.ckpt")
    curves = LearningCurves()
    fit(tmp_path, curves, max_epochs=4, ckpt_path=tmp_path / "first.ckpt")
    assert curves.epochs == [-1, 0, 1, 2, 3]
    assert curves.curves["loss/train"] == [None, 2, 3, 4, 5]
    assert curves.curves["loss/val"] == [11, 1, -9, -19, -29]


def test_state_is_plain_and_its_own():
    curves = LearningCurves()
    curves._record(0, {"loss/train": 1.5})
    state = curves.state_dict()
    assert state["names"] == ["loss/train", "loss/val"]
    assert state["rows"].tolist() == [[0, 1.5, pytest.approx(float("nan"), nan_ok=True)]]
    curves._record(1, {"loss/val": torch.tensor(2.5)})
    assert len(state["rows"]) == 1
    other = LearningCurves(val="loss/test")
    other.load_state_dict(state)
    assert other.curves == {"loss/train": [1.5], "loss/test": [None]}
    other._record(0, {"loss/test": torch.tensor(3.5)})
    assert (other.epochs, other.curves) == ([0], {"loss/train": [None], "loss/test": [3.5]})


@pytest.mark.skipif(not SPEED_TRICKS, reason="hooks are passed over for speed: that is off")
def test_it_has_no_hook_at_an_update():
    curves = LearningCurves()
    assert [hook for hook in STEP_HOOKS if callable(getattr(curves, hook))] == []


def test_a_trial_run_and_other_processes_write_nothing(tmp_path, monkeypatch):
    fit(tmp_path, LearningCurves(), fast_dev_run=True)
    monkeypatch.setattr(learning_curves, "run_to_write", lambda trainer: None)
    fit(tmp_path, LearningCurves())
    assert list(tmp_path.iterdir()) == []


def test_figures_that_fail_cost_a_warning_only(tmp_path, monkeypatch):
    def fail(*args):
        raise OSError("no room")

    monkeypatch.setattr(learning_curves, "keep_picture", fail)
    curves = LearningCurves()
    with pytest.warns(UserWarning, match="learning curves were not drawn: no room"):
        fit(tmp_path, curves)
    assert curves.epochs == [-1, 0, 1, 2]


def test_tensorboard_has_the_figures(tmp_path):
    logger = TensorBoardLogger(tmp_path, name="run", version=0)
    fit(tmp_path, LearningCurves(), BatchLoss(), logger=logger, log_every_n_steps=1)
    events = EventAccumulator(logger.log_dir).Reload()
    assert sorted(events.Tags()["images"]) == ["picture/batch_losses", "picture/epoch_losses"]
    for tag in events.Tags()["images"]:
        (image,) = events.Images(tag)
        assert (image.width, image.height, image.step) == (800, 500, 15)
    assert written(logger.log_dir) == EPOCH | BATCH


class Other(LinearRegression):
    """Its loss is another, and what it is is not said."""

    def loss(self, batch):
        return (self(batch[0]) - batch[1]).abs().mean()


class Said(Other):
    quantity = "mean absolute error"

    def loss(self, batch):
        return super().loss(batch)


class Steered(LinearRegression):
    def training_step(self, batch, batch_idx):
        return super().training_step(batch, batch_idx)


@pytest.mark.parametrize(
    ("module", "labels", "quantity"),
    [
        (LinearRegression(1), ("bmi", "price"), "mean squared error (price squared)"),
        (LinearRegression(1), None, "mean squared error (y squared)"),
        (Steered(1), ("bmi", "{y}"), "mean squared error ({y} squared)"),
        (Other(1), ("bmi", "price"), "loss"),
        (Said(1), ("bmi", "price"), "mean absolute error"),
        (TwoLayerNet(), None, "summed squared error"),
        (Foreign(), None, "loss"),
    ],
)
def test_the_class_that_has_the_loss_says_what_it_is(module, labels, quantity):
    data = SimpleNamespace(labels=labels) if labels else None
    assert learning_curves.quantity_of(SimpleNamespace(datamodule=data), module) == quantity


@pytest.mark.parametrize("accumulated", [1, 2])
@pytest.mark.parametrize("rows", [64, 65, 95, 96, 97])
@pytest.mark.parametrize("shipped", [True, False])
def test_a_short_last_batch_is_known_by_its_rows(rows, accumulated, shipped):
    x = torch.zeros(rows)
    loader = TensorLoader(x, batch_size=32) if shipped else DataLoader(TensorDataset(x), 32)
    sizes = [len(batch[0]) for batch in loader]
    updates = [sum(sizes[i : i + accumulated]) for i in range(0, len(sizes), accumulated)]
    trainer = SimpleNamespace(
        train_dataloader=loader, accumulate_grad_batches=accumulated, world_size=1
    )
    found = [learning_curves._rows_of_a_short_batch(trainer, n + 1) for n in range(len(updates))]
    short = updates[-1] if updates[-1] < 32 * accumulated else 0
    assert found == [0] * (len(updates) - 1) + [short]
    trainer.train_dataloader = Batches(5)
    assert learning_curves._rows_of_a_short_batch(trainer, 5) == 0
