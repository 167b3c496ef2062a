"""Minimisers, curvatures and stable rates; starts; fields and shapes that are refused."""

import math
from itertools import pairwise

import jsonargparse
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from objective_table import TABLE, Row
from sklearn import linear_model
from torch.func import vmap

from descentlab.errors import UsageError
from descentlab.objectives import (
    CubicMinusSquare,
    ExpDot,
    Himmelblau,
    IllConditionedQuadratic,
    LinearDynamicsLoss,
    LogDot,
    LogisticRegression,
    Objective,
    QuadraticWithLinear,
    Rational,
    SineWithConstant,
    Square,
    SquaredNorm,
    TraceOfSquare,
    VectorPair,
    WavyKink,
    linear_dynamics_loss,
    roll_out,
)
from tolerances import FLOAT64

rows = pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)


with_minimiser = pytest.mark.parametrize(
    "row",
    [row for row in TABLE if row.objective.minimiser is not None],
    ids=lambda row: row.name,
)
with_curvature = pytest.mark.parametrize(
    "row",
    [row for row in TABLE if row.objective.largest_curvature is not None],
    ids=lambda row: row.name,
)
with_stable_rate = pytest.mark.parametrize(
    "row",
    [row for row in TABLE if row.objective.stable_learning_rate is not None],
    ids=lambda row: row.name,
)


@with_minimiser
def test_no_point_is_below_the_minimiser(row: Row):
    minimiser = row.objective.minimiser.expand(row.size)
    least = row.objective(minimiser)
    assert (vmap(row.objective)(row.some_points(200)) > least).all()
    if not row.objective.kinks:
        assert row.objective.gradient(minimiser).abs().max() <= FLOAT64


@with_curvature
def test_the_largest_curvature_is_the_hessians(row: Row):
    size = math.prod(row.size)
    for theta in row.some_points(3):
        hessian = row.objective.hessian(theta).reshape(size, size)
        found = torch.linalg.eigvalsh(hessian).max().item()
        assert found == pytest.approx(row.objective.largest_curvature, rel=FLOAT64)


def test_which_objectives_have_a_stable_rate():
    known = {
        row.name: row.objective.stable_learning_rate
        for row in TABLE
        if row.objective.stable_learning_rate is not None
    }
    assert known == {
        "Square": 1.0,
        "SquaredNorm": 1.0,
        "QuadraticWithLinear": 1 / 3,
        "LinearDynamicsLoss": 0.0025,
        "Booth": 1 / 9,
        "IllConditionedQuadratic": 2.0,
    }


@with_stable_rate
@pytest.mark.parametrize(("share", "converges"), [(0.99, True), (1.01, False)])
def test_descent_converges_just_below_the_stable_rate(row: Row, share: float, converges: bool):
    size, least = math.prod(row.size), row.objective.minimiser
    hessian = row.objective.hessian(row.some_points(1)[0]).reshape(size, size)
    steepest = torch.linalg.eigh(hessian).eigenvectors[:, -1].reshape(row.size)
    theta = least + steepest
    rate = share * row.objective.stable_learning_rate
    before = (theta - row.objective.minimiser).norm()
    for _ in range(50):
        theta = theta - rate * row.objective.gradient(theta)
    factor = ((theta - row.objective.minimiser).norm() / before).item()
    assert (factor < 1) == converges
    assert factor == pytest.approx(abs(1 - 2 * share) ** 50, rel=FLOAT64)


def test_every_minimum_of_himmelblau_is_one():
    found = torch.tensor(Himmelblau.minimisers, dtype=torch.float64)
    assert len({tuple(place) for place in found.tolist()}) == 4
    for place in found:
        assert Himmelblau()(place) <= FLOAT64
        assert Himmelblau().gradient(place).abs().max() <= 100 * FLOAT64  # curvature up to 100
        assert torch.linalg.eigvalsh(Himmelblau().hessian(place)).min() > 0
    assert Himmelblau().gradient(found[0] + 1e-6).abs().max() > 1e-5  # negative control


