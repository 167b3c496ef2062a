"""Automatic and manual optimization are the same run, and both are the plain loop."""

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from torch.optim.lr_scheduler import ExponentialLR, ReduceLROnPlateau

from descentlab import modules
from descentlab.datamodules import InitialStates, RandomBatch, RegressionData, Steps, permutation
from descentlab.modules import (
    DescentModule,
    LinearDynamics,
    LinearRegression,
    ToyObjective,
    TwoLayerNet,
)
from descentlab.objectives import CubicMinusSquare
from descentlab.optimizers import Adam, GradientDescent, Momentum

PROBLEMS = [
    pytest.param(lambda **kw: LinearRegression(**kw), lambda: RegressionData(), id="regression"),
    pytest.param(lambda **kw: LinearDynamics(horizon=3, **kw), InitialStates, id="dynamics"),
    pytest.param(
        lambda **kw: ToyObjective(CubicMinusSquare(), [[0.2, 0.3], [0.6, 0.4]], **kw),
        lambda: Steps(4),
        id="toy",
    ),
    pytest.param(
        lambda **kw: TwoLayerNet(20, 8, 3, **kw), lambda: RandomBatch(16, 20, 3), id="net"
    ),
]
OPTIMIZERS = [
    pytest.param(lambda p: GradientDescent(p, lr=0.001), id="gradient-descent"),
    pytest.param(lambda p: Momentum(p, lr=0.001, momentum=0.9), id="momentum"),
    pytest.param(lambda p: Adam(p, lr=0.01), id="adam"),
    pytest.param(lambda p: torch.optim.SGD(p, lr=0.001, momentum=0.5), id="torch-sgd"),
    pytest.param(lambda p: torch.optim.AdamW(p, lr=0.01), id="torch-adamw"),
]


class Record(Callback):
    def __init__(self):
        self.parameters, self.rates, self.steps = [], [], []

    def on_train_batch_end(self, trainer, pl_module, *args):
        self.parameters.append([p.detach().clone() for p in pl_module.parameters()])
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])
        self.steps.append(trainer.global_step)


def fit(module, data, epochs=4, callbacks=(), ckpt_path=None, **flags):
    torch.manual_seed(42)
    record = Record()
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=any(isinstance(c, ModelCheckpoint) for c in callbacks),
        callbacks=[*callbacks, record],
        **flags,
    )
    trainer.fit(module, datamodule=data, ckpt_path=ckpt_path)
    return record, trainer


def seeded(make, **settings):
    torch.manual_seed(7)
    return make(**settings)


def equal(one, other):
    return (
        len(one.parameters) == len(other.parameters)
        and all(
            torch.equal(p, q)
            for step, other_step in zip(one.parameters, other.parameters, strict=True)
            for p, q in zip(step, other_step, strict=True)
        )
        and one.rates == other.rates
        and one.steps == other.steps
    )


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(("make", "data"), PROBLEMS)
def test_automatic_and_manual_are_the_same_run(make, data, optimizer):
    one, trainer = fit(seeded(make, optimizer=optimizer), data())
    two, _ = fit(seeded(make, optimizer=optimizer, manual_optimization=True), data())
    assert equal(one, two)
    assert one.steps == list(range(1, trainer.global_step + 1))
    assert not torch.equal(one.parameters[0][0], one.parameters[-1][0])


def test_another_learning_rate_is_another_run():
    """The negative control of the comparison."""
    make = PROBLEMS[0].values[0]
    one, _ = fit(make(optimizer=lambda p: GradientDescent(p, lr=0.001)), RegressionData())
    two, _ = fit(make(optimizer=lambda p: GradientDescent(p, lr=0.00101)), RegressionData())
    assert not equal(one, two)


@pytest.mark.parametrize(
    "scheduler",
    [
        pytest.param(lambda o: ExponentialLR(o, 0.5), id="exponential"),
        pytest.param(
            lambda o: ReduceLROnPlateau(o, factor=0.5, patience=0, threshold=0.5), id="plateau"
        ),
    ],
)
def test_both_step_the_scheduler_at_the_same_places(scheduler):
    settings = {"optimizer": lambda p: GradientDescent(p, lr=0.01), "lr_scheduler": scheduler}
    one, _ = fit(LinearRegression(**settings), RegressionData(), epochs=6)
    two, _ = fit(LinearRegression(manual_optimization=True, **settings), RegressionData(), epochs=6)
    assert equal(one, two)
    assert one.rates[0] == 0.01
    assert one.rates[-1] < 0.006
    without, _ = fit(LinearRegression(optimizer=settings["optimizer"]), RegressionData(), epochs=6)
    assert not equal(one, without)


@pytest.mark.parametrize("manual", [False, True])
def test_max_steps_is_honoured(manual):
    record, trainer = fit(
        LinearRegression(manual_optimization=manual), RegressionData(), epochs=-1, max_steps=17
    )
    assert trainer.global_step == len(record.parameters) == 17


