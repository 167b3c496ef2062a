"""When BatchLoss looks at losses, what it takes for finite, and how it goes on in mid-epoch."""

import math
import time
from pathlib import Path

import pytest
import torch
from foreign import Foreign, data, fit, loader
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback
from test_batch_loss import table

from descentlab.callbacks import BatchLoss
from descentlab.callbacks.batch_loss import FLUSH_EVERY
from descentlab.datamodules import TensorLoader, processes
from descentlab.errors import RunError
from descentlab.runs.logged_before import LoggedBefore
from descentlab.runs.logger import RunLogger
from tolerances import FLOAT32

UPDATES = 3 * FLUSH_EVERY + 10


class Given(Foreign):
    """Its losses are those of a list, in float64, and its parameters stay finite."""

    def __init__(self, losses):
        super().__init__()
        self.double()
        self.given = losses

    def training_step(self, batch, batch_idx):
        given = self.given[len(self.seen)]
        self.seen.append(given)
        return self.line.weight.sum() * 0 + torch.tensor(given, dtype=torch.float64)

    def validation_step(self, batch, batch_idx):
        pass


class Count(Callback):
    """Notes how many losses are there after each update."""

    def __init__(self, kept):
        self.kept, self.there = kept, []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.there.append(len(self.kept.losses))


