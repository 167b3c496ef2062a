"""Derivatives that are wrong on purpose: `disagreements` must find each of them."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from objective_table import TABLE, Row
from torch import Tensor

from descentlab.objectives import (
    Beale,
    Booth,
    CubicMinusSquare,
    ExpDot,
    Himmelblau,
    IllConditionedQuadratic,
    LinearDynamicsLoss,
    LogDot,
    LogisticRegression,
    MeanLog,
    Objective,
    QuadraticWithLinear,
    Rational,
    Rosenbrock,
    Sigmoid,
    SineWithConstant,
    Square,
    SquaredNorm,
    TraceOfSquare,
    VectorPair,
    WavyKink,
    disagreements,
)

rows = pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
Derivative = Callable[[Objective, Tensor], Tensor]


def spoilt(objective: Objective, method: str, wrong: Derivative) -> Objective:
    """Return the objective with one of its closed forms replaced."""
    kind = type(objective)
    right = getattr(kind, method)
    body = {method: lambda self, theta: wrong(right(self, theta), theta)}
    bad = replace(objective)
    object.__setattr__(bad, "__class__", type(f"Wrong{kind.__name__}", (kind,), body))
    return bad


def closed_forms_found_wrong(objective: Objective, theta: Tensor, order: int) -> set[str]:
    """Return what disagrees with the closed form, having seen that nothing else disagrees."""
    found = disagreements(objective, theta)
    assert {(row.order, row.method_a) for row in found} <= {(order, "closed form")}
    return {row.method_b for row in found}


EVERY_OTHER = {"reverse mode", "forward mode", "finite differences"}
MISTAKES = {
    "flipped sign": lambda right, theta: -right,
    "missing factor": lambda right, theta: right / 2,
    "off by a millionth": lambda right, theta: right * (1 + 1e-6),
    "constant added": lambda right, theta: right + 1e-3,
}


@rows
@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("order", [1, 2])
def test_a_wrong_closed_form_is_found(row: Row, mistake: str, order: int):
    vector_valued = isinstance(row.objective, VectorPair)
    first = "jacobian" if vector_valued else "gradient"
    method = first if order == 1 else "hessian"
    bad = spoilt(row.objective, method, MISTAKES[mistake])
    assert closed_forms_found_wrong(bad, row.some_points(1)[0], order) == EVERY_OTHER


@rows
def test_an_objective_spoilt_by_nothing_is_right(row: Row):
    bad = spoilt(row.objective, "hessian", lambda right, theta: right)
    assert disagreements(bad, row.some_points(1)[0]) == []


@pytest.mark.parametrize("sign_at_zero", [-1.0, 1.0, 0.5])
def test_another_convention_at_the_kink_is_found(sign_at_zero: float):
    def wrong(right: Tensor, theta: Tensor) -> Tensor:
        return torch.where(theta == 0, 1 + 2 * sign_at_zero, right)

    bad = spoilt(WavyKink(), "gradient", wrong)
    zero = torch.zeros((), dtype=torch.float64)
    assert closed_forms_found_wrong(bad, zero, 1) == {"reverse mode", "forward mode"}
    assert disagreements(bad, zero + 1) == []


FORGOTTEN = {  # the slip that each derivation invites, by objective
    "square": (Square(), "gradient", lambda g, x: x),
    "norm": (SquaredNorm(), "gradient", lambda g, x: g / (x**2).sum().sqrt()),
    "linear term": (QuadraticWithLinear(), "gradient", lambda g, x: 6 * x),
    "power": (CubicMinusSquare(), "gradient", lambda g, x: torch.stack((3 * x[0] ** 2, g[1]))),
    "flanks": (WavyKink(), "gradient", lambda g, x: g - 2 * torch.sign(x)),
    "inner derivative": (Rational(), "gradient", lambda g, x: -g),
    "second factor": (Sigmoid(), "hessian", lambda h, x: h / (1 - 2 * torch.sigmoid(x))),
    "amplitude": (SineWithConstant(), "gradient", lambda g, x: torch.cos(x) + 1),
    "mean": (MeanLog(), "gradient", lambda g, x: g * x.numel()),
    "outer derivative": (LogDot(), "gradient", lambda g, x: torch.arange(5.0).double()),
    "vector": (ExpDot(b=(1.0, 2.0)), "gradient", lambda g, x: g / torch.tensor([1.0, 2.0])),
    "order of indices": (VectorPair(), "jacobian", lambda j, x: j.T),
    "transpose": (TraceOfSquare(), "gradient", lambda g, x: g.T),
    "horizon": (LinearDynamicsLoss(n=8), "gradient", lambda g, x: g / 20),
    "valley": (Rosenbrock(), "gradient", lambda g, x: torch.stack((2 * x[0] - 2 + g[1], g[1]))),
    "exponent": (Beale(), "gradient", lambda g, x: g * torch.stack((x[0] / x[0], x[1] / 2))),
    "outer factor": (Himmelblau(), "gradient", lambda g, x: g / 2),
    "swapped": (Booth(), "gradient", lambda g, x: g.flip(0)),
    "curvatures": (IllConditionedQuadratic(), "gradient", lambda g, x: x),
    "penalty": (LogisticRegression(), "gradient", lambda g, x: g - 0.01 * x),
}


@pytest.mark.parametrize("slip", FORGOTTEN)
def test_the_likely_slip_is_found(slip: str):
    objective, method, wrong = FORGOTTEN[slip]
    bad = spoilt(objective, method, wrong)
    order = 2 if method == "hessian" else 1
    assert closed_forms_found_wrong(bad, objective.start, order) == EVERY_OTHER


def test_a_likely_slip_is_listed_for_every_objective():
    assert {type(slip[0]) for slip in FORGOTTEN.values()} == {type(row.objective) for row in TABLE}
