"""The largest stable learning rate: found from a loss alone, against closed forms."""

import json

import pytest
import torch

from descentlab.__main__ import main
from descentlab.errors import RunError, UsageError
from descentlab.modules import LinearDynamics, StableRate
from descentlab.modules.stable_rate import (
    curvature_by_power_iteration,
    largest_stable_rate,
    settles,
)
from tolerances import FLOAT64


def quadratic(curvatures):
    theta = torch.ones(len(curvatures), dtype=torch.float64, requires_grad=True)
    weights = torch.tensor(curvatures, dtype=torch.float64)
    return (lambda: (weights * theta**2).sum() / 2), theta


@pytest.mark.parametrize("curvatures", [[3.0], [1.0, 7.0, 2.0], [-9.0, 4.0], [1e-6, 1e6]])
def test_curvature_is_the_largest_in_magnitude(curvatures):
    loss, theta = quadratic(curvatures)
    expected = max(curvatures, key=abs)
    found = curvature_by_power_iteration(loss, [theta])
    assert found == pytest.approx(expected, rel=1e-6)  # ends at a change below float32's epsilon
    assert found != pytest.approx(1.01 * expected, rel=1e-6)


def test_curvature_over_several_parameters():
    a, b = (torch.tensor(1.0, dtype=torch.float64, requires_grad=True) for _ in range(2))
    found = curvature_by_power_iteration(lambda: a**2 + b**2 + a * b, [a, b])
    assert found == pytest.approx(3.0, rel=FLOAT64)  # [[2, 1], [1, 2]] along (1, 1)


def test_a_straight_line_has_no_curvature():
    a, b = (torch.tensor(1.0, requires_grad=True) for _ in range(2))
    assert curvature_by_power_iteration(lambda: 2 * a, [a]) == 0.0
    assert curvature_by_power_iteration(lambda: a + b * 0.0, [a, b]) == 0.0


@pytest.mark.parametrize("factor", [0.9, 0.999])
def test_steps_settle_below_the_bound_and_not_above(factor):
    loss, theta = quadratic([5.0])
    assert settles(loss, [theta], lr=factor * 2 / 5, steps=6)
    assert not settles(loss, [theta], lr=2 / 5 / factor, steps=6)
    assert theta.item() == 1.0  # put back


def test_steps_that_overflow_do_not_settle():
    loss, theta = quadratic([5.0])
    assert not settles(loss, [theta], lr=1e200, steps=6)


@pytest.mark.parametrize("bound", [1e-9, 0.3, 1.0000001, 12345.6])
def test_bisection(bound):
    found = largest_stable_rate(lambda rate: rate < bound, 1e-9)
    assert found == pytest.approx(bound, rel=1e-9)


@pytest.mark.parametrize("answer", [True, False])
def test_bisection_gives_up(answer):
    with pytest.raises(RunError, match=r"no learning rate from 1 to .* changes stability"):
        largest_stable_rate(lambda rate: answer, 1e-3)


@pytest.mark.parametrize("horizon", [3, 20, 200])
def test_linear_dynamics_from_the_command_line(horizon, tmp_path):
    words = ["predict", "--config", "linear_dynamics/stable_rate", "--trainer.accelerator", "cpu"]
    words += ["--model.module.horizon", str(horizon), "--trainer.logger.save_dir", str(tmp_path)]
    assert main(words) == 0
    folder = tmp_path / "linear_dynamics" / "stable_rate" / "version_0"
    found = json.loads((folder / "stability.json").read_text())
    assert found["observed"] == pytest.approx(1 / horizon**2, rel=1e-4)  # bisected to 1e-5, float32
    assert found["predicted"] == pytest.approx(1 / horizon**2, rel=1e-6)
    assert found["largest_curvature"] == pytest.approx(2 * horizon**2, rel=1e-6)


def test_wrong_arguments_are_refused():
    module = LinearDynamics(horizon=2)
    with pytest.raises(UsageError, match="steps = 1: two or more"):
        StableRate(module, steps=1)
    with pytest.raises(UsageError, match=r"precision = 0\.0 must be > 0"):
        StableRate(module, precision=0.0)
