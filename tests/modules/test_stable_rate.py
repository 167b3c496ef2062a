"""The largest stable learning rate: found from a loss alone, against closed forms."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from lightning.pytorch import Trainer

from descentlab.__main__ import main
from descentlab.datamodules import InitialStates, RegressionData, Steps
from descentlab.errors import UsageError
from descentlab.modules import LinearDynamics, LinearRegression, StableRate, ToyObjective
from descentlab.objectives import Square
from descentlab.optimizers import Momentum
from descentlab.optimizers.stability import (
    Settling,
    curvature_by_power_iteration,
    predicted_rate,
)


@pytest.mark.parametrize("horizon", [3, 20, 200])
def test_linear_dynamics_from_the_command_line(horizon, tmp_path):
    words = ["predict", "--config", "linear_dynamics/stable_rate", "--trainer.accelerator", "cpu"]
    words += ["--model.module.horizon", str(horizon), "--trainer.logger.save_dir", str(tmp_path)]
    assert main(words) == 0
    folder = tmp_path / "linear_dynamics" / "stable_rate" / "version_0"
    found = json.loads((folder / "stability.json").read_text())
    assert found["observed"] == pytest.approx(1 / horizon**2, rel=2e-5)  # bisected to 1e-5
    assert found["predicted"] == pytest.approx(1 / horizon**2, rel=1e-6)
    assert found["largest_curvature"] == pytest.approx(2 * horizon**2, rel=1e-6)


def test_the_loss_that_is_drawn_passes_its_start_at_the_bound(tmp_path):
    """With a seventh from one rate to the next the line passed it beside the bound."""
    module = StableRate(LinearDynamics(horizon=20))
    bound = found_by(module, InitialStates(), tmp_path)["observed"]
    (axes,) = module._figures["loss_by_rate"].axes
    level, curve, *_ = axes.lines
    rates, losses = curve.get_data()
    above = losses > level.get_ydata()[0]
    assert not above[rates < 0.995 * bound].any()
    assert above[rates > 1.005 * bound].all()
    assert rates[above].min() - rates[~above].max() < 0.011 * bound


def test_wrong_arguments_are_refused():
    module = LinearDynamics(horizon=2)
    with pytest.raises(UsageError, match="steps = 1: eight or more"):
        StableRate(module, steps=1)
    with pytest.raises(UsageError, match=r"precision = 0\.0 must be > 0"):
        StableRate(module, precision=0.0)
    with pytest.raises(UsageError, match="Own has a configure_optimizers of its own"):
        StableRate(Own(horizon=2))


class Own(LinearDynamics):
    def configure_optimizers(self):
        return Momentum(self.parameters())


def found(module, data, tmp_path):
    return found_by(StableRate(module), data, tmp_path)


def found_by(stable_rate, data, tmp_path):
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    return trainer.predict(stable_rate, datamodule=data)[0]


def heavy_ball(parameters):
    return Momentum(parameters, lr=0.1, momentum=0.9)


@pytest.mark.parametrize("horizon", [3, 20])
@pytest.mark.parametrize("momentum", [0.5, 0.9])
def test_the_heavy_ball_on_linear_dynamics(tmp_path, horizon, momentum):
    module = LinearDynamics(horizon, optimizer=lambda p: Momentum(p, lr=0.1, momentum=momentum))
    rates = found(module, InitialStates(), tmp_path)
    assert rates["observed"] == pytest.approx((1 + momentum) / horizon**2, rel=1e-3)
    assert rates["predicted"] == pytest.approx((1 + momentum) / horizon**2, rel=1e-6)


SLOW = pytest.mark.slow  # at 2000 with momentum 600 losses of as many time steps


@pytest.mark.parametrize(
    ("horizon", "momentum"),
    [(horizon, momentum) for horizon in (3, 20, 200) for momentum in (0.0, 0.5, 0.9)]
    + [(2000, 0.0), *(pytest.param(2000, momentum, marks=SLOW) for momentum in (0.5, 0.9))],
)
def test_the_observed_rate_is_within_a_thousandth_at_any_horizon(horizon, momentum):
    """Steps settle a thousandth below the bound and not above: of the search its last two rates."""
    module = LinearDynamics(horizon).double()
    states = torch.randn(64, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def loss():
        return module.loss((states,))

    def make():
        return Momentum([module.theta], lr=0.1, momentum=momentum)

    bound = (1 + momentum) / horizon**2
    curvature = curvature_by_power_iteration(loss, [module.theta])
    assert predicted_rate(make(), curvature) == pytest.approx(bound, rel=1e-9)
    settling = Settling(loss, [module.theta], make)
    assert settling(0.999 * bound)
    assert not settling(1.001 * bound)


def test_the_configured_optimizer_is_stepped(tmp_path):
    module = LinearDynamics(horizon=20, optimizer=heavy_ball)
    rates = found(module, InitialStates(), tmp_path)
    assert rates["observed"] == pytest.approx(0.00475, rel=1e-4)  # 2 (1 + 0.9) / 800
    assert rates["predicted"] == pytest.approx(0.00475, rel=1e-9)
    assert module.theta.dtype == torch.float32
    assert module.theta == 1.0  # put back


def test_a_toy_objective_has_no_tensors_in_its_batch(tmp_path):
    rates = found(ToyObjective(Square(), 3.0), Steps(4), tmp_path)
    assert rates["observed"] == pytest.approx(1.0, rel=1e-4)
    assert rates["predicted"] == pytest.approx(1.0, rel=1e-9)


INPUTS = np.random.default_rng(4).normal(1.0, 2.0, size=(30, 3))


def built_in(folder):
    return RegressionData(), RegressionData().source.rows().x.numpy()


def one_file(folder):
    pd.DataFrame(INPUTS, columns=list("abc")).assign(y=INPUTS.sum(1)).to_csv(
        folder / "all.csv", index=False
    )
    return RegressionData(path=str(folder / "all.csv"), target="y"), INPUTS


def two_files(folder):
    np.save(folder / "x.npy", INPUTS)
    np.save(folder / "y.npy", INPUTS.sum(1))
    return RegressionData(x_path=str(folder / "x.npy"), y_path=str(folder / "y.npy")), INPUTS


def tensors(folder):
    return RegressionData(x=torch.tensor(INPUTS), y=torch.tensor(INPUTS.sum(1))), INPUTS


@pytest.mark.parametrize("source", [built_in, one_file, two_files, tensors])
def test_linear_regression_takes_its_features_from_the_data(tmp_path, source):
    data, x = source(tmp_path)
    rates = found(LinearRegression(), data, tmp_path)
    a = np.c_[x, np.ones(len(x))]
    expected = 2 / np.linalg.eigvalsh(2 / len(a) * a.T @ a)[-1]
    assert rates["observed"] == pytest.approx(expected, rel=1e-4)
    assert rates["predicted"] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"x": torch.tensor(INPUTS)}, "x and y belong together"),
        ({"x_path": "x.npy"}, "y_path is missing"),
        ({"path": "all.csv"}, "target is missing: give --data.target"),
    ],
)
def test_inputs_alone_have_no_rate(tmp_path, monkeypatch, options, says):
    monkeypatch.chdir(tmp_path)
    one_file(tmp_path)
    with pytest.raises(UsageError, match=says):
        found(LinearRegression(), RegressionData(**options), tmp_path)


def test_the_map_of_momenta_is_on_the_curve_of_the_heavy_ball(tmp_path, white_pictures):
    words = ["predict", "--config", "linear_dynamics/stability_map", "--model.module.horizon", "5"]
    words += ["--model.momenta", "[0.0, 0.3, 0.8]", "--trainer.accelerator", "cpu"]
    assert main([*words, "--trainer.logger.save_dir", str(tmp_path)]) == 0
    folder = tmp_path / "linear_dynamics" / "stability_map" / "version_0"
    rows = json.loads((folder / "stability.json").read_text())["by_momentum"]
    for row, momentum in zip(rows, (0.0, 0.3, 0.8), strict=True):
        bound = 2 * (1 + momentum) / 50
        assert row["momentum"] == momentum
        assert row["predicted"] == pytest.approx(bound, rel=1e-6)
        assert row["observed"] == pytest.approx(bound, rel=1e-3)
    assert {each.name for each in (folder / "figures").iterdir()} == {
        *("loss_by_rate.png", "loss_by_rate.svg", "stability_map.png", "stability_map.svg")
    }


def test_momenta_that_cannot_be_are_refused(tmp_path):
    with pytest.raises(UsageError, match=r"momenta: 1\.0 must be in \[0, 1\)"):
        StableRate(LinearDynamics(horizon=2), momenta=[0.5, 1.0])
    words = ["predict", "--config", "linear_dynamics/stable_rate", "--model.momenta", "[0.5]"]
    module = StableRate(LinearDynamics(horizon=2), momenta=[0.5])
    with pytest.raises(UsageError, match="momenta: GradientDescent has no momentum"):
        found_by(module, InitialStates(), tmp_path)
    assert main([*words, "--trainer.logger.save_dir", str(tmp_path)]) == 2


@pytest.mark.parametrize("lr", [0.1, 0.7, 1.3])
def test_the_loss_after_some_updates_is_that_of_a_loop(lr):
    theta = torch.tensor([0.3, -1.7], dtype=torch.float64, requires_grad=True)
    before = theta.detach().clone()
    curvatures = torch.tensor([0.5, 2.0], dtype=torch.float64)
    settling = Settling(
        lambda: (curvatures * theta**2).sum() / 2,
        [theta],
        lambda: torch.optim.SGD([theta], lr=99.0, momentum=0.4),
    )
    expected, velocity = before.clone(), torch.zeros(2, dtype=torch.float64)
    for _ in range(7):
        velocity = 0.4 * velocity + curvatures * expected
        expected = expected - lr * velocity
    found = settling.loss_after(lr, 7)
    assert found == pytest.approx(float((curvatures * expected**2).sum() / 2), rel=1e-12)
    assert found != pytest.approx(settling.loss_after(lr, 8), rel=1e-3)  # the control
    assert torch.equal(theta, before)
