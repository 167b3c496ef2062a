"""What rounding may make of a difference: enough for what is right, too little for what is not."""

from functools import partial

import faulty
import numpy as np
import pytest
import right
import torch
from torch import optim

from descentlab.verify import rounding
from descentlab.verify.comparison import run
from descentlab.verify.problems import problems
from descentlab.verify.rounding import Allowance
from descentlab.verify.stepping import Stepper

#: the decay and the gradient that it is added to all but cancel, and alpha forgets fast
CANCELS = {
    "lr": 0.16676667029982783,
    "weight_decay": 0.10760132314343228,
    "maximize": True,
    "alpha": 0.7024265753114621,
    "eps": 0.0004888594077151268,
    "momentum": 0.7759606031444248,
}
QUADRATICS = problems()[0]
STEPS = 12


def outcome(candidate, dtype, **changes):
    made = partial(candidate, **{**CANCELS, **changes})
    return run(made, partial(optim.RMSprop, **CANCELS), QUADRATICS, dtype, STEPS)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_what_an_optimizer_makes_of_rounding_is_no_difference(dtype, monkeypatch):
    found = outcome(right.RightRMSprop, dtype)
    assert found.holds
    assert found.steps == STEPS
    monkeypatch.setattr(rounding, "_TIMES", 0.0)  # the formula alone
    assert not outcome(right.RightRMSprop, dtype).holds


class EpsOff(right.RightRMSprop):
    def move(self, p, g, s, group):
        super().move(p, g, s, {**group, "eps": group["eps"] + 1e-12})


@pytest.mark.parametrize(
    ("candidate", "changes", "step"),
    [
        (right.RightRMSprop, {"lr": CANCELS["lr"] * (1 + 1e-12)}, 1),
        (right.RightRMSprop, {"momentum": CANCELS["momentum"] * 1.01}, 2),
        (right.RightRMSprop, {"weight_decay": 0.0}, 1),
        (EpsOff, {}, 1),
    ],
)
def test_what_is_wrong_is_caught_there_all_the_same(candidate, changes, step):
    found = outcome(candidate, torch.float64, **changes)
    assert found.parameter.step == step


def measured(make, dtype, steps=STEPS):
    """Return what is allowed by the formula, and with what is measured, after some steps."""
    reference = Stepper(make, QUADRATICS, dtype, steps)
    allowance = Allowance(reference, set())
    for step in range(1, steps + 1):
        reference.step(step, reference.gradients(step))
        allowance.take(reference.flat())
    return np.array(allowance.after(steps)), np.array(allowance.measured(steps))


def test_it_is_eight_times_what_the_last_digit_makes_and_the_formula_otherwise():
    formula, found = measured(partial(optim.SGD, lr=0.1), torch.float64)
    assert (found == formula).all()
    formula, found = measured(partial(optim.RMSprop, **CANCELS), torch.float64)
    assert (found >= formula).all()
    assert found[2] > 2 * formula[2]


def test_where_the_reference_cannot_go_again_the_formula_holds():
    class Once(faulty.SGDByHand):
        made = 0

        def step(self, closure=None):
            if Once.made > 1:
                raise RuntimeError("once")
            return super().step(closure)

        def __init__(self, params, **values):
            super().__init__(params, **values)
            Once.made += 1

    formula, found = measured(Once, torch.float64)
    assert (found == formula).all()
