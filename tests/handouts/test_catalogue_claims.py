"""Claims: what is within the printed digits, or within what rounding can do, and what is not."""

import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from descentlab.errors import UsageError
from descentlab.handouts.claims import (
    Agreement,
    Figures,
    Within,
    Wording,
    agreement,
    flat,
    half_unit,
)

numbers = st.floats(-1e6, 1e6, allow_nan=False).filter(lambda x: x == 0 or abs(x) > 1e-200)


@given(value=numbers, decimals=st.integers(1, 9))
def test_a_number_agrees_with_itself_rounded_and_with_nothing_two_units_off(value, decimals):
    printed = f"{value:.{decimals}f}"
    assert Figures("x", printed).judge(value).passed
    unit = Decimal(1).scaleb(-decimals)
    for off in (2 * unit, -2 * unit):
        assert not Figures("x", str(Decimal(printed) + off)).judge(value).passed


@given(value=numbers.filter(lambda x: x != 0), decimals=st.integers(1, 9))
def test_the_same_for_scientific_notation(value, decimals):
    printed = f"{value:.{decimals}e}"
    figures = Figures("x", printed)
    exponent = int(printed.split("e")[1])
    assert figures.judge(value).passed
    assert math.isclose(figures.tolerance(None), 0.5 * 10.0 ** (exponent - decimals), rel_tol=1e-9)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("36", 0.5), ("6.0", 0.05), ("17.4649", 5e-5), ("6.425e-05", 5e-9), ("2.5E+3", 50.0)],
)
def test_half_a_unit(text, expected):
    assert float(half_unit(Decimal(text))) == expected


@pytest.mark.parametrize(
    "wrong", [[1.0], [1.0, 2.0, 3.0], [1.0, math.nan], [1.0, math.inf], None, "text", {"a": 1}]
)
def test_figures_that_are_not_what_they_should_be_fail(wrong):
    figures = Figures("x", "[1.0, 2.0]")
    assert figures.judge([1.0, 2.0]).passed
    assert figures.judge([[1.04], [1.96]]).passed
    assert not figures.judge(wrong).passed


def test_digits_are_compared_as_written_and_not_as_doubles():
    """Two units in the last of 17 digits are less than the distance of two doubles."""
    assert 17.464889526367188 == 17.464889526367186
    assert Figures("x", "17.464889526367188").judge(17.464889526367188).passed
    assert not Figures("x", "17.464889526367186").judge(17.464889526367188).passed


def test_figures_without_a_number_are_refused():
    with pytest.raises(UsageError, match="x: there is no number in 'none'"):
        Figures("x", "none")


def test_only_an_absent_device_may_be_missing():
    judged = Figures("x", "22", optional=True).judge(None)
    assert judged.passed
    assert judged.computed is None
    assert not Figures("x", "22").judge(None).passed
    assert not Figures("x", "22", optional=True).judge(21.0).passed


@pytest.mark.parametrize(("dtype", "unit"), [("float32", 2.0**-24), ("float64", 2.0**-53)])
def test_the_bound_of_rounding(dtype, unit):
    claim = Agreement("x", "y", dtype=dtype, roundings=3)
    assert claim.tolerance(agreement(8.0, 8.0)) == 3 * unit * 8
    assert claim.tolerance(agreement(0.0, 0.0, scale=2.0)) == 3 * unit * 2
    assert claim.judge(agreement(8.0, 8.0 * (1 - 2 * unit))).passed
    assert not claim.judge(agreement(8.0, 8.0 * (1 - 4 * unit))).passed


def test_equality_is_bit_for_bit():
    claim = Agreement("x", "y")
    assert claim.judge(agreement([1.0, 2.0], [1.0, 2.0])).passed
    assert not claim.judge(agreement([1.0, 2.0], [1.0, math.nextafter(2.0, 3.0)])).passed


@pytest.mark.parametrize(
    ("value", "expected"),
    [([], []), ([1.0], [1.0, 1.0]), ([math.nan], [math.nan]), ([math.inf], [math.inf])],
)
def test_what_cannot_be_compared_does_not_agree(value, expected):
    compared = agreement(value, expected)
    assert compared["apart"] is None
    assert not Agreement("x", "y", roundings=1000).judge(compared).passed


def test_agreement_looks_at_every_number_though_it_keeps_the_first_few():
    value = [0.0] * 100
    compared = agreement(value, [*value[1:], 1.0])
    assert compared["apart"] == 1.0
    assert len(compared["value"]) < compared["count"] == 100


@pytest.mark.parametrize(
    ("low", "high", "passed"),
    [
        ([1.0, 2.0], [1.5, 3.0], True),
        ([1.2, 2.0], [1.5, 3.0], False),
        ([1.0, 2.0], [1.5, 2.4], False),
        ([1.0], [1.5], False),
        ([1.0, 2.0, 3.0], [1.5, 3.0, 4.0], False),
    ],
)
def test_a_range(low, high, passed):
    assert Within("x", "[1.1, 2.5]").judge({"low": low, "high": high}).passed is passed


def test_a_text():
    assert Wording("x", "the whole").judge("the whole").passed
    assert not Wording("x", "the whole").judge("the whole of it").passed
    assert Wording("x", "the whole…").judge("the whole of it").passed
    assert not Wording("x", "the whole…").judge("not the whole").passed
    assert not Wording("x", "the whole…").judge(None).passed


def test_flat():
    assert flat([[1, 2.5], [[3]], 4]) == [1.0, 2.5, 3.0, 4.0]
