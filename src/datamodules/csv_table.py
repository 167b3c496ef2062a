"""Numbers from a comma-separated file."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import UsageError


def read_csv(path: Path) -> Tensor:
    """Read a table of numbers separated by commas, with at most one line of headings.

    Empty lines are passed over. The first line is one of headings when nothing in it is a number.

    Args:
        path: the file, UTF-8.

    Returns:
        The table, shape (lines, columns), float64.

    Raises:
        UsageError: a value is not a number, lines have different lengths, there are no numbers at
            all, or it is not a text file.
    """
    try:
        with path.open(encoding="utf-8-sig") as handle:
            lines = (line for line in handle if line.strip())
            first = next(lines, "")
            body = lines if _is_heading(first) else chain([first], lines)
            start = next(body, "")
            if not start.strip():
                raise UsageError(f"{path} holds no numbers: give one line for each row")
            table = np.loadtxt(
                chain([start], body), delimiter=",", ndmin=2, comments=None, quotechar='"'
            )
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not a text file: save it as comma-separated UTF-8") from error
    except UsageError:
        raise
    except ValueError as error:
        raise UsageError(
            _first_fault(path) or f"{path} is not a table of numbers: {error}"
        ) from error
    return torch.from_numpy(table)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _values(line: str) -> Iterator[str]:
    return (value.strip().strip('"') for value in line.strip().split(","))


def _is_heading(line: str) -> bool:
    return not any(map(_is_number, _values(line)))


def _first_fault(path: Path) -> str:
    """Say which line is the first that cannot be read, and why; empty if none is found."""
    columns = 0
    with path.open(encoding="utf-8-sig") as handle:
        numbered = ((number, line) for number, line in enumerate(handle, 1) if line.strip())
        for count, (number, line) in enumerate(numbered):
            values = list(_values(line))
            if count == 0 and _is_heading(line):
                continue
            for column, value in enumerate(values, 1):
                if not _is_number(value):
                    return f"{path} line {number}, column {column}: {value!r} is not a number"
            if columns and len(values) != columns:
                return (
                    f"{path} line {number} has {len(values)} values, the lines before it have "
                    f"{columns}: give every line the same number"
                )
            columns = len(values)
    return ""
