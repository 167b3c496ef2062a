"""A batch, a call of the closure and an update are three things: a row of BatchLoss is an update.

The truth is a plain loop over the same batches.
"""

import json

import pytest
import torch
from foreign import Foreign, fit, loader
from lightning.pytorch import LightningModule
from lightning.pytorch.callbacks import GradientAccumulationScheduler
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from test_batch_loss import table

from descentlab.callbacks import AcceleratorTimer, BatchLoss, Summary

START = (0.7, -1.3)


class Line(Foreign):
    """Starts from numbers that are not zero, and makes its optimizer as it is told."""

    def __init__(self, make=None, **settings):
        super().__init__(**settings)
        self.make = make or (lambda parameters: torch.optim.SGD(parameters, 0.1))
        self.line.weight.data.fill_(START[0])
        self.line.bias.data.fill_(START[1])

    def configure_optimizers(self):
        return self.make(self.parameters())


def plain(make, batches_an_update, epochs=3):
    """The loss of each update, before it: the mean over its batches."""
    w, b = (torch.tensor(value, requires_grad=True) for value in START)
    optimizer, losses = make([w, b]), []
    for _ in range(epochs):
        batches = list(loader())
        for first in range(0, len(batches), batches_an_update):
            group = batches[first : first + batches_an_update]

            def closure(group=group):
                optimizer.zero_grad()
                each = [(x[:, 0] * w + b - y).square().mean() for x, y in group]
                # Lightning divides by the number that is configured, also where there are fewer
                (sum(each) / batches_an_update).backward()
                return sum(each) / len(each)

            losses.append(float(optimizer.step(closure).detach()))  # that of the first call
    return losses


