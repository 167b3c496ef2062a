"""Claims: what is within the printed digits, or within what rounding can do, and what is not."""

import json
import math
from decimal import Decimal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from descentlab.errors import UsageError
from descentlab.handouts import Claims
from descentlab.handouts.claims import half_unit


def figures(printed, computed, **more):
    return Claims().figures("x", printed, computed, **more)


def agreement(computed, expected, *more, **named):
    return Claims().agreement("x", "y", computed, expected, *more, **named)


numbers = st.floats(-1e6, 1e6, allow_nan=False).filter(lambda x: x == 0 or abs(x) > 1e-200)


@given(value=numbers, decimals=st.integers(1, 9))
def test_a_number_agrees_with_itself_rounded_and_with_nothing_two_units_off(value, decimals):
    printed = f"{value:.{decimals}f}"
    assert figures(printed, value).passed
    unit = Decimal(1).scaleb(-decimals)
    for off in (2 * unit, -2 * unit):
        assert not figures(str(Decimal(printed) + off), value).passed


@given(value=numbers.filter(lambda x: x != 0), decimals=st.integers(1, 9))
def test_the_same_for_scientific_notation(value, decimals):
    printed = f"{value:.{decimals}e}"
    exponent = int(printed.split("e")[1])
    claim = figures(printed, value)
    assert claim.passed
    assert math.isclose(claim.tolerance, 0.5 * 10.0 ** (exponent - decimals), rel_tol=1e-9)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("36", 0.5), ("6.0", 0.05), ("17.4649", 5e-5), ("6.425e-05", 5e-9), ("2.5E+3", 50.0)],
)
def test_half_a_unit(text, expected):
    assert float(half_unit(Decimal(text))) == expected


@pytest.mark.parametrize(
    ("printed", "value", "wrong"),
    [
        (".25", 0.254, 0.256),
        ("3.", 3.4, 3.6),
        ("\N{MINUS SIGN}0.021", -0.0214, 0.021),
        ("[[1.0, 2.0],\n [3.0, 4.0]]", [1, 2, 3, 4], [1, 2, 3]),
        ("tensor([1.50, 2.50])", [1.5, 2.5], [1.5, 2.51]),
        ("1.5e-3 and 2", [0.0015, 2], [0.0016, 2]),
    ],
)
def test_numbers_as_handouts_print_them(printed, value, wrong):
    assert figures(printed, value).passed
    assert not figures(printed, wrong).passed


@pytest.mark.parametrize(
    "value",
    [
        [1.5, 2.5],
        (1.5, 2.5),
        torch.tensor([1.5, 2.5]),
        np.array([[1.5], [2.5]]),
        [np.float32(1.5), torch.tensor(2.5)],
    ],
    ids=["list", "tuple", "tensor", "array", "scalars"],
)
def test_what_may_be_computed(value):
    claim = figures("[1.50, 2.50]", value)
    assert claim.passed
    assert json.loads(json.dumps(claim.computed)) in ([1.5, 2.5], [[1.5], [2.5]])


@pytest.mark.parametrize(
    "wrong",
    [[1.0], [1.0, 2.0, 3.0], [1.0, math.nan], [1.0, math.inf], None, "1.0 2.0", {"a": 1}, [1j, 2]],
)
def test_figures_that_are_not_what_they_should_be_fail(wrong):
    assert figures("[1.0, 2.0]", [1.0, 2.0]).passed
    assert figures("[1.0, 2.0]", [[1.04], [1.96]]).passed
    claim = figures("[1.0, 2.0]", wrong)
    assert not claim.passed
    json.dumps(claim.computed)
    assert claim.shown


def test_digits_are_compared_as_written_and_not_as_doubles():
    """Two units in the last of 17 digits are less than the distance of two doubles."""
    assert 17.464889526367188 == 17.464889526367186
    assert figures("17.464889526367188", 17.464889526367188).passed
    assert not figures("17.464889526367186", 17.464889526367188).passed
    assert figures("17.464889526367188", 17.464889526367188).shown == "17.464889526367188"
    found = figures("[0.1111, 2.500e-07]", [0.11111116409301758, 2.5e-7])
    assert found.shown == "[0.11111116, 2.5e-07]"


def test_figures_without_a_number_are_refused():
    with pytest.raises(UsageError, match="x: there is no number in 'none'"):
        figures("none", 1.0)


def test_a_name_is_claimed_once():
    claims = Claims()
    claims.figures("x", "1", 1)
    with pytest.raises(UsageError, match="'x' is claimed twice"):
        claims.wording("x", "one", "one")
    assert len(claims.claims) == 1


def test_only_an_absent_device_may_be_missing():
    absent = figures("22", None, optional=True)
    assert absent.passed
    assert absent.shown == "not present"
    assert agreement(None, [1.0], optional=True).passed
    assert not figures("22", None).passed
    assert not agreement(None, [1.0]).passed
    assert not figures("22", 21.0, optional=True).passed


@pytest.mark.parametrize(("dtype", "unit"), [("float32", 2.0**-24), ("float64", 2.0**-53)])
def test_the_bound_of_rounding(dtype, unit):
    assert agreement(8.0, 8.0, 3, dtype).tolerance == 3 * unit * 8
    assert agreement(0.0, 0.0, 3, dtype, scale=2.0).tolerance == 3 * unit * 2
    assert agreement(8.0, 8.0 * (1 - 2 * unit), 3, dtype).passed
    assert not agreement(8.0, 8.0 * (1 - 4 * unit), 3, dtype).passed


def test_equality_is_bit_for_bit():
    assert agreement([1.0, 2.0], [1.0, 2.0]).passed
    assert not agreement([1.0, 2.0], [1.0, math.nextafter(2.0, 3.0)]).passed


@pytest.mark.parametrize(
    ("value", "expected"),
    [([], []), ([1.0], [1.0, 1.0]), ([math.nan], [math.nan]), ([math.inf], [math.inf])],
)
def test_what_cannot_be_compared_does_not_agree(value, expected):
    compared = agreement(value, expected, 1000)
    assert compared.computed["apart"] is None
    assert not compared.passed


def test_agreement_looks_at_every_number_though_it_keeps_the_first_few():
    value = [0.0] * 100
    compared = agreement(value, [*value[1:], 1.0])
    assert compared.computed["apart"] == 1.0
    assert len(compared.computed["value"]) < compared.computed["count"] == 100


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
    assert Claims().within("x", "[1.1, 2.5]", low, high).passed is passed


def test_a_text():
    def wording(printed, computed):
        return Claims().wording("x", printed, computed).passed

    assert wording("the whole", "the whole")
    assert not wording("the whole", "the whole of it")
    assert wording("the whole…", "the whole of it")
    assert not wording("the whole…", "not the whole")
    assert not wording("the whole…", None)
    assert not wording("None", None)