def test_losses_are_fetched_many_at_a_time(tmp_path):
    kept, module = BatchLoss(), Foreign(lr=0.01)
    count = Count(kept)
    batches = loader(batch_size=1, rows=UPDATES)
    fit(tmp_path, kept, count, module=module, epochs=2, train=batches)
    epoch = [(made // FLUSH_EVERY) * FLUSH_EVERY for made in range(1, UPDATES + 1)]
    assert count.there == [*epoch, *(UPDATES + there for there in epoch)]
    assert kept.losses == module.seen


def test_what_is_known_before_a_fit():
    kept = BatchLoss()
    assert (kept.losses, kept.steps, kept.first_step, kept.updates_per_epoch) == ([], [], 0, 0)


def test_finite_losses_whose_sum_is_not_do_not_stop_a_run(tmp_path):
    losses = [1.5e308] * 15
    kept = BatchLoss()
    fit(tmp_path, kept, module=Given(losses))
    assert kept.losses == losses


@pytest.mark.parametrize(
    ("after", "said"), [((math.inf, -math.inf), "inf"), ((-math.inf, math.inf), "-inf")]
)
def test_infinite_losses_that_are_fetched_together_are_named_by_the_first(tmp_path, after, said):
    module = Given([1.5e308, 1.7e308, *after, *[1.0] * 11])
    with pytest.raises(RunError) as stopped:
        fit(tmp_path, BatchLoss(), module=module)
    assert str(stopped.value).startswith(
        f"the loss at step 2 (epoch 0) is {said}: the last finite loss was 1.7e+308"
    )
    assert [loss for _, _, loss in table(tmp_path)[:4]] == module.given[:4]


@pytest.mark.parametrize("whole", [False, True])
def test_a_loss_is_that_of_the_rows_of_all_processes(tmp_path, monkeypatch, whole):
    """Beside another process, whose part of each batch has 5 rows and a loss of 2."""

    def summed(values, device):
        return [
            torch.tensor(float(own) + other) for own, other in zip(values, (10.0, 5.0), strict=True)
        ]

    monkeypatch.setattr(processes, "sum_over_processes", summed)
    monkeypatch.setattr(Trainer, "world_size", property(lambda trainer: 2))
    kept, module = BatchLoss(), Foreign()
    if whole:  # as modules of this package say, which sum by themselves
        module.gives_whole_loss = True
    fit(tmp_path, kept, module=module)
    expected = module.seen if whole else [(8 * loss + 10) / 13 for loss in module.seen]
    assert kept.losses == pytest.approx(expected, rel=FLOAT32)


def test_a_validation_by_another_trainer_forgets_nothing(tmp_path):
    kept, module = BatchLoss(), Foreign()
    fit(tmp_path, kept, module=module)
    before = (kept.losses, kept.steps, kept.updates_per_epoch)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_checkpointing": False}
    other = Trainer(accelerator="cpu", callbacks=[kept], default_root_dir=tmp_path / "b", **quiet)
    other.validate(module, loader(batch_size=40), verbose=False)
    assert before[0] == module.seen
    assert (kept.losses, kept.steps, kept.updates_per_epoch) == before


def test_a_second_fit_still_begins_at_the_first_step(tmp_path):
    kept, module = BatchLoss(), Foreign()
    trainer = fit(tmp_path, kept, module=module, epochs=1)
    trainer.fit_loop.max_epochs = 3
    trainer.fit(module, loader(), loader(batch_size=40))
    assert kept.first_step == 0
    assert kept.steps == list(range(15))


def test_folders_that_are_not_there_are_made(tmp_path):
    fit(tmp_path / "one" / "two" / "three", BatchLoss(), epochs=1)
    assert len(table(tmp_path / "one" / "two" / "three")) == 5


def test_a_trial_run_keeps_its_losses_and_writes_nothing(tmp_path):
    kept = BatchLoss()
    fit(tmp_path, kept, fast_dev_run=3)
    assert len(kept.losses) == 3
    assert list(tmp_path.iterdir()) == []


class SavesWithin(Callback):
    """Saves a checkpoint after some updates."""

    def __init__(self, path, step):
        self.path, self.step = path, step

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step == self.step:
            trainer.save_checkpoint(self.path)


def test_a_run_that_goes_on_in_mid_epoch_counts_what_is_left_of_it(tmp_path):
    path = tmp_path / "within.ckpt"
    whole, rest, kept = Foreign(), Foreign(), BatchLoss()
    batches = [TensorLoader(*data(), batch_size=8) for _ in range(2)]
    fit(tmp_path, SavesWithin(path, 7), module=whole, epochs=2, train=batches[0])
    fit(tmp_path / "rest", kept, module=rest, epochs=2, train=batches[1], ckpt_path=path)
    assert kept.losses == whole.seen[7:]
    assert kept.steps == list(range(kept.first_step, 10))
    assert kept.first_step == 7
    assert kept.updates_per_epoch == 3
    assert len(table(tmp_path / "rest")) == 3


@pytest.mark.parametrize(("step", "epoch_so_far"), [(13, 3), (7, 2)])
def test_a_run_that_goes_on_in_its_folder_has_the_losses_of_before(tmp_path, step, epoch_so_far):
    """Also those after the checkpoint are in the table then, and are made anew."""
    whole, first, rest = Foreign(), Foreign(), Foreign()
    batches = [TensorLoader(*data(), batch_size=8) for _ in range(3)]
    kept, path, logger = BatchLoss(), tmp_path / "at.ckpt", RunLogger(str(tmp_path), "x")
    fit(tmp_path / "whole", kept, module=whole, epochs=4, train=batches[0])
    expected = table(tmp_path / "whole")
    saves, often = SavesWithin(path, step), {"log_every_n_steps": 1}
    fit(
        tmp_path,
        BatchLoss(),
        saves,
        module=first,
        epochs=3,
        train=batches[1],
        **often,
        logger=logger,
    )
    folder = Path(logger.log_dir)
    assert table(folder) == expected[:15]

    class Look(Callback):
        def on_train_start(self, trainer, pl_module):
            self.found = (kept.losses, kept.steps, kept.first_step, kept.updates_per_epoch)

    kept, look, again = BatchLoss(), Look(), RunLogger(str(tmp_path), "x")
    again.go_on(folder, LoggedBefore(step, time.time(), 0))
    settings = {"train": batches[2], "ckpt_path": path, "logger": again, **often}
    fit(tmp_path, kept, look, module=rest, epochs=4, **settings)
    before = whole.seen[:step], list(range(step))
    assert look.found == (*before, 0, epoch_so_far)
    assert (kept.losses, kept.steps, kept.first_step) == (whole.seen, list(range(20)), 0)
    assert table(folder) == expected