@pytest.mark.parametrize("batches", [1, 2, 4, 5])
def test_accumulated_batches_make_one_row(tmp_path, batches):
    kept, module = BatchLoss(), Line()
    trainer = fit(tmp_path, kept, module=module, accumulate_grad_batches=batches)
    expected = plain(module.make, batches)
    assert kept.losses == pytest.approx(expected, rel=1e-5)
    assert kept.steps == list(range(trainer.global_step)) == list(range(len(expected)))
    assert [step for _, step, _ in table(tmp_path)] == kept.steps
    per_epoch = -(-5 // batches)
    assert [epoch for epoch, _, _ in table(tmp_path)] == [k // per_epoch for k in kept.steps]
    assert kept.updates_per_epoch == per_epoch


def test_batches_are_accumulated_by_a_schedule(tmp_path):
    kept, module = BatchLoss(), Line()
    trainer = fit(tmp_path, kept, GradientAccumulationScheduler({0: 1, 1: 5}), module=module)
    assert kept.steps == list(range(trainer.global_step)) == list(range(5 + 1 + 1))
    assert kept.losses[:5] == pytest.approx(plain(module.make, 1)[:5], rel=1e-5)
    last = [sum(module.seen[start : start + 5]) / 5 for start in (5, 10)]
    assert kept.losses[5:] == pytest.approx(last, rel=1e-5)


def test_divided_losses_would_be_seen(tmp_path):
    """Negative control: what Lightning hands on is a fourth of the loss."""
    kept, module = BatchLoss(), Line()
    fit(tmp_path, kept, module=module, accumulate_grad_batches=4)
    assert kept.losses != pytest.approx([loss / 4 for loss in plain(module.make, 4)], rel=1e-2)


@pytest.mark.parametrize("line_search", [None, "strong_wolfe"])
def test_lbfgs_has_the_loss_before_each_update(tmp_path, line_search):
    def make(parameters):
        return torch.optim.LBFGS(parameters, lr=0.3, max_iter=5, line_search_fn=line_search)

    kept, module = BatchLoss(), Line(make)
    fit(tmp_path, kept, module=module)
    # the first updates: near the minimum a search goes by differences of rounding errors
    assert kept.losses[:5] == pytest.approx(plain(make, 1)[:5], rel=1e-3)
    assert kept.steps == list(range(15))
    assert len(module.seen) > len(kept.losses)  # more calls of the closure than updates
    assert kept.losses[0] == module.seen[0]


class Twice(torch.optim.SGD):
    """Calls its closure twice an update, the second time elsewhere."""

    def step(self, closure=None):
        first = closure()
        with torch.no_grad():
            for parameter in self.param_groups[0]["params"]:
                parameter += 0.5
        closure()
        with torch.no_grad():
            for parameter in self.param_groups[0]["params"]:
                parameter -= 0.5
        super().step()
        return first


def test_any_optimizer_may_call_its_closure_often(tmp_path):
    def make(parameters):
        return Twice(parameters, lr=0.1)

    kept = BatchLoss()
    fit(tmp_path, kept, module=Line(make))
    assert kept.losses == pytest.approx(plain(make, 1), rel=1e-5)


class Adversaries(LightningModule):
    """Two optimizers, by hand: two updates a batch."""

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False
        self.one, self.two = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)

    def training_step(self, batch, batch_idx):
        for part, optimizer in zip((self.one, self.two), self.optimizers(), strict=True):
            loss = part(batch[0]).square().mean()
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()
        return loss

    def configure_optimizers(self):
        return [torch.optim.SGD(part.parameters(), 0.1) for part in (self.one, self.two)]


def test_every_axis_counts_updates(tmp_path):
    kept, logger = BatchLoss(), TensorBoardLogger(tmp_path, default_hp_metric=False)
    trainer = fit(
        tmp_path, kept, module=Adversaries(), epochs=2, logger=logger, log_every_n_steps=1
    )
    assert trainer.global_step == 20
    assert kept.steps == list(range(0, 20, 2))
    events = EventAccumulator(logger.log_dir).Reload()
    assert [point.step for point in events.Scalars("loss/batch")] == kept.steps


def test_time_is_per_update(tmp_path):
    timer = AcceleratorTimer(warmup=0)
    fit(tmp_path, timer, Summary(), module=Line(), accumulate_grad_batches=4)
    steps = json.loads((tmp_path / "summary.json").read_text())["steps"]
    assert steps == json.loads((tmp_path / "timing.json").read_text())["step"]["count"] == 6


@pytest.mark.filterwarnings("ignore:`training_step` returned `None`")
def test_a_batch_without_a_loss_is_no_row(tmp_path):
    class Skips(Line):
        def training_step(self, batch, batch_idx):
            return None if batch_idx in (1, 3) else super().training_step(batch, batch_idx)

    kept, module = BatchLoss(), Skips()
    trainer = fit(tmp_path, kept, module=module, epochs=2)
    assert kept.losses == module.seen
    assert kept.steps == [0, 2, 4, 5, 7, 9]
    assert trainer.global_step == 10  # Lightning counts an update that has nothing to do


def test_a_module_without_losses_is_warned_about_once(tmp_path):
    class Silent(Adversaries):
        def training_step(self, batch, batch_idx):
            super().training_step(batch, batch_idx)

    with pytest.warns(UserWarning, match="Silent.training_step gives no loss") as warned:
        fit(tmp_path, BatchLoss(), module=Silent())
    assert len([each for each in warned if "gives no loss" in str(each.message)]) == 1
    assert table(tmp_path) == []


def test_updates_that_lightning_does_not_count_are_rows(tmp_path):
    class Uncounted(Adversaries):
        def optimizers(self, use_pl_optimizer=True):
            return super().optimizers(use_pl_optimizer=False)

    kept = BatchLoss()
    trainer = fit(tmp_path, kept, module=Uncounted(), epochs=2)
    assert trainer.global_step == 0
    assert kept.steps == list(range(10))


@pytest.mark.parametrize(
    "value", [torch.arange(16.0), {"a": 1}, "text"], ids=["tensor", "dict", "str"]
)
@pytest.mark.parametrize("manual", [False, True])
def test_a_key_of_the_module_s_own_is_left_alone(tmp_path, value, manual):
    class Keys(Line):
        def training_step(self, batch, batch_idx):
            return {"loss": super().training_step(batch, batch_idx), "losses": value}

    kept, module, timer = BatchLoss(), Keys(manual=manual), AcceleratorTimer(warmup=0)
    fit(tmp_path, kept, timer, module=module)
    assert kept.losses == module.seen
    assert len(timer.step_seconds) == 15


def test_a_second_trainer_begins_anew_and_a_second_fit_goes_on(tmp_path):
    kept, module = BatchLoss(), Line()
    trainer = fit(tmp_path, kept, module=module)
    trainer.fit_loop.max_epochs = 5
    trainer.fit(module, loader(), loader(batch_size=40))
    assert kept.losses == module.seen
    assert table(tmp_path) == [(k // 5, k, loss) for k, loss in enumerate(module.seen)]
    again = Line()
    fit(tmp_path / "again", kept, module=again, epochs=2)
    assert kept.losses == again.seen
    assert len(table(tmp_path / "again")) == 10
    assert len(table(tmp_path)) == 25


def test_a_fit_from_an_earlier_checkpoint_replaces_what_came_after(tmp_path):
    kept, module = BatchLoss(), Line()
    trainer = fit(tmp_path, kept, module=module, epochs=2)
    trainer.save_checkpoint(tmp_path / "two.ckpt")
    trainer.fit_loop.max_epochs = 4
    trainer.fit(module, loader(), loader(batch_size=40))
    first = list(kept.losses)
    trainer.fit(module, loader(), loader(batch_size=40), ckpt_path=tmp_path / "two.ckpt")
    assert kept.losses == first
    assert [row[2] for row in table(tmp_path)] == first
