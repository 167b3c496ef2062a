"""Sweeps over optimizers of any class: each member is a loop of its own."""

import pytest
import torch
from own_runs import Case, Varied, distance, members_of, plain_loop
from sweep_runs import sweep

from descentlab.datamodules import Line, RegressionData
from descentlab.errors import UsageError
from descentlab.optimizers import Adam, GradientDescent, Momentum
from descentlab.sweeps import MemberOptimizers, steps_rows_alone
from tolerances import FLOAT32, FLOAT64

GRIDS = {
    torch.optim.SGD: {"lr": [1e-3, 1e-2], "momentum": [0.0, 0.9]},
    torch.optim.Adam: {"lr": [1e-3, 1e-2], "eps": [1e-2]},
    torch.optim.AdamW: {"weight_decay": [0.1, 0.5], "eps": [1e-2]},
    torch.optim.RMSprop: {"lr": [1e-3, 1e-2], "alpha": [0.5, 0.9], "eps": [1e-2]},
    torch.optim.Adagrad: {"lr": [1e-2], "initial_accumulator_value": [0.1, 1.0]},
    torch.optim.Adadelta: {"rho": [0.5, 0.9], "eps": [1e-3]},
    torch.optim.ASGD: {"lr": [1e-3, 1e-2], "lambd": [1e-4, 1e-2]},
    torch.optim.Rprop: {"lr": [1e-3, 1e-2]},
    torch.optim.Adafactor: {"lr": [1e-3, 1e-2], "weight_decay": [0.0, 0.1]},
}


@pytest.mark.parametrize("kind", GRIDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("at_once", [None, 1, 3])
def test_each_member_is_stepped_as_in_a_run_of_its_own(kind, at_once):
    case = Case(
        ("numpy", "buffer", "frozen"), (kind, kind, {}, {}), GRIDS[kind], [5, 6], at_once,
        rows=12, batch_size=5, chunk=1, double=at_once != 3,
    )  # fmt: skip
    tolerance = FLOAT64 if case.double else FLOAT32
    found = members_of(case)
    for values, row, parameters in found:
        _, after, expected = plain_loop(case, values)
        assert distance(parameters, expected) <= tolerance, values
        assert row["last_train"] == pytest.approx(after, rel=tolerance)
    first, last = found[0], found[-1]
    assert distance(first[2], last[2]) > 1e-3  # negative control: another member


@pytest.mark.parametrize("number", range(6))
def test_a_rule_steps_one_by_one_what_it_steps_at_once(number, monkeypatch):
    case = Case.drawn(number)._replace(double=True)
    at_once = members_of(case)
    monkeypatch.setattr("descentlab.sweeps.sweep.steps_rows_alone", lambda *_: False)
    for (values, _, one), (_, _, other) in zip(members_of(case), at_once, strict=True):
        assert distance(one, other) <= FLOAT64, values


def test_it_is_said_that_members_are_stepped_one_by_one(capsys):
    data = lambda: RegressionData("line", line=Line(size=20), split=None)  # noqa: E731
    sgd = lambda params: torch.optim.SGD(params, 0.01)  # noqa: E731
    _, trained = sweep(Varied, data(), sgd, {"lr": [1e-3, 1e-2]}, epochs=1)
    assert "SGD is no rule" in (said := capsys.readouterr().out)
    assert "the 2 members are stepped one by one" in said
    assert isinstance(trained.optimizers().optimizer, MemberOptimizers)
    sweep(Varied, data(), lambda params: GradientDescent(params, 0.01), {"lr": [1e-3]}, epochs=1)
    assert "one by one" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("kind", "grid"),
    [
        (GradientDescent, {"lr": [0.1, 0.2]}),
        (Momentum, {"lr": [0.1, 0.2], "momentum": [0.5, 0.7, 0.9]}),
        (Adam, {"lr": [0.1], "eps": [1e-8, 1e-3]}),
    ],
)
def test_our_rules_step_all_members_at_once(kind, grid):
    settings = {**kind([torch.zeros(1, requires_grad=True)], lr=0.1).defaults}
    assert steps_rows_alone(kind, settings, grid)


class Normalizing:
    """Divide the gradients by their norm over all parameters."""

    def step(self, closure=None):
        moved = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        norm = torch.stack([p.grad.norm() for p in moved]).norm()
        for parameter in moved:
            parameter.grad /= norm
        return super().step(closure)


class NormalizedDescent(Normalizing, GradientDescent):
    """A rule of one's own that looks at more than one element."""


class NormalizedSGD(Normalizing, torch.optim.SGD):
    """The same over torch's."""


def test_a_rule_that_looks_at_all_elements_is_stepped_member_by_member():
    grid = {"lr": [1e-3, 1e-2]}
    assert not steps_rows_alone(NormalizedDescent, {"lr": 0.1}, grid)
    rule = (NormalizedDescent, NormalizedSGD, {}, {})
    case = Case(("buffer",), rule, grid, [5, 6], None, 12, 5, 1, double=True)
    for values, _, parameters in members_of(case):
        assert distance(parameters, plain_loop(case, values)[2]) <= FLOAT64, values


def test_an_optimizer_that_refuses_the_parameters_is_one_sentence():
    data = RegressionData("line", line=Line(size=20), split=None)
    muon = lambda params: torch.optim.Muon(params, 0.01)  # noqa: E731
    with pytest.raises(UsageError, match="Muon only supports 2D parameters"):
        sweep(Varied, data, muon, {"lr": [1e-3, 1e-2]}, epochs=1)
