"""What a run keeps of its rows, and values that a type cannot tell apart."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from descentlab.datamodules import RegressionData
from descentlab.datamodules.kept_rows import check_kept, digest_of
from descentlab.datamodules.precision import cast
from descentlab.errors import UsageError

X = torch.randn(20, 2, generator=torch.Generator().manual_seed(4))
Y = torch.randn(20, generator=torch.Generator().manual_seed(5))


SETS = dict(zip(("train", "val", "test"), torch.arange(20).split([16, 2, 2]), strict=True))


def kept(**changed):
    known = {"rows": 20, "digest": digest_of(X, Y), "columns": None, "split": [0.8, 0.1, 0.1]}
    return {"data": {**known, "random_state": 42, **changed}}


@given(st.integers(0, 19), st.integers(0, 2))
def test_a_digest_changes_with_any_value(row, column):
    x, y = X.clone(), Y.clone()
    if column < 2:
        x[row, column] += 0.01
    else:
        y[row] += 0.01
    assert digest_of(x, y) != digest_of(X, Y)
    assert digest_of(X.double() * (1 + 1e-12), Y.double()) == digest_of(X, Y)  # another machine


def test_rows_in_another_order_have_another_digest():
    assert digest_of(X.flip(0), Y.flip(0)) != digest_of(X, Y)


def test_the_rows_that_a_run_kept_are_used():
    order = torch.randperm(20, generator=torch.Generator().manual_seed(6))
    rows = dict(zip(("train", "val", "test"), order.split([15, 3, 2]), strict=True))
    data = RegressionData(x=X, y=Y)
    data.hold_to(kept() | rows)
    data.setup("test")
    ((x, y),) = data.test_dataloader()
    assert torch.equal(x, X[order[-2:]])
    assert torch.equal(y, Y[order[-2:]])


def test_rows_in_memory_are_looked_at_again():
    data = RegressionData(x=X, y=Y + 1)
    data.setup("test")
    with pytest.raises(UsageError, match="it has other values: give the same data, or --data"):
        data.hold_to(kept())


@pytest.mark.parametrize(
    ("x", "y", "says"),
    [
        (X, Y.roll(1), "it has other values: give"),
        (X[:-1], Y[:-1], "it has 19 rows instead of 20: give"),
        (torch.cat([X + 1, X]), torch.cat([Y, Y]), "it has other values in its first 20 rows: g"),
        (torch.cat([X, X]), torch.cat([Y, Y]), None),  # rows that come after are left out
    ],
)
def test_what_is_other_than_in_the_run_is_said(x, y, says):
    data = RegressionData(x=x, y=y)
    data.hold_to(kept())
    if says is None:
        data.setup("test")
        assert sum(map(len, data.indices.values())) == 20
    else:
        with pytest.raises(UsageError, match=says):
            data.setup("test")


@pytest.mark.parametrize(
    "damaged",
    [
        {},
        {"data": None},
        {"data": {"rows": 20}},
        {"data": {key: value for key, value in kept()["data"].items() if key != "split"}},
        {"data": {key: value for key, value in kept()["data"].items() if key != "columns"}},
        kept(rows="20"),
        kept(columns="a"),
        kept(columns=["a", 7]),
        kept(random_state=None),
        kept() | {**SETS, "test": [18, 19]},
        kept() | {**SETS, "test": torch.tensor([18.0, 19.0])},
        kept() | {**SETS, "test": torch.tensor([18, 20])},
        kept() | {**SETS, "test": torch.tensor([18, -1])},
        kept() | {**SETS, "test": torch.tensor([], dtype=torch.int64)},
        kept() | {**SETS, "test": torch.tensor([18, 3])},  # was trained on
        kept() | {**SETS, "test": torch.tensor([18])},
        kept() | {name: SETS[name] for name in ("train", "val")},
        kept(split=None) | SETS,
        kept(rows=10**15) | SETS,
    ],
)
def test_what_no_run_keeps_is_refused(damaged):
    with pytest.raises(UsageError, match=r"split\.pt and its checkpoints, is damaged"):
        check_kept(damaged)
    check_kept(kept() | SETS)  # negative controls
    check_kept(kept())
    check_kept(kept(split=None) | {"train": torch.arange(20)})


TIMES = torch.arange(1_600_000_000, 1_600_000_032)


@pytest.mark.parametrize(
    "values",
    [TIMES, TIMES.double(), TIMES[:, None], torch.stack([torch.arange(32), TIMES], 1)],
    ids=["whole", "as floats", "one column", "second column"],
)
def test_values_that_become_equal_are_refused_and_float64_takes_them(values):
    with pytest.raises(UsageError, match=r"of 32 different values, .* 1 remain different in float"):
        cast("the inputs", values, torch.float32)
    assert torch.equal(cast("the inputs", values, torch.float64).long(), values.long())


@pytest.mark.parametrize(
    "values", [TIMES - TIMES[0], torch.randn(500, dtype=torch.float64), torch.arange(2**24)]
)
def test_values_that_remain_different_are_cast(values):
    assert torch.equal(cast("the inputs", values, torch.float32), values.float())


def test_whole_numbers_that_float64_takes_for_one_are_refused_too():
    with pytest.raises(UsageError, match="remain different in float64: subtract a constant"):
        cast("the inputs", torch.arange(2**60, 2**60 + 5), torch.float64)
