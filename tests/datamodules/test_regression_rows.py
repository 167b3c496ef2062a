"""Inputs and targets from files: which rows and columns are read, and what is refused."""

import pytest
import torch

from descentlab.datamodules import CsvFlags, regression_rows
from descentlab.datamodules.regression_rows import from_two_files
from descentlab.errors import UsageError


def pair(x_path, y_path):
    rows = from_two_files(str(x_path), str(y_path), CsvFlags())
    return rows.x, rows.y


def saved_pair(tmp_path, x, y):
    torch.save(x, tmp_path / "X.pt")
    torch.save(y, tmp_path / "y.pt")
    return tmp_path / "X.pt", tmp_path / "y.pt"


@pytest.mark.parametrize("x_shape", [(4,), (4, 1), (4, 3)])
@pytest.mark.parametrize("y_shape", [(4,), (4, 1)])
def test_pair_of_any_shape(tmp_path, x_shape, y_shape):
    x, y = torch.randn(x_shape), torch.arange(4).reshape(y_shape)
    got_x, got_y = pair(*saved_pair(tmp_path, x, y))
    assert torch.equal(got_x, x.reshape(4, -1))
    assert torch.equal(got_y, torch.arange(4))


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (torch.zeros(4), torch.zeros(5), r"X\.pt has 4 rows and .*y\.pt has 5"),
        (torch.zeros(0), torch.zeros(0), "no rows"),
        (torch.zeros(3, 0), torch.zeros(3), r"X\.pt has shape \(3, 0\)"),
        (torch.zeros(3, 2, 2), torch.zeros(3), r"X\.pt has shape \(3, 2, 2\)"),
        (torch.tensor(1.0), torch.zeros(1), r"X\.pt has shape \(\)"),
        (torch.zeros(3), torch.zeros(3, 2), r"y\.pt has shape \(3, 2\)"),
    ],
)
def test_bad_pair(tmp_path, x, y, message):
    with pytest.raises(UsageError, match=message):
        pair(*saved_pair(tmp_path, x, y))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("name", ["X", "y"])
def test_values_that_are_not_finite_are_counted(tmp_path, monkeypatch, dtype, name):
    monkeypatch.setattr(regression_rows, "ROWS_AT_ONCE", 4)  # several parts
    data = {"X": torch.zeros(11, 2, dtype=dtype), "y": torch.zeros(11, 1, dtype=dtype)}
    pair(*saved_pair(tmp_path, data["X"], data["y"]))
    data[name][5, 0] = float("nan")
    data[name][6, -1] = float("-inf")
    data[name][10, 0] = float("inf")
    with pytest.raises(
        UsageError, match=rf"{name}\.pt holds 3 values .* in row 5 \(counted from 0"
    ):
        pair(*saved_pair(tmp_path, data["X"], data["y"]))