@pytest.mark.parametrize("condition", [1.0, 1e2, 1e6])
@pytest.mark.parametrize("dimension", [1, 2, 50])
def test_an_ill_conditioned_quadratic_has_the_condition_at_any_dimension(condition, dimension):
    theta = torch.ones(dimension, dtype=torch.float64)
    curvatures = torch.linalg.eigvalsh(IllConditionedQuadratic(condition).hessian(theta))
    assert curvatures.max() == 1
    expected = condition if dimension > 1 else 1.0
    assert (1 / curvatures.min()).item() == pytest.approx(expected, rel=FLOAT64)


def test_logistic_regression_is_that_of_scikit_learn():
    ours = LogisticRegression(n=60, ridge=0.1, seed=3)
    theirs = linear_model.LogisticRegression(C=1 / (60 * 0.1), fit_intercept=False, tol=1e-10)
    found = theirs.fit(ours.x.numpy(), ours.s.numpy()).coef_[0]
    assert ours.minimiser.tolist() == pytest.approx(found.tolist(), abs=1e-6)  # by its tolerance


@rows
def test_the_start_fits(row: Row):
    start = row.objective.start
    assert start.dtype == torch.float64
    assert row.objective(start).isfinite().all()


@rows
def test_it_is_made_from_a_class_path(row: Row):
    parser = jsonargparse.ArgumentParser()
    parser.add_argument("--objective", type=Objective)
    namespace = parser.parse_args([f"--objective=descentlab.objectives.{row.name}"])
    assert parser.instantiate(namespace).objective == type(row.objective)()


def test_fields_come_from_the_command_line():
    parser = jsonargparse.ArgumentParser()
    parser.add_argument("--objective", type=Objective)
    given_ = ["--objective=descentlab.objectives.LogDot", "--objective.b=[1.0, 2.0]"]
    assert parser.instantiate(parser.parse_args(given_)).objective == LogDot(b=(1.0, 2.0))


def test_wavy_kink_has_the_local_minima_that_a_scan_finds():
    grid = torch.linspace(-5, 5, 100_002, dtype=torch.float64)  # even: 0 is not on it
    slopes = vmap(WavyKink().gradient)(grid).tolist()
    crossed = [
        (left, right)
        for (left, slope), (right, after) in pairwise(zip(grid.tolist(), slopes, strict=True))
        if slope < 0 < after
    ]
    claimed = sorted((*WavyKink.local_minima, 0.0))
    assert len(crossed) == len(claimed) == 7
    assert all(a < x < b for x, (a, b) in zip(claimed, crossed, strict=True))


def test_wavy_kink_has_the_local_minima_that_the_handout_implies():
    minima = torch.tensor(WavyKink.local_minima, dtype=torch.float64)
    values = vmap(WavyKink())(minima)
    printed = [-4.6991, -3.1215, -1.5292, 0.6838, 2.3292, 3.9110]
    heights = [4.7057, 3.1316, 1.5503, 0.7395, 2.3428, 3.9190]
    assert minima.tolist() == pytest.approx(printed, abs=5e-5)
    assert values.tolist() == pytest.approx(heights, abs=5e-5)
    assert vmap(WavyKink().gradient)(minima).abs().max() <= FLOAT64
    assert (vmap(WavyKink().hessian)(minima) > 0).all()


def test_wavy_kink_states_its_subgradient():
    zero = torch.zeros((), dtype=torch.float64)
    assert WavyKink()(zero) == 0
    assert WavyKink().gradient(zero) == 1
    assert WavyKink().gradient(zero + 1e-9).item() == pytest.approx(3)
    assert WavyKink().gradient(zero - 1e-9).item() == pytest.approx(-1)


