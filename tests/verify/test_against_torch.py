"""Our rules beside torch.optim, and torch.optim beside itself written otherwise."""

import os
from functools import partial

import pytest
import torch
from torch import optim

from descentlab import optimizers
from descentlab.verify import compare, verify
from descentlab.verify.comparison import run
from descentlab.verify.problems import problems
from descentlab.verify.verification import PRECISIONS

#: of torch beside itself; all of it was once run at 1,000, as docs/testing.md says
STEPS = int(os.environ.get("DESCENTLAB_VERIFY_STEPS", "12"))
OURS = [
    (optimizers.GradientDescent, optim.SGD, {"lr": 0.1}),
    (optimizers.Momentum, optim.SGD, {"lr": 0.1, "momentum": 0.9}),
    (optimizers.Adam, optim.Adam, {"lr": 0.01}),
]
NAMES = [ours.__name__ for ours, *_ in OURS]


def test_every_rule_of_ours_is_here():
    assert sorted(NAMES) == sorted(set(optimizers.__all__) - {"Rule"})


@pytest.mark.parametrize(("ours", "theirs", "values"), OURS, ids=NAMES)
def test_our_rules_are_torch_in_every_check(ours, theirs, values):
    found = verify(ours, theirs, steps=12, dtypes=("float64", "float32"), **values)
    assert len(found.outcomes) == 2 * len(problems())


@pytest.mark.slow
@pytest.mark.parametrize("dtype", PRECISIONS.values(), ids=PRECISIONS)
@pytest.mark.parametrize(("ours", "theirs", "values"), OURS, ids=NAMES)
def test_our_rules_equal_torch_bit_for_bit_over_a_thousand_steps(ours, theirs, values, dtype):
    made = partial(ours, **values), partial(theirs, **values)
    found = {each.name: run(*made, each, dtype, 1000) for each in problems()}
    sparse = found.pop("sparse gradients")  # which torch's momentum adds up in another order
    assert {each.largest for each in found.values()} == {0.0}
    assert {each.state for each in found.values()} == {None}
    assert {each.steps for each in found.values()} == {1000}
    refused = "the reference does not take it: RuntimeError: Adam does not support sparse gradients"
    assert sparse.holds
    assert sparse.skipped.startswith(refused) if theirs is optim.Adam else sparse.steps == 1000


@pytest.mark.slow
def test_a_rate_off_in_its_last_digit_is_a_difference_within_a_thousand_steps():
    """Negative control: nothing is rounded away where bits are compared."""
    made = partial(optimizers.Adam, lr=0.01 * (1 + 2**-52)), partial(optim.Adam, lr=0.01)
    found = [run(*made, each, torch.float64, 1000) for each in problems()[1:4]]
    assert 0.0 not in {each.largest for each in found}


BUILT_IN = sorted(
    name
    for name in optim.__all__
    if isinstance(getattr(optim, name, None), type) and name not in ("Optimizer", "ASGD")
)


def set_to(kind, foreach, params, **values):
    """Return an optimizer of torch that steps by one loop or the other."""
    made = kind(params, **values)
    for group in made.param_groups:
        if "foreach" in group:
            group["foreach"] = foreach
    return made


@pytest.mark.parametrize(
    "name",
    [pytest.param(each, marks=[pytest.mark.slow] * (each == "LBFGS")) for each in BUILT_IN],
)
def test_torch_equals_itself_written_otherwise(name):
    loops = [partial(set_to, getattr(optim, name), foreach) for foreach in (True, False)]
    steps = 12 if name == "LBFGS" else STEPS  # it has one loop, and takes long
    found = verify(*loops, steps=steps, dtypes=("float64", "float32"))
    assert {each.steps for each in found.compared} == {steps}


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "Adagrad"])
def test_torch_equals_itself_fused(name):
    kind = getattr(optim, name)
    fused, plain = (partial(kind, **each) for each in ({"fused": True}, {"foreach": False}))
    found = verify(fused, plain, steps=STEPS, dtypes=("float64", "float32"), lr=0.01)
    assert {each.steps for each in found.compared} == {STEPS}


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
