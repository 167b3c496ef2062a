"""Rows to learn from: inputs and targets from two files, from one, or from tensors."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..errors import UsageError
from .csv_layout import CsvFlags
from .files import TABLES, load

if TYPE_CHECKING:
    from .table import Table

ROWS_AT_ONCE = 2**20


@dataclass(frozen=True)
class RegressionRows:
    """Inputs and targets.

    Attributes:
        x: shape (N, d).
        y: shape (N,); None where only predictions are asked for.
        columns: the names of the columns of x, where the file has names.
        remarks: what is to be said of how they were read.
    """

    x: Tensor
    y: Tensor | None
    columns: tuple[str, ...] | None = None
    remarks: tuple[str, ...] = ()

    @property
    def targets(self) -> Tensor:
        """The targets, of rows that were read with them."""
        assert self.y is not None
        return self.y


def checked(x: Tensor, y: Tensor | None, x_name: str, y_name: str) -> tuple[Tensor, Tensor | None]:
    """Bring inputs to shape (N, d) and targets to shape (N,).

    Args:
        x: shape (N,), (N, 1) or (N, d).
        y: shape (N,) or (N, 1).
        x_name: of the inputs, for messages.
        y_name: of the targets.

    Returns:
        X of shape (N, d) and y of shape (N,), in their own types.

    Raises:
        UsageError: a shape is another, the lengths differ, there are no rows, or a value is NaN or
            infinite.
    """
    x = x[:, None] if x.ndim == 1 else x
    if x.ndim != 2 or x.shape[1] == 0:
        raise UsageError(f"{x_name} has shape {tuple(x.shape)}: the inputs must be (N,) or (N, d)")
    if y is not None:
        y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
        if y.ndim != 1:
            raise UsageError(
                f"{y_name} has shape {tuple(y.shape)}: the targets must be (N,) or (N, 1)"
            )
        if len(x) != len(y):
            raise UsageError(
                f"{x_name} has {len(x)} rows and {y_name} has {len(y)}: give as many of each"
            )
    if len(x) == 0:
        raise UsageError(f"{x_name} and {y_name} have no rows: give at least one")
    _refuse_non_finite(x_name, x)
    if y is not None:
        _refuse_non_finite(y_name, y)
    return x, y


def from_two_files(
    x_path: str, y_path: str | None, flags: CsvFlags, wanted: Sequence[str] | None = None
) -> RegressionRows:
    """Read inputs and targets that have files of their own.

    Args:
        x_path: the inputs: shape (N,), (N, 1) or (N, d).
        y_path: the targets: shape (N,) or (N, 1); None for inputs alone.
        flags: what the user says of CSV files.
        wanted: the names of the columns that a run was trained on.

    Returns:
        The rows, in the types of their files.

    Raises:
        UsageError: a file cannot be read, or they do not belong together.
    """
    x_file = load(x_path, flags)
    y_file = None if y_path is None else load(y_path, flags)
    if y_file is not None:
        blanks = [() if isinstance(one, Tensor) else one.blanks for one in (x_file, y_file)]
        if blanks[0] != blanks[1]:
            one, rows = (x_path, blanks[0]) if blanks[0] else (y_path, blanks[1])
            raise UsageError(
                f"{one} has a blank line before row {rows[0]} (counted from 0), and {x_path} and "
                f"{y_path} do not have theirs at the same rows: remove blank lines, so that it is "
                "plain which rows belong together"
            )
        _refuse_other_labels(x_file, y_file)
    columns, remarks = None, []
    if isinstance(x_file, Tensor):
        x = x_file
        if wanted is not None:
            remarks.append(f"{x_path}: its columns{_taken_for(wanted)}")
    else:
        names = _chosen(x_file, x_file.names if wanted is None else wanted)
        x = x_file.numbers(names)
        columns = names if x_file.named else None
        remarks.append(x_file.described(names) + _taken_for(None if x_file.named else wanted))
    y = None
    if y_file is not None:
        y = y_file if isinstance(y_file, Tensor) else y_file.numbers()
        if not isinstance(y_file, Tensor):
            remarks.append(y_file.described(y_file.names))
    x, y = checked(x, y, x_path, y_path or "")
    return RegressionRows(x, y, columns, tuple(remarks))


def from_one_file(
    path: str,
    target: str | None,
    features: Sequence[str] | None,
    flags: CsvFlags,
    wanted: Sequence[str] | None = None,
    targets: bool = True,
) -> RegressionRows:
    """Read inputs and targets that are columns of one file.

    Args:
        path: a `.csv` or `.parquet` file.
        target: the name of the column of targets.
        features: the names of the columns of inputs; all but the target where they are left out.
        flags: what the user says of a CSV file.
        wanted: the names of the columns that a run was trained on.
        targets: whether targets are read.

    Returns:
        The rows, float64.

    Raises:
        UsageError: the file cannot be read, or there is no such column.
    """
    if flags.index is None and (wanted or (features and target)):
        flags = replace(flags, index=False)  # the columns are named, so it makes no difference
    table = load(path, flags)
    if isinstance(table, Tensor):
        raise UsageError(
            f"{path} has no columns with names: give a {' or '.join(TABLES)} file, or inputs and "
            "targets in files of their own, --data.x_path and --data.y_path"
        )
    if targets and target is None:
        raise UsageError(
            f"target is missing: give --data.target with one of the columns of {path}: "
            f"{', '.join(table.names[:20])}"
        )
    if target is not None and features and target in features:
        raise UsageError(f"{target} is the target and among the features: name it once")
    _check_features(features, wanted)
    if targets and target is not None:
        table.place(target)
    names = tuple(wanted or features or (name for name in table.names if name != target))
    if not names:
        raise UsageError(f"{path} has no column beside the target {target}: give one with inputs")
    names = _chosen(table, names)
    y = table.numbers([target]) if targets and target is not None else None
    remark = table.described(names) + _taken_for(None if table.named else wanted)
    remark += f"; target {target}" if y is not None else ""
    x, y = checked(table.numbers(names), y, path, path)
    return RegressionRows(x, y, names if table.named else None, (remark,))


def from_tensors(x: Tensor, y: Tensor | None) -> RegressionRows:
    """Take inputs and targets that are tensors.

    Raises:
        UsageError: they are complex, or do not belong together.
    """
    for name, tensor in (("x", x), ("y", y)):
        if tensor is not None and (not isinstance(tensor, Tensor) or tensor.is_complex()):
            raise UsageError(f"{name} is not a tensor of real numbers: give a torch.Tensor")
    y = None if y is None else y.detach().cpu()
    return RegressionRows(*checked(x.detach().cpu(), y, "x", "y"))


def _refuse_other_labels(x_file: "Tensor | Table", y_file: "Tensor | Table") -> None:
    """Refuse two files that both have row labels, which are not the same."""
    if isinstance(x_file, Tensor) or isinstance(y_file, Tensor):
        return
    if x_file.labels is None or y_file.labels is None or len(x_file.labels) != len(y_file.labels):
        return
    for row, (one, other) in enumerate(zip(x_file.labels, y_file.labels, strict=True)):
        if one != other:
            raise UsageError(
                f"{x_file.path} and {y_file.path} label their rows in the first column, and row "
                f"{row} (counted from 0) is {one} in one and {other} in the other: bring them into "
                "the same order, or remove the labels"
            )


def _check_features(features: Sequence[str] | None, wanted: Sequence[str] | None) -> None:
    """Refuse a column that is named twice, and others than a run was trained on."""
    twice = [name for name in features or () if list(features or ()).count(name) > 1]
    if twice:
        raise UsageError(f"features names {twice[0]} twice: name it once")
    if features and wanted and list(features) != list(wanted):
        raise UsageError(
            f"features = {', '.join(features)}, and the run was trained on {', '.join(wanted)}: "
            "leave features out, or start a new run"
        )


def _taken_for(wanted: Sequence[str] | None) -> str:
    """Say which columns those of a file without names are taken for."""
    return f"; taken for {', '.join(wanted)}" if wanted else ""


def _chosen(table: "Table", wanted: Sequence[str]) -> tuple[str, ...]:
    """Return the columns of a table to be read; without a heading they go by their places."""
    if not table.named and len(table.names) == len(wanted):
        return table.names
    return tuple(wanted)


def _refuse_non_finite(path: str, tensor: Tensor) -> None:
    """Refuse NaN and infinity, looking at a bounded number of rows at once."""
    if not tensor.is_floating_point():
        return
    count, first = 0, -1
    for start in range(0, len(tensor), ROWS_AT_ONCE):
        bad = ~torch.isfinite(tensor[start : start + ROWS_AT_ONCE])
        found = int(bad.sum())
        if found and not count:
            first = start + int(bad.reshape(len(bad), -1).any(1).nonzero()[0])
        count += found
    if count:
        raise UsageError(
            f"{path} holds {count} values that are NaN or infinite, the first in row {first} "
            "(counted from 0): remove or replace them"
        )
