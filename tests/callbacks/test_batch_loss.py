"""BatchLoss on a module that is not this project's."""

import csv
import math
import re

import pytest
import torch
from foreign import Foreign, fit, loader
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from descentlab.callbacks import BatchLoss, Stability
from descentlab.callbacks.batch_loss import FLUSH_EVERY
from descentlab.errors import RunError


def table(folder):
    with (folder / "batch_losses.csv").open() as file:
        return [(int(r["epoch"]), int(r["step"]), float(r["loss"])) for r in csv.DictReader(file)]


@pytest.mark.parametrize("manual", [False, True])
def test_every_loss_is_kept_in_order(tmp_path, manual):
    module, losses = Foreign(manual), BatchLoss()
    fit(tmp_path, losses, module=module)
    assert len(module.seen) == 15
    assert losses.losses == module.seen
    assert table(tmp_path) == [(k // 5, k, loss) for k, loss in enumerate(module.seen)]


def test_tensorboard_has_one_point_an_update(tmp_path):
    module = Foreign()
    trainer = fit(
        tmp_path,
        BatchLoss(),
        module=module,
        logger=TensorBoardLogger(tmp_path),
        log_every_n_steps=1,
    )
    events = EventAccumulator(trainer.log_dir, size_guidance={"scalars": 0}).Reload()
    points = events.Scalars("loss/batch")
    assert [point.step for point in points] == list(range(15))
    assert [point.value for point in points] == pytest.approx(module.seen)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_run_that_breaks_off_keeps_what_was_done(tmp_path, error):
    class Broken(Foreign):
        def on_train_batch_end(self, outputs, batch, batch_idx):
            if len(self.seen) == 8:
                raise error

    module = Broken()
    with pytest.raises((RuntimeError, SystemExit)):
        fit(tmp_path, BatchLoss(), module=module)
    assert table(tmp_path) == [(k // 5, k, loss) for k, loss in enumerate(module.seen)]
    assert len(table(tmp_path)) == 8


@pytest.mark.parametrize("at", [0, 3, 4, 7])
def test_a_loss_that_is_not_finite_stops_the_run_by_its_step(tmp_path, at):
    module = Foreign(nan_at=at)
    last = "the last finite loss was {:.6g}" if at else "it was the first"
    with pytest.raises(RunError) as stopped:
        fit(tmp_path, BatchLoss(), module=module)
    assert str(stopped.value).startswith(f"the loss at step {at} (epoch {at // 5}) is nan: ")
    assert last.format(module.seen[at - 1]) in str(stopped.value)
    assert ("the learning rate is 0.1" in str(stopped.value)) == (at > 0)  # the first is without
    assert len(table(tmp_path)) >= at + 1


@pytest.mark.parametrize("at", [2, FLUSH_EVERY + 3])
def test_a_loss_that_is_not_finite_is_seen_within_an_epoch(tmp_path, at):
    module = Foreign(nan_at=at, lr=0.01)
    batches = loader(batch_size=1, rows=4 * FLUSH_EVERY)
    with pytest.raises(RunError, match=f"step {at} "):
        fit(tmp_path, BatchLoss(), module=module, epochs=1, train=batches)
    assert len(module.seen) <= at + FLUSH_EVERY < 4 * FLUSH_EVERY


def test_it_can_be_told_to_go_on(tmp_path):
    losses = BatchLoss(stop_if_not_finite=False)
    fit(tmp_path, losses, module=Foreign(nan_at=2))
    assert len(losses.losses) == 15
    assert math.isnan(losses.losses[2])


def test_infinite_losses_of_both_signs_do_not_hide_each_other(tmp_path):
    class Opposite(Foreign):
        def training_step(self, batch, batch_idx):
            loss = super().training_step(batch, batch_idx)
            return loss * {1: math.inf, 2: -math.inf}.get(batch_idx, 1.0)

    with pytest.raises(RunError, match="step 1 "):
        fit(tmp_path, BatchLoss(), module=Opposite())


@pytest.mark.parametrize("kept", [(), (BatchLoss(),)], ids=["without", "with"])
def test_a_resumed_run_goes_on_counting(tmp_path, kept):
    whole, first, second = Foreign(), Foreign(), Foreign()
    fit(tmp_path / "whole", BatchLoss(), module=whole, epochs=4)
    fit(tmp_path, *kept, module=first, epochs=2).save_checkpoint(tmp_path / "two.ckpt")
    losses = BatchLoss()
    fit(tmp_path, losses, module=second, epochs=4, ckpt_path=tmp_path / "two.ckpt")
    assert losses.first_step == 10
    assert table(tmp_path) == table(tmp_path / "whole")[10:]


@pytest.mark.parametrize("watched", [False, True])
def test_the_message_has_the_bound_that_was_measured_last(tmp_path, watched):
    watch = Stability(every=2)
    with pytest.raises(RunError) as stopped:
        fit(tmp_path, *([watch] if watched else []), BatchLoss(), module=Foreign(nan_at=7))
    said = str(stopped.value)
    if not watched:
        assert said.endswith("try a smaller one")
        return
    step, largest, _, bound = watch.found[-1]
    assert (step, bound) == (6, pytest.approx(2 * 1.5 / largest))
    assert said.endswith(
        f"smaller one, below {bound:.6g} by the curvature at step 6, {largest:.6g}"
    )


@pytest.mark.parametrize(
    ("rows", "rest"),
    [(8, " here (by "), (16, " on the last batch seen (by "), (40, " on the last batch seen (by ")],
)
def test_the_message_says_which_rates_are_stable(tmp_path, rows, rest):
    class Curved(Foreign):
        def largest_curvature(self, batch):
            x = torch.nn.functional.pad(batch[0], (0, 1), value=1.0).double()
            return float(torch.linalg.eigvalsh(2 * x.T @ x / len(x))[-1])

    module, train = Curved(nan_at=3), loader(rows=rows)
    with pytest.raises(RunError) as stopped:
        fit(tmp_path, BatchLoss(), module=module, train=train, epochs=5)
    bound = 2 * 1.5 / module.largest_curvature([*train][-1])  # momentum 0.5
    told = re.search(r"SGD is stable below ([\d.e+-]+)(.*)", str(stopped.value))
    assert told[1] == f"{bound:.6g}"
    assert told[2].startswith(rest)
    assert ("other batches may need a smaller one" in told[2]) == (rows > 8)
    rate = float(re.search(r"the learning rate is ([\d.e+-]+),", str(stopped.value))[1])
    assert ("which is low enough" in str(stopped.value)) == (rate < bound)


@pytest.mark.parametrize(("rate", "low"), [(0.5, True), (2.0, False)])
def test_a_rate_that_is_low_enough_is_not_blamed(tmp_path, rate, low):
    class Flat(Foreign):
        def largest_curvature(self, batch):
            return 2.0

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=rate)

    with pytest.raises(RunError) as stopped:
        fit(tmp_path, BatchLoss(), module=Flat(nan_at=3), train=loader(rows=8), epochs=5)
    said = str(stopped.value)
    assert ("which is low enough, as SGD is stable below 1 here" in said) is low
    assert said.endswith(": look at the data and the start for values that are too large") is low
    assert said.endswith(
        ": give one below that (--model.optimizer.lr), or scale data that are large"
    ) is (not low)
