"""Sixty random sweeps, with random starts: each member is a plain loop of its own."""

import pytest
from own_runs import RULES, Case, distance, members_of, plain_loop

from tolerances import FLOAT32, FLOAT64


@pytest.mark.parametrize("number", range(60))
def test_each_member_of_a_random_sweep_is_its_own_run(number):
    case = Case.drawn(number)
    tolerance = FLOAT64 if case.double else FLOAT32
    for values, row, parameters in members_of(case):
        before, after, expected = plain_loop(case, values)
        assert distance(parameters, expected) <= tolerance, values
        assert row["start_train"] == pytest.approx(before, rel=tolerance)
        assert row["last_train"] == pytest.approx(after, rel=tolerance)
        assert row["status"] == ("finished" if after <= before else "ended worse")


def test_the_random_sweeps_are_of_all_kinds():
    cases = [Case.drawn(number) for number in range(60)]
    for part in ("numpy", "buffer", "frozen", "norm"):
        assert 10 <= sum(part in case.parts for case in cases) <= 50
    assert {case.at_once for case in cases} == {None, 1, 2, 4}
    assert all(any(case.rule is rule for case in cases) for rule in RULES)
    for double in (True, False):
        some = [case for case in cases if case.double == double]
        assert any(case.at_once == 1 and case.seeds is not None for case in some)
        assert any(case.at_once is None and len(case.seeds or ()) > 1 for case in some)


@pytest.mark.parametrize("part", ["numpy", "buffer"])
def test_the_comparison_sees_another_seed(part):
    """Negative control."""
    case = Case.drawn(0)._replace(parts=(part,), seeds=[1, 2], at_once=None)
    values, _, parameters = members_of(case)[0]
    assert distance(parameters, plain_loop(case, {**values, "seed": 2})[2]) > 1e-2
