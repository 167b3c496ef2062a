"""The largest stable learning rate of an optimizer, and the cost of its step, in a report."""

import time
from functools import partial

import pytest
import torch

from descentlab.optimizers import Adam, GradientDescent, Momentum
from descentlab.verify.limits import cost, stable_rate
from descentlab.verify.verification import compare


@pytest.mark.parametrize(
    ("ours", "theirs", "bound"),
    [
        (GradientDescent, torch.optim.SGD, 2.0),
        (torch.optim.SGD, GradientDescent, 2.0),
        (partial(Momentum, lr=0.1, momentum=0.5), partial(torch.optim.SGD, momentum=0.5), 3.0),
        (partial(torch.optim.SGD, momentum=0.9), partial(Momentum, lr=0.1, momentum=0.9), 3.8),
    ],
)
def test_the_observed_rate_is_the_closed_form(ours, theirs, bound):
    found = stable_rate(ours, theirs)
    assert found.predicted == pytest.approx(bound, rel=1e-12)
    assert found.observed == pytest.approx(bound, rel=1e-3)
    assert found.observed != pytest.approx(1.01 * bound, rel=1e-3)


def test_another_rule_than_the_reference_has_another_rate():
    """Negative control: half a step is stable up to twice the rate."""

    class Half(torch.optim.SGD):
        def step(self, closure=None):
            with torch.enable_grad():
                loss = closure() if closure else None
            for group in self.param_groups:
                for parameter in group["params"]:
                    parameter.data -= 0.5 * group["lr"] * parameter.grad
            return loss

    found = stable_rate(Half, torch.optim.SGD)
    assert found.predicted == 2.0
    assert found.observed == pytest.approx(4.0, rel=1e-3)


def test_what_has_no_closed_form_and_what_has_no_rate():
    assert stable_rate(torch.optim.Adam, Adam) is None

    class Still(torch.optim.SGD):
        def step(self, closure=None):
            return closure() if closure else None

    found = stable_rate(Still, torch.optim.SGD)
    assert found.observed is None
    assert "no such rate was found" in str(found)


def test_what_goes_uphill_is_known_by_a_few_steps():
    """At each rate, however small, it would take thousands until it is sure."""
    steps = []

    class Uphill(torch.optim.SGD):
        def step(self, closure=None):
            steps.append(1)
            with torch.enable_grad():
                loss = closure() if closure else None
            for group in self.param_groups:
                for parameter in group["params"]:
                    parameter.data += group["lr"] * parameter.grad
            return loss

    assert stable_rate(Uphill, torch.optim.SGD).observed is None
    assert len(steps) < 10


class Unsettled(torch.optim.SGD):
    """Steps of one length, to and fro: it is never sure whether they settle."""

    taken = 0

    def step(self, closure=None):
        Unsettled.taken += 1
        with torch.enable_grad():
            loss = closure() if closure else None
        draw = torch.Generator().manual_seed(Unsettled.taken)
        for group in self.param_groups:
            for p in group["params"]:
                p.data -= group["lr"] * (p.grad + torch.randn(p.shape, generator=draw))
        return loss


def test_a_search_for_a_rate_that_is_not_found_ends_after_so_many_steps():
    Unsettled.taken = 0
    found = stable_rate(Unsettled, torch.optim.SGD)
    assert found.observed is None
    assert 10_000 < found.steps <= Unsettled.taken < 15_000
    assert str(found).endswith(f"observed: no such rate was found within {found.steps:,} steps")


def test_without_a_rate_there_is_no_search_for_one():
    class NoRate(torch.optim.SGD):
        def __init__(self, params, scale=0.1):
            super().__init__(params, lr=scale)
            for group in self.param_groups:
                del group["lr"]

        def step(self, closure=None):
            raise AssertionError("it is stepped")

    assert stable_rate(NoRate, torch.optim.SGD) is None


def test_a_rate_that_takes_many_steps_is_found():
    heavy = partial(torch.optim.SGD, momentum=0.97)
    assert stable_rate(heavy, heavy).observed == pytest.approx(3.94, rel=1e-3)


def test_the_cost_of_an_optimizer_beside_itself_and_beside_one_with_more_state():
    assert cost(torch.optim.SGD, torch.optim.SGD).memory is None  # it keeps none
    heavy = partial(torch.optim.SGD, momentum=0.9)
    assert cost(heavy, heavy).memory == 1.0
    adam = cost(torch.optim.Adam, heavy)
    assert adam.memory == pytest.approx(2.0, rel=2e-3)  # two buffers and a count of steps


def test_a_slow_step_is_seen():
    """Both ways: waiting 5 ms, it takes hundreds of times as long, and the other a hundredth."""

    class Slow(torch.optim.SGD):
        def step(self, closure=None):
            time.sleep(0.005)
            return super().step(closure)

    assert cost(Slow, torch.optim.SGD).time > 5
    assert cost(torch.optim.SGD, Slow).time < 0.2


def test_what_takes_no_dense_gradients_is_not_measured():
    found = compare(torch.optim.SparseAdam, torch.optim.SparseAdam, steps=3)
    assert found.rate is found.cost is None


def test_a_report_has_both():
    found = compare(GradientDescent, torch.optim.SGD, steps=5, lr=0.1)
    assert "stable   lr below 2 predicted on a curvature of 1; observed: 2" in str(found)
    assert "costs    " in str(found)
    assert found.as_json()["rate"]["predicted"] == 2.0
    assert found.as_json()["cost"]["memory"] is None
