"""The figures that the handouts print, and what follows from the closed forms."""

import math

import pytest
import torch
from torch import Tensor

from descentlab.objectives import (
    CubicMinusSquare,
    ExpDot,
    LinearDynamicsLoss,
    LogDot,
    MeanLog,
    QuadraticWithLinear,
    Rational,
    Sigmoid,
    SineWithConstant,
    TraceOfSquare,
    VectorPair,
    sine_with_constant,
)
from tolerances import FLOAT64


def point(*numbers: float | tuple[float, ...]) -> Tensor:
    theta = torch.tensor(numbers, dtype=torch.float64)
    return theta[0] if theta.shape == (1,) else theta


x5, x2, s, pair = point(5.0), point(2.0), point(0.173), point(1.376, 2.123)
cubic, matrix, twos = (
    point((2.0, 3.0), (6.0, 4.0)),
    point((1.0, 2.0), (3.0, 4.0)),
    point(*[2.0] * 5),
)
parabola, sine, bump = QuadraticWithLinear(linear=0.0), SineWithConstant(c=3.0), Rational()

FIGURES = [  # entry, computed, printed, digits after the point
    ("AG-1 value", CubicMinusSquare()(cubic), 53, 4),
    ("AG-1 gradient", CubicMinusSquare().gradient(cubic), [[36, 81], [-12, -8]], 4),
    ("DI-2", QuadraticWithLinear()(x5), 80, 4),
    ("DI-3", sine(x5), 5.1232, 4),
    ("DI-5", sine.gradient(x5), 1.8510, 4),
    ("DI-7", parabola.gradient(x5), 30, 4),
    ("DI-8 value", MeanLog()(point(0, 1, 2, 3, 4)), 11.4877, 4),
    ("DI-8 gradient", MeanLog().gradient(point(0, 1, 2, 3, 4)), [1, 1.2, 1.16, 1.12, 1.0941], 4),
    ("DI-13 inner", LogDot().inner(twos), 20, 4),
    ("DI-13 value", LogDot()(twos), math.log(20), 12),
    ("DI-13 gradient", LogDot().gradient(twos), [0, 0.05, 0.10, 0.15, 0.20], 12),
    ("PS-1.1", bump.gradient(x2), 0.071, 3),
    ("PS-1.1 derived", bump.gradient(x2), 12 / 169, 12),
    ("PS-1.3 first", VectorPair().jacobian(pair)[0, 0], 2.752, 3),
    ("PS-1.3 second", VectorPair().jacobian(pair)[1, 1], 16.079, 3),
    ("PS-1.4", TraceOfSquare().gradient(matrix), [[2, 6], [4, 8]], 4),
    ("PS-1.5 first", Sigmoid().gradient(s), 0.248, 3),
    ("PS-1.5 second", Sigmoid().hessian(s), -0.021, 3),
]


@pytest.mark.parametrize(
    ("computed", "printed", "digits"), [row[1:] for row in FIGURES], ids=[row[0] for row in FIGURES]
)
def test_figure(computed: Tensor, printed: float, digits: int):
    half_a_unit = 0.5 * 10.0**-digits
    expected = torch.tensor(printed, dtype=torch.float64)
    assert computed.shape == expected.shape
    assert (computed - expected).abs().max() <= half_a_unit
    assert (computed + 1.2 * 10.0**-digits - expected).abs().max() > half_a_unit  # control


def test_di_14_against_a_plain_loop():
    b, x = (0.5, -1.0, 2.0), (0.3, 0.7, -0.2)
    expected = [weight * math.exp(sum(p * q for p, q in zip(b, x, strict=True))) for weight in b]
    found = ExpDot(b=b).gradient(point(*x)).tolist()
    assert found == pytest.approx(expected, rel=FLOAT64)


def test_di_4_the_constant_may_be_a_leaf_too():
    x, c = point(5.0).requires_grad_(), point(3.0).requires_grad_()
    sine_with_constant(x, c).backward()
    assert c.grad.item() == pytest.approx(math.sin(5) + 1, rel=FLOAT64)
    assert x.grad.item() == pytest.approx(3 * math.cos(5) + 1, rel=FLOAT64)


def test_ps_1_2_over_a_range():
    xs = torch.linspace(-5, 5, 101, dtype=torch.float64)
    slopes = torch.func.vmap(Sigmoid().gradient)(xs)
    expected = [math.exp(-x) / (1 + math.exp(-x)) ** 2 for x in xs.tolist()]
    assert slopes.tolist() == pytest.approx(expected, rel=FLOAT64)


def test_ag_3_one_step_in_float32():
    theta = CubicMinusSquare().start.float()
    moved = theta - 0.005 * CubicMinusSquare().gradient(theta)
    assert moved.flatten().tolist() == pytest.approx([1.82, 2.595, 6.06, 4.04], abs=5e-5)
    assert CubicMinusSquare()(moved).item() == 17.464889526367188


def test_tp_1_2_in_expectation():
    loss = LinearDynamicsLoss(horizon=20, n=1_000_000)
    one = point(1.0)
    assert loss(one).item() == pytest.approx(401, abs=6 * 40 / 1000)  # six standard errors
    assert loss.gradient(one).item() == pytest.approx(800, abs=6 * 40 / 1000)
    assert loss.largest_curvature == 800
    assert loss.stable_learning_rate == 0.0025
