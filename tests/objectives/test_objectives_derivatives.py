"""Closed forms against autograd in both modes, finite differences, and gradcheck."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from objective_table import TABLE, Row, exported
from torch.autograd import gradcheck, gradgradcheck
from torch.func import vmap

from descentlab.errors import UsageError
from descentlab.objectives import (
    CubicMinusSquare,
    LinearDynamicsLoss,
    Square,
    WavyKink,
    compare,
    disagreements,
)
from descentlab.objectives.check import RELATIVE
from descentlab.objectives.finite_differences import central_difference
from tolerances import FLOAT64

rows = pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)


def test_the_table_names_every_objective():
    assert sorted(row.name for row in TABLE) == sorted(exported())


@rows
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_every_two_methods_agree_at_any_point(row: Row, data: st.DataObject):
    assert disagreements(row.objective, data.draw(row.points())) == []


@rows
def test_every_two_methods_agree_at_the_start(row: Row):
    made = compare(row.objective, row.objective.start)
    assert len(made) == 12  # two orders, six pairs of four methods
    assert all(comparison.agrees for comparison in made)


@rows
def test_gradcheck_and_gradgradcheck(row: Row):
    theta = row.some_points(1)[0].requires_grad_()
    assert gradcheck(row.objective, theta)
    assert gradgradcheck(row.objective, theta)


@rows
def test_backward_gives_the_closed_gradient(row: Row):
    theta = row.some_points(1)[0].requires_grad_()
    row.objective(theta).sum().backward()
    closed = row.objective.jacobian(theta.detach())
    summed = closed.sum(0) if closed.dim() > theta.dim() else closed
    torch.testing.assert_close(theta.grad, summed, rtol=FLOAT64, atol=FLOAT64)


@rows
def test_a_table_is_made_by_vmap(row: Row):
    points = row.some_points(5)
    for method in (row.objective, row.objective.jacobian, row.objective.hessian):
        one_by_one = torch.stack([method(point) for point in points])
        torch.testing.assert_close(vmap(method)(points), one_by_one, rtol=FLOAT64, atol=FLOAT64)


@rows
def test_shapes_and_dtypes(row: Row):
    for dtype in (torch.float32, torch.float64):
        theta = row.some_points(1)[0].to(dtype)
        value = row.objective(theta)
        first, second = row.objective.jacobian(theta), row.objective.hessian(theta)
        assert first.shape == value.shape + theta.shape
        assert second.shape == value.shape + theta.shape + theta.shape
        assert {value.dtype, first.dtype, second.dtype} == {dtype}


def test_the_comparator_uses_the_tolerance_of_the_tests():
    assert RELATIVE == FLOAT64


def test_at_the_kink_finite_differences_are_left_out():
    zero = torch.zeros((), dtype=torch.float64)
    methods = {row.method_b for row in compare(WavyKink(), zero)}
    assert "finite differences" not in methods
    assert disagreements(WavyKink(), zero) == []
    beyond = {row.method_b for row in compare(WavyKink(), zero + 0.001)}
    assert "finite differences" in beyond


@pytest.mark.parametrize("x", [0.3, 2.0, 50.0])
def test_the_bound_of_a_finite_difference_holds_and_is_tight(x: float):
    theta = torch.tensor(x, dtype=torch.float64)
    estimate, bound = central_difference(lambda t: torch.exp(t / 10), theta)
    error = abs(estimate.item() - math.exp(x / 10) / 10)
    assert error <= bound.item() < 1e-6


@pytest.mark.parametrize("horizon", [200, 2000])
def test_terms_that_cancel_at_a_minimiser_are_no_disagreement(horizon: int):
    loss = LinearDynamicsLoss(horizon=horizon, n=64)
    assert disagreements(loss, loss.minimiser) == []
    assert loss.gradient(loss.minimiser).abs() <= FLOAT64  # autograd's is 1e-12 and 1e-10


def test_not_a_number_is_a_disagreement():
    assert len(disagreements(Square(), torch.tensor(math.nan, dtype=torch.float64), [1])) == 6


def test_a_row_says_what_differs_and_where():
    class Wrong(CubicMinusSquare):
        def gradient(self, theta):
            return super().gradient(theta) + torch.tensor([[0, 0.5], [0, 0]])

    theta = torch.tensor([[2.0, 3.0], [6.0, 4.0]], dtype=torch.float64)
    found = disagreements(Wrong(), theta, orders=[1])
    assert {(row.method_a, row.index) for row in found} == {("closed form", (0, 1))}
    assert str(found[0]).startswith(
        "Wrong, derivative 1[0, 1] at [[2.0, 3.0], [6.0, 4.0]]: "
        "closed form 81.5, reverse mode 81.0 (apart 5.0e-01, allowed 1.6e-10)"
    )


def test_comparing_in_float32_or_at_another_order_is_refused():
    with pytest.raises(UsageError, match=r"float64, not in torch\.float32"):
        compare(Square(), torch.tensor(1.0))
    with pytest.raises(UsageError, match="order 1 and 2 to compare, not 3"):
        compare(Square(), torch.tensor(1.0, dtype=torch.float64), orders=[3])
