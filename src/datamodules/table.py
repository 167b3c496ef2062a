"""Tables from CSV and Parquet files, read by pandas."""

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ..errors import UsageError
from .csv_layout import SEPARATORS, CsvFlags, Layout, is_number, lay_out, split_lines

#: lines that the layout is decided from
SAMPLE = 1000
#: up to which each whole number is one of float64
_EXACT = 2**53
#: how a value that is missing is written, in small letters
_MISSING = ("", "na", "n/a", "nan", "null", "none")
_UNCLOSED = "close its quotes, or leave such a value out"


@dataclass(frozen=True)
class Table:
    """A table, its columns in the order of the file, row labels left out.

    Attributes:
        path: the file.
        frame: the values.
        names: of the columns; without a heading they are numbered from 0.
        named: whether the file has a heading.
        blanks: before which rows there are blank lines.
        remarks: what is to be said of how it was read.
        layout: how the file is laid out; None for Parquet.
        labels: the row labels that were left out; None where there are none.
    """

    path: Path
    frame: pd.DataFrame
    names: tuple[str, ...]
    named: bool
    blanks: tuple[int, ...] = ()
    remarks: tuple[str, ...] = ()
    layout: Layout | None = None
    labels: tuple[str, ...] | None = None

    def numbers(self, names: Sequence[str] | None = None) -> Tensor:
        """Return columns as one tensor, (rows, columns), float64.

        Args:
            names: the columns; all where it is left out.

        Raises:
            UsageError: a value is not a number, is missing, or is not told apart in float64.
        """
        every = range(len(self.names))
        places = list(every) if names is None else [self.place(name) for name in names]
        for place in self._doubtful(places):
            self._refuse_texts(place)
        values = self.frame.iloc[:, places].to_numpy(dtype=np.float64)
        return torch.from_numpy(np.array(values, order="C"))

    @cached_property
    def _counts(self) -> Counter[str]:
        return Counter(self.names)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.names)}

    def _doubtful(self, places: Sequence[int]) -> list[int]:
        """Return the columns that are not, as one sees at once, of numbers that float64 holds."""
        chosen = self.frame.iloc[:, list(places)].set_axis(range(len(places)), axis="columns")
        kinds = [kind.kind if isinstance(kind, np.dtype) else "" for kind in chosen.dtypes]
        real = chosen.loc[:, [kind in list("fiub") for kind in kinds]]
        whole = real.loc[:, [kind.kind in "iu" for kind in real.dtypes]]
        large = (whole.max() > _EXACT) | (whole.min() < -_EXACT)
        wrong = {*large.index[large], *real.columns[real.isna().any()]}
        wrong |= {*chosen.columns} - {*real.columns}
        return [places[number] for number in sorted(wrong)]

    def place(self, name: str) -> int:
        """Return the number of a column.

        Raises:
            UsageError: there is no such column, or there are several.
        """
        if self._counts[name] == 1:
            return self._places[name]
        there = "is there several times" if name in self.names else "is not there"
        shown = name or "'' (a comma too many?)"
        raise UsageError(
            f"{self.path}: the column {shown} {there}: it has {', '.join(self.names[:20])}"
        )

    def described(self, names: Sequence[str]) -> str:
        """Say in one line what was read.

        Args:
            names: the columns that are used.
        """
        size = f"{_count(len(self.frame), 'row')}, {_count(len(names), 'column')}"
        listed = f" {', '.join(names[:10])}{', …' * (len(names) > 10)}" if self.named else ""
        return f"{self.path}: {'; '.join([size + listed, *self.remarks])}"

    def _refuse_texts(self, place: int) -> None:
        column = self.frame.iloc[:, place]
        kind = column.dtype
        lost = column.isna()
        if lost.any() or (
            not pd.api.types.is_any_real_numeric_dtype(kind) and kind.kind not in "bc"
        ):
            raise UsageError(self._fault(place, int(lost.to_numpy().argmax())))
        if kind.kind == "c":
            raise UsageError(f"{self.path}: column {self.names[place]} holds complex numbers")
        if kind.kind in "iu" and len(column):
            whole = column.to_numpy(dtype=kind.name.lower())
            if not np.array_equal(whole.astype(np.float64).astype(whole.dtype), whole):
                raise UsageError(
                    f"{self.path}: column {self.names[place]} holds whole numbers that float64 "
                    "cannot tell apart: subtract a constant from them, or divide them"
                )

    def _fault(self, place: int, row: int) -> str:
        """Say which value of a column is the first that is no number."""
        if self.layout is None:
            if self.frame.iloc[:, place].isna().any():
                return f"{self.path}: column {self.names[place]} has no value in row {row}"
            kind = self.frame.iloc[:, place].dtype
            return (
                f"{self.path}: column {self.names[place]} holds {kind}, not numbers: leave it out "
                "with --data.features"
            )
        name = self.names[place] if self.named else f"column {place + 1}"
        found = _first_fault(self.path, self.layout, place + self.layout.labelled, name)
        return found or f"{self.path}: column {self.names[place]} is not of numbers alone"


