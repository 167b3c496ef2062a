"""What is right is never accused, and each known fault is caught at the step where it begins."""

from functools import partial

import faulty
import numpy as np
import pytest
import torch
from torch import optim

from descentlab import optimizers
from descentlab.errors import UsageError
from descentlab.verify import OptimizerDiffersError, compare, verify
from descentlab.verify.comparison import run
from descentlab.verify.problems import Problem

STEPS = 12


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


def test_where_no_step_is_compared_nothing_is_equal():
    """At this rate the other one has no finite step; without eps a zero gradient gives NaN."""
    said = "EpsInside could be held against .* on none of the problems: .* is not finite after one"
    with pytest.raises(UsageError, match=said):
        compare(faulty.EpsInside, optim.Adam, steps=3, lr=float("inf"))
    found = compare(faulty.AdamByHand, optim.Adam, steps=8, lr=0.1, eps=0.0)
    skipped = {each.problem for each in found.outcomes if "not finite" in each.skipped}
    assert skipped == {"Beale", "zero gradients", "gradients with few entries"}
    assert found.verdict.endswith("in 11 comparisons")
    assert 0 not in {each.steps for each in found.compared}


def test_within_an_infinite_allowance_nothing_is_equal():
    """Numbers as large as these have an allowance that overflows."""

    class Opposite(optim.SGD):
        def step(self, closure=None):
            for group in self.param_groups:
                group["lr"] = -group["lr"]
            super().step(closure)
            for group in self.param_groups:
                group["lr"] = -group["lr"]

    problem = Problem(
        "huge", (torch.zeros(1, dtype=torch.float64),), lambda p: [np.full_like(p[0], 10.0)]
    )
    made = partial(Opposite, lr=1.7e307), partial(optim.SGD, lr=1.7e307)
    assert run(*made, problem, torch.float64, 1).skipped


def decayed(params, lr=0.1, weight_decay=0.1):
    """Make a group by itself, so that it takes none."""
    return optim.SGD([{"params": list(params)}], lr=lr, weight_decay=weight_decay)


class TakesNoGroups(optim.SGD):
    def __init__(self, params, lr=0.1, weight_decay=0.1):
        super().__init__([{"params": list(params)}], lr, weight_decay=weight_decay)


def test_a_function_that_makes_groups_itself_is_not_held_to_several():
    values = {"steps": 3, "lr": 0.1, "weight_decay": 0.1}
    found = compare(decayed, optim.SGD, **values)
    (groups,) = [each for each in found.outcomes if each.problem == "several groups"]
    assert groups.skipped.startswith("it is a function that takes no groups: TypeError: ")
    assert found.verdict.startswith("test_comparison.decayed is torch.optim.sgd.SGD: equal")
    control = compare(TakesNoGroups, optim.SGD, **values)  # a class takes them
    assert [each.problem for each in control.outcomes if each.error] == ["several groups"]


def test_nothing_is_drawn_from_the_global_random_state():
    before = torch.get_rng_state()
    compare(optimizers.Adam, optim.Adam, steps=2)
    assert torch.equal(before, torch.get_rng_state())
