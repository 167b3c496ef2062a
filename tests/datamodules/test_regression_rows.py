"""Inputs and targets from files: which rows and columns are read, and what is refused."""

import sys

import pytest
import torch

from descentlab.datamodules import CsvFlags, read_tensor, regression_rows
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


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ("a\n1\n\n2\n3\n", "b\n1\n2\n\n3\n"),
        ("a\n1\n\n2\n3\n", "b\n1\n2\n3\n"),
        ("a\n1\n2\n3\n", "b\n1\n  \n2\n3\n"),
    ],
)
def test_blank_lines_at_different_rows_are_refused(tmp_path, x, y):
    (tmp_path / "X.csv").write_text(x)
    (tmp_path / "y.csv").write_text(y)
    with pytest.raises(UsageError, match=r"has a blank line before row [12] .* do not have theirs"):
        pair(tmp_path / "X.csv", tmp_path / "y.csv")


def test_row_labels_of_two_files_are_the_same_or_refused(tmp_path):
    (tmp_path / "X.csv").write_text(",size\n0,1.5\n1,2.5\n2,3.5\n")
    (tmp_path / "y.csv").write_text(",price\n0,1\n1,2\n2,3\n")
    x, y = pair(tmp_path / "X.csv", tmp_path / "y.csv")
    assert x.tolist() == [[1.5], [2.5], [3.5]]
    assert y.tolist() == [1.0, 2.0, 3.0]
    (tmp_path / "y.csv").write_text(",price\n0,1\n2,3\n1,2\n")
    with pytest.raises(
        UsageError, match=r"row 1 \(counted from 0\) is 1 in one and 2 in the other"
    ):
        pair(tmp_path / "X.csv", tmp_path / "y.csv")
    (tmp_path / "y.csv").write_text("price\n1\n2\n3\n")  # labels in one file alone
    assert pair(tmp_path / "X.csv", tmp_path / "y.csv")[1].tolist() == [1.0, 2.0, 3.0]


def test_blank_lines_at_the_same_rows_and_at_the_ends_are_passed_over(tmp_path):
    (tmp_path / "X.csv").write_text("\na\n1\n\n2\n3\n")
    (tmp_path / "y.csv").write_text("b\n4\n\n5\n6\n\n\n")
    x, y = pair(tmp_path / "X.csv", tmp_path / "y.csv")
    assert x.tolist() == [[1.0], [2.0], [3.0]]
    assert y.tolist() == [4.0, 5.0, 6.0]


def test_without_pyarrow_a_parquet_file_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "X.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r"read by pyarrow: pip install 'descentlab\[parquet\]'"):
        read_tensor(tmp_path / "X.parquet")