def read_csv(path: Path, flags: CsvFlags) -> Table:
    """Read a CSV file.

    Args:
        path: the file, UTF-8.
        flags: what the user says of it.

    Returns:
        The table.

    Raises:
        UsageError: it is not text, can be read in two ways, its lines differ in length, or there
            are no rows.
    """
    try:
        lines, count, blanks = _scan(path)
        if not lines:
            raise UsageError(f"{path} holds no numbers: give one line for each row")
        layout = lay_out(path, lines, count, flags)
        body = split_lines(lines, layout.separator)
        body = body[int(layout.heading is not None) :]
        if not body:
            raise UsageError(f"{path} holds no numbers: give one line for each row")
        frame = _parse(path, layout, len(body[0]))
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{path} is not a text file in UTF-8: save it as comma-separated UTF-8"
        ) from error
    except csv.Error as error:
        raise UsageError(f"{path}: {error}: {_UNCLOSED}") from error
    except pd.errors.ParserError as error:
        found = _first_fault(path, layout, None)
        raise UsageError(found or f"{path} is not a table of numbers: {error}") from error
    names = layout.heading or tuple(map(str, range(frame.shape[1])))
    names = tuple(" ".join(name.split()) for name in names)
    labels = tuple(frame.iloc[:, 0].astype(str)) if layout.labelled else None
    frame = frame.iloc[:, int(layout.labelled) :]
    inside = tuple(b - (layout.heading is not None) for b in blanks)
    inside = tuple(b for b in inside if 0 < b < len(frame))
    remarks = _remarks(layout, len(inside))
    kept = tuple(names[int(layout.labelled) :])
    return Table(path, frame, kept, layout.heading is not None, inside, remarks, layout, labels)


def read_parquet(path: Path) -> Table:
    """Read a Parquet file.

    Raises:
        UsageError: pyarrow is not installed, or it is not a Parquet file.
    """
    try:
        frame = pd.read_parquet(path, engine="pyarrow")
    except ImportError as error:
        raise UsageError(
            f"{path}: Parquet files are read by pyarrow: pip install 'descentlab[parquet]'"
        ) from error
    except ValueError as error:
        raise UsageError(f"{path} is damaged, or not a Parquet file: save it again") from error
    return Table(path, frame, tuple(map(str, frame.columns)), named=True)


def _scan(path: Path) -> tuple[list[str], int, list[int]]:
    """Return the first lines that are not blank, how many there are, and where blank ones are."""
    with path.open(encoding="utf-8-sig", newline=None) as handle:
        kept = list(islice((line for line in handle if line.strip()), SAMPLE))
    count, blanks = 0, []
    with path.open(encoding="utf-8-sig", newline=None) as handle:
        for line in handle:
            if line.isspace():
                blanks.append(count)
            else:
                count += 1
    return kept, count, blanks


def _parse(path: Path, layout: Layout, width: int) -> pd.DataFrame:
    """Read the values below the heading, all columns."""
    separator = r"\s+" if layout.separator == " " else layout.separator
    return pd.read_csv(
        path,
        sep=separator,
        header=None if layout.heading is None else 0,
        names=list(range(width)),
        index_col=False,
        decimal=layout.decimal,
        thousands=layout.thousands,
        skipinitialspace=True,
        keep_default_na=False,
        na_values=[],
        low_memory=False,
        encoding="utf-8-sig",
    )


def _first_fault(path: Path, layout: Layout, column: int | None, name: str = "") -> str:
    """Say which line is the first with another number of values, or no number in a column.

    Args:
        path: the file.
        layout: how it is laid out.
        column: the column that is to hold numbers, counted from 0; None for none.
        name: what the column is called.

    Returns:
        A sentence; empty if no such line is found.
    """
    width = 0
    for number, row in _lines(path, layout):
        if width and len(row) != width:
            return (
                f"{path} line {number} has {len(row)} values, the lines before it have {width}: "
                "give every line the same number"
            )
        width = len(row)
        if column is not None and not is_number(row[column], layout.decimal):
            value = row[column].strip()
            way_out = f"give numbers in {name}, or learn from other columns (--data.features)"
            if value.lower() in _MISSING:
                way_out = f"the value of {name} is missing: fill it, or remove the row"
            wrong = f"{row[column]!r} is not a number: " if value else ""
            return f"{path} line {number}, column {column + 1}: {wrong}{way_out}"
    return ""


def _lines(path: Path, layout: Layout) -> Iterator[tuple[int, list[str]]]:
    """Yield the values of each line below the heading, with its number, counted from 1."""
    with path.open(encoding="utf-8-sig", newline="") as handle:
        padded = layout.separator == " "
        text = (line.strip(" ") if padded else line for line in handle)
        reader = csv.reader(text, delimiter=layout.separator, skipinitialspace=True)
        rows = ((reader.line_num, row) for row in reader if "".join(row).strip() or len(row) > 1)
        try:
            yield from islice(rows, int(layout.heading is not None), None)
        except csv.Error as error:
            raise UsageError(f"{path} line {reader.line_num}: {error}: {_UNCLOSED}") from error


def _remarks(layout: Layout, blanks: int) -> tuple[str, ...]:
    """Say what was decided, where it is not the plain case."""
    found = {
        f"separated by {SEPARATORS[layout.separator]}": layout.separator != ",",
        "decimal comma": layout.decimal == ",",
        "no heading": layout.heading is None,
        "first column dropped: row labels": layout.labelled,
        f"{_count(blanks, 'blank line')} passed over": blanks > 0,
    }
    return tuple(remark for remark, so in found.items() if so)


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'s' * (number != 1)}"