@pytest.mark.filterwarnings("ignore:.*callbacks used to create the checkpoint.*")
@pytest.mark.parametrize("manual", [False, True])
def test_a_checkpoint_goes_on_bit_for_bit(tmp_path, manual):
    settings = {
        "optimizer": lambda p: Momentum(p, lr=0.01),
        "lr_scheduler": lambda o: ExponentialLR(o, 0.9),
        "manual_optimization": manual,
    }
    whole, _ = fit(LinearRegression(**settings), RegressionData(), epochs=6)
    keep = ModelCheckpoint(tmp_path, filename="kept")
    fit(LinearRegression(**settings), RegressionData(), epochs=3, callbacks=[keep])
    rest, _ = fit(
        LinearRegression(**settings), RegressionData(), epochs=6, ckpt_path=tmp_path / "kept.ckpt"
    )
    whole.parameters, whole.rates = whole.parameters[36:], whole.rates[36:]
    whole.steps = whole.steps[36:]
    assert len(rest.steps) == 36
    assert equal(rest, whole)


@pytest.mark.parametrize("precision", ["32-true", "64-true"])
def test_the_regression_is_the_plain_loop(precision):
    data = RegressionData()
    record, _ = fit(
        LinearRegression(optimizer=lambda p: GradientDescent(p, lr=0.01)), data, precision=precision
    )
    x, y = data._sets["train"]
    assert x.dtype == (torch.float64 if precision == "64-true" else torch.float32)
    w, b = (torch.zeros(s, dtype=x.dtype, requires_grad=True) for s in ((1,), ()))
    step = 0
    for epoch in range(4):
        for rows in permutation(42, epoch, len(x)).split(32):
            loss = (x[rows, 0] * w + b - y[rows]).square().mean()
            for p, g in zip((w, b), torch.autograd.grad(loss, (w, b)), strict=True):
                p.data -= 0.01 * g
            slope, bias = record.parameters[step]
            tolerance = {"rtol": 1e-12, "atol": 0} if precision == "64-true" else {}
            torch.testing.assert_close(slope, w.detach(), **tolerance)
            torch.testing.assert_close(bias, b.detach(), **tolerance)
            step += 1
    assert step == len(record.parameters)


def test_losses_of_the_sets_are_logged_where_lightning_looks(tmp_path):
    """Stock callbacks monitor `loss/val`: EarlyStopping stops, ModelCheckpoint keeps the best."""
    data = RegressionData()
    stop = EarlyStopping("loss/val", patience=2)
    keep = ModelCheckpoint(tmp_path, monitor="loss/val", filename="{epoch}")
    module = LinearRegression(optimizer=lambda p: GradientDescent(p, lr=0.3))
    _, trainer = fit(module, data, epochs=100, callbacks=[stop, keep])
    assert stop.stopped_epoch == trainer.current_epoch - 1 < 99
    assert keep.best_model_score == stop.best_score
    for name in ("train", "val"):
        x, y = data._sets[name]
        expected = (x @ module.slope + module.bias - y).square().mean().item()
        assert float(trainer.callback_metrics[f"loss/{name}"]) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("stage", ["validate", "test"])
def test_metrics_of_a_stage_are_those_by_hand(stage):
    data = RegressionData()
    module = LinearRegression()
    _, trainer = fit(module, data)
    results = {
        k: v for r in getattr(trainer, stage)(module, data, verbose=False) for k, v in r.items()
    }
    name = "val" if stage == "validate" else "test"
    x, y = data._sets[name]
    squared = (x @ module.slope + module.bias - y).square().detach()
    r2 = 1 - squared.sum() / (y - y.mean()).square().sum()
    assert results[f"mse/{name}"] == pytest.approx(squared.mean().item(), rel=1e-5)
    assert results[f"loss/{name}"] == pytest.approx(squared.mean().item(), rel=1e-5)
    assert results[f"r2/{name}"] == pytest.approx(r2.item(), rel=1e-4)
    assert ("loss/train" in results) == (stage == "validate")


def test_a_set_in_several_batches_has_the_loss_of_the_whole(monkeypatch):
    from descentlab.datamodules import regression_data

    _, whole = fit(LinearRegression(), RegressionData())
    monkeypatch.setattr(regression_data, "WHOLE", 50)
    _, parts = fit(LinearRegression(), RegressionData())
    assert parts.num_val_batches == [8, 1]
    for tag, value in whole.callback_metrics.items():
        assert float(parts.callback_metrics[tag]) == pytest.approx(float(value), rel=1e-5)


def test_the_table_names_every_module():
    named = {type(p.values[0]()) for p in PROBLEMS}
    every = {getattr(modules, name) for name in modules.__all__}
    assert {m for m in every if issubclass(m, DescentModule)} - {DescentModule} <= named