@settings(max_examples=30, deadline=None)
@given(
    states=st.lists(st.floats(-5, 5), min_size=1, max_size=8),
    theta=st.floats(-2, 2),
    horizon=st.integers(1, 40),
)
def test_linear_dynamics_against_a_plain_loop(states: list[float], theta: float, horizon: int):
    total = 0.0
    for x in states:
        for _ in range(horizon):
            x = x + theta
        total += (x - 1.0) ** 2
    loss = LinearDynamicsLoss(horizon=horizon, states=tuple(states))
    found = loss(torch.tensor(theta, dtype=torch.float64)).item()
    assert found == pytest.approx(total / len(states), rel=FLOAT64, abs=FLOAT64)


def test_linear_dynamics_lands_in_one_step_at_half_the_stable_rate():
    loss = LinearDynamicsLoss()
    theta = loss.start
    landed = theta - 0.00125 * loss.gradient(theta)
    assert landed.item() == pytest.approx(loss.minimiser.item(), abs=FLOAT64)
    assert landed.item() == pytest.approx((1 - loss.x0.mean().item()) / 20, abs=FLOAT64)


def test_linear_dynamics_draws_once_from_its_own_seed():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    assert torch.equal(LinearDynamicsLoss().x0, LinearDynamicsLoss().x0)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(LinearDynamicsLoss().x0, LinearDynamicsLoss(seed=1).x0)
    shifted = LinearDynamicsLoss(mean=3.0, std=2.0).x0
    torch.testing.assert_close(shifted, 1 + 2 * LinearDynamicsLoss().x0, rtol=FLOAT64, atol=FLOAT64)


def test_linear_dynamics_calls_its_function_once_a_time_step():
    theta = torch.tensor(1.0, requires_grad=True)
    loss = linear_dynamics_loss(theta, torch.zeros(2), horizon=3)
    nodes, node = [], loss.grad_fn
    while node is not None:
        nodes.append(node.name())
        node = node.next_functions[0][0] if node.next_functions else None
    adds = ["AddBackward0"] * 3
    assert nodes[:6] == ["MeanBackward0", "PowBackward0", "SubBackward0", *adds]
    assert torch.equal(roll_out(torch.zeros(2), theta, 3), torch.tensor([3.0, 3.0]))


REFUSED = {
    "one field": (lambda: SineWithConstant(c=math.nan), "SineWithConstant: c must be finite"),
    "one of several": (lambda: LogDot(b=(1.0, math.inf)), "LogDot: b must be finite"),
    "width": (lambda: Rational(width=0.0), "Rational: width must be > 0, not 0.0"),
    "weights": (lambda: ExpDot(b=()), "ExpDot: b must have at least one"),
    "horizon": (lambda: LinearDynamicsLoss(horizon=0), "horizon must be >= 1, not 0"),
    "n": (lambda: LinearDynamicsLoss(n=0), "not n=0 and std=1.0"),
    "std": (lambda: LinearDynamicsLoss(std=-1.0), "not n=1024 and std=-1.0"),
    "states": (lambda: LinearDynamicsLoss(states=()), "states must hold at least one"),
    "pair": (lambda: VectorPair().gradient(torch.ones(2)), "VectorPair is vector-valued"),
    "scalar": (lambda: Square()(torch.ones(3)), r"shape \(\), not \(3,\)"),
    "empty": (lambda: SquaredNorm()(torch.ones(0)), r"shape \(n\), not \(0,\)"),
    "rows": (lambda: CubicMinusSquare()(torch.ones(3, 2)), r"shape \(2, n\), not \(3, 2\)"),
    "square": (lambda: TraceOfSquare()(torch.ones(2, 3)), r"shape \(n, n\), not \(2, 3\)"),
    "length": (lambda: LogDot()(torch.ones(4)), r"shape \(5\), not \(4,\)"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_it_is_refused(case: str):
    make, message = REFUSED[case]
    with pytest.raises(UsageError, match=message):
        make()


def test_a_parabola_that_opens_downwards_has_no_minimiser():
    parabola = QuadraticWithLinear(quadratic=-1.0)
    assert parabola.minimiser is None
    assert parabola.stable_learning_rate is None
    assert QuadraticWithLinear().minimiser.item() == -1 / 6
