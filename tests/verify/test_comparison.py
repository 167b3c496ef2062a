"""What is right is never accused, and each known fault is caught at the step where it begins."""

import faulty
import pytest
import torch
from torch import optim

from descentlab import optimizers
from descentlab.verify import OptimizerDiffersError, compare, verify

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


def test_nothing_is_drawn_from_the_global_random_state():
    before = torch.get_rng_state()
    compare(optimizers.Adam, optim.Adam, steps=2)
    assert torch.equal(before, torch.get_rng_state())
