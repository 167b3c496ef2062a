"""How fast errors shrink, and the regret on a stream of losses, beside closed forms."""

import math
from functools import partial

import faulty
import pytest
import torch
from torch.optim import SGD, Adam

from descentlab.optimizers import GradientDescent, Momentum
from descentlab.verify import compare
from descentlab.verify.speed import convergence, regret
from tolerances import FLOAT64

NESTEROV = {"lr": 0.1, "momentum": 0.9, "nesterov": True}


@pytest.mark.parametrize(
    ("make", "factor"),
    [
        (partial(SGD, lr=1e-3), 1 - 1e-5),  # |1 - lr λ|, largest for λ = 0.01
        (partial(SGD, lr=1.995), 0.995),  # for λ = 1
        (partial(SGD, lr=3.0), 2.0),  # what is not stable grows
        (partial(SGD, lr=0.1, weight_decay=0.09), 1 - 0.1 * 0.1),
        (partial(SGD, lr=1.0, momentum=0.9), math.sqrt(0.9)),  # complex roots: of modulus √μ
        (partial(SGD, lr=0.1, momentum=0.9, dampening=1.0), 1.0),  # but for the first gradient
        (partial(SGD, **NESTEROV), (1.9 * 0.999 + math.sqrt(1.9**2 * 0.999**2 - 3.6 * 0.999)) / 2),
        (partial(GradientDescent, lr=0.5), 1 - 0.5 * 0.01),
        (partial(Momentum, lr=1.0, momentum=0.9), math.sqrt(0.9)),
    ],
)
def test_the_observed_factor_is_the_closed_form(make, factor):
    found = convergence(make, make)
    assert found.predicted == pytest.approx(factor, abs=FLOAT64)
    assert found.observed == pytest.approx(factor, abs=FLOAT64)
    assert "differs" not in str(found)


class Half(SGD):
    """Steps half as far as it should."""

    def step(self, closure=None):
        loss = closure() if closure else None
        with torch.no_grad():
            for group in self.param_groups:
                for p in group["params"]:
                    p -= 0.5 * group["lr"] * p.grad
        return loss


def test_another_factor_and_what_has_none_are_seen():
    """Negative controls: half a step, a damped buffer, and an optimizer that is not linear."""
    found = convergence(partial(Half, lr=1e-3), partial(SGD, lr=1e-3))
    assert found.observed == pytest.approx(1 - 0.5e-5, abs=FLOAT64)
    assert str(found).endswith("observed: 0.999995, which differs")
    damped = partial(faulty.Damped, lr=0.1, momentum=0.9)
    assert "differs" in str(convergence(damped, partial(SGD, lr=0.1, momentum=0.9)))
    assert convergence(Adam, SGD).observed is None
    assert str(convergence(Adam, SGD)).endswith("observed: no such factor")
    assert convergence(SGD, Adam) is None


def test_the_regret_of_gradient_descent_is_its_closed_form():
    """Near the end a round of three loses 3 (2 - 1/3) lr: on average 10 / (3 √T)."""
    found = regret(SGD, GradientDescent)
    assert (found.average, found.power) == (found.reference_average, found.reference_power)
    assert found.average == pytest.approx(10 / (3 * math.sqrt(600)), rel=0.02)
    assert found.power == pytest.approx(-0.5, abs=0.02)


def test_adam_goes_to_the_worst_number_on_the_stream_of_its_counterexample():
    """Negative control, of Reddi et al.: what does not fall is seen, and AMSGrad does."""
    kept = {"betas": (0.0, 0.1)}
    found = regret(partial(Adam, **kept), partial(Adam, amsgrad=True, **kept))
    assert found.average == pytest.approx(2 / 3, rel=0.06)  # of 2 (3 - 2) a round at 1
    assert found.power == pytest.approx(0, abs=0.03)
    assert found.reference_power < -0.5
    assert "going as t^-0.02; the reference's: 0.0503, going as t^-0.54 (600" in str(found)


def test_what_anticipates_has_no_power():
    """An average that is below 0 falls as no power of t."""

    class Ahead(SGD):
        count = 0

        def step(self, closure=None):
            self.count += 1
            for group in self.param_groups:
                for p in group["params"]:
                    p.data.fill_(1.0 if self.count % 3 else -1.0)  # where the next loss is least

    found = regret(Ahead, SGD)
    assert found.average < 0
    assert found.power is None


def test_a_report_has_both():
    found = compare(GradientDescent, SGD, steps=5, lr=0.1)
    assert "  speed    0.999 times the error after each step, predicted on" in str(found)
    assert "  regret   on average 0.135, going as t^-0.49; the reference's: 0.135" in str(found)
    assert found.as_json()["convergence"]["predicted"] == pytest.approx(0.999, abs=FLOAT64)
    assert found.as_json()["regret"]["power"] == found.regret.power
