"""The audit of a run's gradient: what is wrong is named, and the run is left alone."""

import json
import math

import pytest
import torch
from foreign import Foreign, fit
from lightning.pytorch import Trainer
from torch import nn

from descentlab.__main__ import main
from descentlab.callbacks import GradientAudit
from descentlab.callbacks.gradient_audit import audit_of
from descentlab.errors import RunError, UsageError
from descentlab.modules import LinearDynamics, LinearRegression, ToyObjective
from descentlab.objectives import Rosenbrock

EITHER = pytest.mark.parametrize("manual", [False, True], ids=["automatic", "manual"])


class Flipped(torch.autograd.Function):
    """The identity, its backward of the wrong sign."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return -gradient


class Net(Foreign):
    """Dropout, batch norm and a kink; the bias of the first layer may have a wrong gradient."""

    def __init__(self, manual=False, wrong=False):
        super().__init__(manual)
        self.line, self.wrong = nn.Linear(1, 4), wrong
        self.rest = nn.Sequential(nn.BatchNorm1d(4), nn.ReLU(), nn.Dropout(0.3), nn.Linear(4, 1))

    def error(self, batch):
        x, y = batch
        bias = Flipped.apply(self.line.bias) if self.wrong else self.line.bias
        hidden = torch.tanh(x @ self.line.weight.T + bias) + bias.square()
        return (self.rest(hidden)[:, 0] - y).square().mean()

    def training_step(self, batch, batch_idx):
        self.log("x", 1.0)
        self.global_step, self.trainer.max_epochs, self.logger  # noqa: B018  # are there to be read
        return super().training_step(batch, batch_idx)


@EITHER
@pytest.mark.parametrize("wrong", [False, True])
def test_it_says_what_is_wrong_and_leaves_the_run_alone(tmp_path, manual, wrong):
    def trained(*callbacks):
        torch.manual_seed(1)
        trainer = fit(tmp_path, *callbacks, module=Net(manual, wrong))
        state = [value.clone() for value in trainer.lightning_module.state_dict().values()]
        return [*state, torch.get_rng_state()], trainer.lightning_module.seen

    watch = GradientAudit(every=7)
    if wrong:
        with pytest.warns(UserWarning, match=r"the gradient is wrong at step 0, line\.bias\[0\]"):
            beside, seen = trained(watch)
    else:
        beside, seen = trained(watch)
    alone, seen_alone = trained()
    assert all(torch.equal(one, other) for one, other in zip(alone, beside, strict=True))
    assert seen == seen_alone
    assert [step for step, _ in watch.found] == [0, 7, 14]
    assert {each.verdict for _, each in watch.found} == {"wrong" if wrong else "right"}
    lines = (tmp_path / "gradient_audit.csv").read_text().splitlines()
    report = json.loads((tmp_path / "gradient_audit.json").read_text())
    assert report["audits"] == 3
    forward = ["forward mode"] * (not wrong)
    assert report["ways"] == ["differences", *forward]
    assert bool(report["no_forward"]) == wrong
    if not wrong:
        assert report["first"] is None
        assert [line.split(",")[:2] for line in lines[1:]] == [
            [s, "right"] for s in ("0", "7", "14")
        ]
        return
    assert {entry.parameter for _, each in watch.found for entry in each.wrong} == {"line.bias"}
    first = watch.found[0][1].wrong[0]
    assert report["first"]["parameter"] == "line.bias"
    assert lines[1].split(",")[3:6] == ["line.bias", "0", repr(first.backward)]
    assert lines[1].count(",") == lines[0].count(",")


def test_it_raises_where_it_is_asked_to(tmp_path):
    watch = GradientAudit(on_difference="raise")
    with pytest.raises(RunError, match=r"line\.bias\[0\]: backward gives .* may differ by"):
        fit(tmp_path, watch, module=Net(wrong=True))
    assert (tmp_path / "gradient_audit.csv").exists()


class IsNoNumber(Foreign):
    """Its loss is NaN or infinite from an epoch on."""

    def __init__(self, factor, epoch):
        super().__init__()
        self.factor, self.epoch = factor, epoch

    def error(self, batch):
        return super().error(batch) * (self.factor if self.current_epoch >= self.epoch else 1.0)


@pytest.mark.parametrize("factor", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_no_finite_number_is_said_to_be_none(tmp_path, factor):
    watch = GradientAudit(every=5)
    fit(tmp_path, watch, module=IsNoNumber(factor, epoch=2))
    assert [each.verdict for _, each in watch.found] == ["right", "right", "not finite"]
    rows = (tmp_path / "gradient_audit.csv").read_text().splitlines()
    assert rows[-1] == "10,not finite,0,,,,,,,"
    report = json.loads((tmp_path / "gradient_audit.json").read_text())
    assert (report["audits"], report["compared_nothing"]) == (3, 1)
    assert report["ways"] == ["differences", "forward mode"]
    fit(tmp_path, GradientAudit(every=5), module=IsNoNumber(factor, epoch=0), epochs=1)
    report = json.loads((tmp_path / "gradient_audit.json").read_text())
    assert (report["audits"], report["compared_nothing"], report["ways"]) == (1, 1, [])


class Random(Foreign):
    draws = torch.Generator().manual_seed(3)

    def error(self, batch):
        return super().error(batch) * torch.rand((), generator=self.draws)

    def __deepcopy__(self, memo):
        raise TypeError("is not copied")


def test_what_cannot_be_looked_at_is_said(tmp_path):
    watch = GradientAudit()
    with pytest.warns(UserWarning, match="looks at nothing: TypeError: is not copied"):
        trainer = fit(tmp_path, watch, module=Random(), epochs=1)
    assert trainer.global_step == 5
    assert watch.found == []
    with pytest.raises(UsageError, match="every = 0 is below 1"):
        GradientAudit(every=0)
    with pytest.raises(UsageError, match="'record' or 'raise', not 'stop'"):
        GradientAudit(on_difference="stop")


def test_it_goes_on_with_what_an_earlier_run_found(tmp_path):
    first, second = GradientAudit(every=4), GradientAudit(every=4)
    with pytest.warns(UserWarning, match="the gradient is wrong"):
        trainer = fit(tmp_path, first, module=Net(wrong=True), epochs=1)
    trainer.save_checkpoint(tmp_path / "one.ckpt")
    fit(tmp_path, second, module=Net(wrong=True), epochs=2, ckpt_path=tmp_path / "one.ckpt")
    assert [step for step, _ in second.found] == [0, 4, 8]
    assert second.found[:2] == first.found


@pytest.mark.parametrize(
    "flags", [(), ("--data.chunk", "5", "--model.manual_optimization", "true")]
)
def test_a_run_of_ours_is_right_also_in_chunks(tmp_path, monkeypatch, flags):
    monkeypatch.chdir(tmp_path)
    quiet = ("--progress", "null", "--graph_export", "null", "--learning_curves", "null")
    words = ("--trainer.callbacks+", "GradientAudit", "--trainer.callbacks.every", "12", *flags)
    config = ("--config", "linear_regression/split.yaml", "--trainer.max_epochs", "3")
    assert main(["fit", *config, *quiet, *words, "--trainer.logger.name", "x"]) == 0
    rows = (tmp_path / "logs/x/version_0/gradient_audit.csv").read_text().splitlines()[1:]
    assert [row.split(",")[1] for row in rows] == ["right"] * 3
    report = json.loads((tmp_path / "logs/x/version_0/gradient_audit.json").read_text())
    assert report["ways"] == ["differences", "forward mode", "closed form"]


class OfAnotherLoss(LinearRegression):
    def loss(self, batch):
        return super().loss(batch).sqrt()


class Longer(LinearRegression):
    def __init__(self):
        super().__init__(3)
        self.more = nn.Parameter(torch.ones(2))


X = torch.randn(7, 3, generator=torch.Generator().manual_seed(2))
STATES = (torch.tensor([0.5, 2.0, -1.0]),)


@pytest.mark.parametrize(
    ("module", "batch", "closed"),
    [
        (LinearRegression(3), (X, X.sum(1)), True),
        (OfAnotherLoss(3), (X, X.sum(1)), False),
        (Longer(), (X, X.sum(1)), False),
        (LinearDynamics(5, 0.3), STATES, True),
        (ToyObjective(Rosenbrock(), [-1.2, 1.0]), 0, True),
        (ToyObjective(torch.sin, 1.0), 0, False),
    ],
)
def test_closed_forms_are_compared_where_they_are_of_the_same_loss(module, batch, closed):
    module.trainer = Trainer(accelerator="cpu", logger=False)
    found = audit_of(module, batch, 0)
    assert found.verdict == "right"
    assert ("closed form" in found.ways) == closed


def test_a_wrong_closed_form_is_named(monkeypatch):
    """Negative control."""
    wrong = LinearDynamics(5, 0.3)
    wrong.trainer = Trainer(accelerator="cpu", logger=False)
    right = LinearDynamics.closed_gradient
    monkeypatch.setattr(LinearDynamics, "closed_gradient", lambda *a: 1.001 * right(*a))
    (entry,) = audit_of(wrong, STATES, 0).wrong
    assert entry.closed == pytest.approx(1.001 * entry.backward)
    assert entry.difference == pytest.approx(entry.backward)
