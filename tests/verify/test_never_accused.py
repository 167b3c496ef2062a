"""An optimizer that is right is never accused, whatever it is made with."""

import os
import random
from functools import partial

import pytest
import right
from torch import optim

from descentlab.verify import compare, verification

#: a thousand were once run, as docs/testing.md says
SETTINGS = int(os.environ.get("DESCENTLAB_VERIFY_SETTINGS", "100"))
FIRST = int(os.environ.get("DESCENTLAB_VERIFY_FIRST", "0"))


@pytest.fixture(autouse=True)
def what_accuses_nobody_is_left_out(monkeypatch):
    """Rates, cost and regret take longer than all else."""
    monkeypatch.setattr(verification, "_if_it_can", lambda *_: None)


def accused(number):
    """Return the report of a right optimizer with drawn hyperparameters, if it is accused."""
    draw = random.Random(number)
    kind, values = right.settings(draw)
    found = compare(
        getattr(right, f"Right{kind}"),
        getattr(optim, kind),
        steps=draw.choice((4, 8, 16, 32)),
        dtypes=[draw.choice(("float64", "float32"))],
        **values,
    )
    in_state = [each for each in found.outcomes if each.state]
    return "" if found.holds and not in_state else f"{number}: {found}"


def test_what_is_right_is_not_accused():
    assert [said for said in map(accused, range(5)) if said] == []


@pytest.mark.slow
@pytest.mark.no_cover
@pytest.mark.parametrize("start", range(FIRST, FIRST + SETTINGS, 100))
def test_what_is_right_is_never_accused(start):
    assert [said for said in map(accused, range(start, start + 100)) if said] == []


def test_what_is_wrong_at_those_settings_is_accused():
    """Negative control: a millionth of the rate."""
    for number in range(5):
        kind, values = right.settings(random.Random(number))
        off = partial(getattr(right, f"Right{kind}"), **{**values, "lr": values["lr"] * (1 + 1e-6)})
        assert not compare(off, partial(getattr(optim, kind), **values), steps=4).holds
