"""What is right is never accused, and each known fault is caught at the step where it begins."""

import random
from functools import partial

import faulty
import pytest
import torch
from torch import optim

from descentlab import optimizers
from descentlab.verify import OptimizerDiffersError, compare, verify
from descentlab.verify.problems import problems

STEPS = 12
BOTH = ("float64", "float32")
OURS = [
    (optimizers.GradientDescent, optim.SGD, {"lr": 0.1}),
    (optimizers.Momentum, optim.SGD, {"lr": 0.1, "momentum": 0.9}),
    (optimizers.Adam, optim.Adam, {"lr": 0.01}),
]


@pytest.mark.parametrize(("ours", "theirs", "values"), OURS, ids=lambda each: str(each)[-20:])
def test_our_rules_equal_torch_bit_for_bit_on_every_problem(ours, theirs, values):
    found = verify(ours, theirs, steps=STEPS, dtypes=BOTH, **values)
    dense = [each for each in found.compared if each.problem != "sparse gradients"]
    assert {each.largest for each in dense} == {0.0}
    assert len(found.outcomes) == 2 * len(problems())
    assert [each for each in found.compared if each.steps != STEPS] == []


BUILT_IN = sorted(
    name
    for name in optim.__all__
    if isinstance(getattr(optim, name, None), type) and name not in ("Optimizer", "ASGD")
)


@pytest.mark.parametrize(
    "name",
    [pytest.param(each, marks=[pytest.mark.slow] * (each == "LBFGS")) for each in BUILT_IN],
)
def test_torch_equals_itself_written_otherwise(name):
    kind = getattr(optim, name)

    def plainly(params, **values):
        made = kind(params, **values)
        for group in made.param_groups:
            if "foreach" in group:
                group["foreach"] = False
        return made

    def together(params, **values):
        made = kind(params, **values)
        for group in made.param_groups:
            if "foreach" in group:
                group["foreach"] = True
        return made

    assert verify(together, plainly, steps=STEPS, dtypes=BOTH).holds


def test_the_two_loops_of_asgd_are_told_apart():
    """Both keep the rate in single precision, and round it there one spacing apart."""
    loops = [partial(optim.ASGD, foreach=each) for each in (True, False)]
    found = compare(*loops, steps=3)
    outcome = next(each for each in found.outcomes if each.problem == "Beale")
    assert outcome.state.where == "state eta of parameter 0"
    assert (outcome.state.step, outcome.parameter.step) == (2, 3)
    rate = 0.01 / (1 + 1e-4 * 0.01 * 2) ** 0.75  # after two steps, by the formula
    assert abs(outcome.state.reference - rate) < torch.finfo(torch.float32).eps * rate
    assert outcome.state.size < torch.finfo(torch.float32).eps * rate


@pytest.mark.parametrize("kind", ["SGD", "Adam", "AdamW", "Adagrad"])
def test_torch_equals_itself_fused(kind):
    def fused(params, **values):
        return getattr(optim, kind)(params, fused=True, **values)

    assert verify(fused, getattr(optim, kind), steps=STEPS, dtypes=BOTH, lr=0.01).holds


@pytest.mark.parametrize("seed", range(3))
def test_what_is_right_is_not_accused_at_random_settings(seed):
    draw = random.Random(seed)
    betas = draw.uniform(0, 0.99), draw.uniform(0.5, 0.9999)
    adam = {
        "lr": 10 ** draw.uniform(-5, 0),
        "betas": betas,
        "eps": 10 ** draw.uniform(-12, -3),
        "weight_decay": draw.choice([0.0, 10 ** draw.uniform(-4, 0)]),
    }
    verify(faulty.AdamByHand, optim.Adam, steps=STEPS, dtypes=BOTH, **adam)
    sgd = {"lr": adam["lr"], "momentum": betas[0], "weight_decay": adam["weight_decay"]}
    verify(faulty.SGDByHand, optim.SGD, steps=STEPS, dtypes=BOTH, **sgd)


#: a fault; the reference; what both are made with; a problem that shows it; the step
FAULTS = [
    ("NoCorrection", "Adam", {}, "Beale", 1),
    ("CorrectionOffByOne", "Adam", {}, "Beale", 1),
    ("EpsInside", "Adam", {}, "gradients near 1e-8", 1),
    ("EpsBeforeCorrection", "Adam", {}, "gradients near 1e-8", 1),
    ("DecayIgnored", "Adam", {"weight_decay": 0.1}, "Beale", 1),
    ("DecayWrongSign", "Adam", {"weight_decay": 0.1}, "Beale", 1),
    ("AdamByHand", "AdamW", {"weight_decay": 0.1}, "Beale", 1),
    ("FirstRate", "Adam", {}, "hyperparameters that change", STEPS // 4 + 1),
    ("Damped", "SGD", {"lr": 0.01, "momentum": 0.9}, "Beale", 1),
    ("RateInVelocity", "SGD", {"momentum": 0.9}, "hyperparameters that change", STEPS // 4 + 1),
]


@pytest.mark.parametrize(("name", "reference", "values", "problem", "step"), FAULTS)
def test_a_fault_is_caught_where_it_begins(name, reference, values, problem, step):
    values = {"lr": 0.1, **values}
    found = compare(getattr(faulty, name), getattr(optim, reference), steps=STEPS, **values)
    assert not found.holds
    assert f"{name} is not " in str(found)
    outcome = next(each for each in found.outcomes if each.problem == problem)
    assert outcome.parameter.step == step
    assert outcome.parameter.size > outcome.parameter.allowed
    if step > 2:  # a fault that shows only when a hyperparameter changes shows nowhere else
        wrong = [each.problem for each in found.outcomes if not each.holds]
        assert wrong == [problem, "several groups"][: 1 + (name == "FirstRate")]


def test_what_differs_is_raised_with_the_report():
    with pytest.raises(OptimizerDiffersError, match="NoCorrection is not "):
        verify(faulty.NoCorrection, optim.Adam, steps=STEPS, lr=0.1)


def test_the_entry_and_the_values_of_the_first_difference_are_named():
    found = compare(faulty.NoCorrection, optim.Adam, steps=3, lr=0.1)
    outcome = next(each for each in found.outcomes if each.problem == "Beale")
    assert outcome.parameter.where in ("parameter 0[0]", "parameter 0[1]")
    index = int(outcome.parameter.where[-2])
    # the first step of Adam is lr; without correction lr (1 - b1) / sqrt(1 - b2), at (1, 1)
    gradient = torch.tensor([0.0, 27.75])  # of Beale's function at (1, 1)
    assert index == int(gradient.argmax())
    assert outcome.parameter.reference == pytest.approx(1 - 0.1, abs=1e-8)
    assert outcome.parameter.candidate == pytest.approx(1 - 0.1 * 0.1 / 0.001**0.5, abs=1e-7)


def test_a_state_of_the_same_name_is_compared():
    class Renamed(faulty.RateInVelocity):
        def move(self, p, g, s, group):
            super().move(p, g, s, group)
            s["momentum_buffer"] = s["b"]

    found = compare(Renamed, optim.SGD, steps=4, lr=0.1, momentum=0.9)
    outcome = next(each for each in found.outcomes if each.problem == "Himmelblau")
    assert outcome.holds
    assert outcome.state.step == 1
    assert outcome.state.candidate == pytest.approx(0.1 * outcome.state.reference)


def test_nothing_is_drawn_from_the_global_random_state():
    before = torch.get_rng_state()
    compare(optimizers.Adam, optim.Adam, steps=2)
    assert torch.equal(before, torch.get_rng_state())
