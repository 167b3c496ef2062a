"""What is timed at each size is what is said to be, and what grows is measured."""

import json
from itertools import accumulate

import pytest
import torch

from benchmarks import scale
from benchmarks.scale import Contest

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("white_pictures")]

#: of each kind a small size, and the updates that an epoch has
SIZES = {
    "rows": (scale._rows, 100, 1),
    "columns": (scale._columns, 3, 64),
    "members": (scale._members, 100, 25),
    "parameters": (scale._parameters, 5, 25),
}


@pytest.mark.parametrize(("contest", "size", "updates"), SIZES.values(), ids=SIZES)
def test_a_fit_makes_as_many_updates_as_its_time_is_divided_by(contest, size, updates, tmp_path):
    made = contest(size, tmp_path)
    ends = made.fit()
    assert len(ends) == len(made.loop()) == scale.EPOCHS
    (summary,) = tmp_path.glob("**/summary.json")
    found = json.loads(summary.read_text())
    assert found["steps"] == scale.EPOCHS * updates
    assert found.get("members", 1) == (size if contest is scale._members else 1)
    assert made.units == (1 if contest is scale._rows else updates)
    assert made.units == pytest.approx(made.loop_units * found.get("members", 1))


def test_a_plain_loop_is_gradient_descent_on_eight_rows_in_ten(tmp_path):
    _, loop = scale._regression(tmp_path, rows=50, columns=2, batch=64)
    torch.manual_seed(5)
    loop()
    torch.manual_seed(5)
    order = torch.randperm(50)
    x, y = loop.x.double(), loop.y.double()
    train, val = order[10:], order[:5]
    slope, bias, expected = torch.zeros(2).double(), 0.0, []
    for _ in range(scale.EPOCHS):
        error = x[train] @ slope + bias - y[train]
        expected.append(float((error**2).mean()))
        slope = slope - scale.LEARNING_RATE * 2 * (error @ x[train]) / len(train)
        bias = bias - scale.LEARNING_RATE * 2 * float(error.mean())
        sets = [((x[rows] @ slope + bias - y[rows]) ** 2).mean() for rows in (train, val)]
        expected += map(float, sets)
    assert loop.losses == pytest.approx(expected, rel=1e-5)


def test_slopes_and_the_time_of_a_unit(tmp_path):
    def contest(size, folder):
        """An epoch of 10 updates of a fit takes as many seconds as it has rows, a loop's half."""
        held = []

        def fit():
            held.append(torch.ones(250_000 * size))  # MB
            return list(accumulate([0.0, 9.0 + size, size]))

        return Contest(fit, lambda: list(accumulate([0.0, size / 2])), 10, 5)

    first, last = scale.grown("rows", "s an update", (20, 200), contest, rounds=3)
    assert (first.ours.median, last.ours.median) == pytest.approx((2.0, 20.0))
    assert last.ratios["plain loop"].median == pytest.approx(1.0)
    assert first.name == "20 rows"
    assert last.facts["slope of log time over log rows"] == pytest.approx(1.0)
    assert last.facts["memory of 200 rows, in MB,"] == pytest.approx(200, rel=0.3)


def test_memory_that_is_too_little_to_be_seen_is_no_figure(tmp_path):
    def contest(size, folder):
        return Contest(lambda: [0.0, 1.0], lambda: [0.0, 1.0], 1, 1)

    *_, last = scale.grown("rows", "s an update", (20, 200), contest, rounds=1)
    assert [name for name in last.facts if "memory" in name] == []
    assert last.facts["slope of log time over log rows"] == pytest.approx(0.0)
