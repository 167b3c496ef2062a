"""Layout of a CSV file, by stated rules: separator, decimal sign, heading, row labels."""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import UsageError

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", " ": "space"}

#: what pandas takes for a missing value
MISSING = {
    *("", "#n/a", "#n/a n/a", "#na", "-1.#ind", "-1.#qnan", "-nan", "1.#ind", "1.#qnan", "<na>"),
    *("n/a", "na", "nan", "none", "null"),
}

#: headings of columns that often count the rows
ROW_LABELS = {"id", "index", "row", "row.names", "rownames"}

Rows = Sequence[Sequence[str]]


@dataclass(frozen=True)
class CsvFlags:
    """What a user says of a CSV file; None leaves it to the rules.

    Args:
        header: whether a first line of numbers is a heading.
        index: whether the first column holds row labels, which are dropped.
        separator: a character, or its name: comma, semicolon, tab or space.
        decimal: the decimal sign, `.` or `,`.

    Raises:
        UsageError: there is no such separator or decimal sign.
    """

    header: bool | None = None
    index: bool | None = None
    separator: str | None = None
    decimal: str | None = None

    def __post_init__(self) -> None:
        names = {name: sign for sign, name in SEPARATORS.items()} | {r"\t": "\t"}
        separator = names.get(self.separator or "", self.separator)
        if separator is not None and separator not in SEPARATORS:
            raise UsageError(
                f"separator = {self.separator!r}: give {', '.join(SEPARATORS.values())}"
            )
        if self.decimal not in (None, ".", ","):
            raise UsageError(f"decimal = {self.decimal!r}: give . or ,")
        if self.decimal == "," == separator:
            raise UsageError("separator and decimal are both a comma: give another separator")
        object.__setattr__(self, "separator", separator)  # the dataclass is frozen

    @property
    def given(self) -> list[str]:
        """The names of those that are not None."""
        return [name for name, value in vars(self).items() if value is not None]


@dataclass(frozen=True)
class Layout:
    """How a CSV file is laid out.

    Attributes:
        separator: between values.
        decimal: the decimal sign.
        thousands: between groups of three digits, where the user says so.
        heading: the names of all columns; None without a heading.
        labelled: whether the first column holds row labels.
    """

    separator: str
    decimal: str
    thousands: str | None
    heading: tuple[str, ...] | None
    labelled: bool


def split_lines(lines: Sequence[str], separator: str) -> list[list[str]]:
    """Return the values of lines, quotes heeded."""
    stripped = (line.strip(" \n\r") if separator == " " else line for line in lines)
    reader = csv.reader(stripped, delimiter=separator, skipinitialspace=True)
    return [[value.strip() for value in row] for row in reader if row]


def is_number(text: str, decimal: str = ".") -> bool:
    """Return whether a value is a number, or infinite, written as pandas reads it."""
    point = re.escape(decimal)
    number = rf"[+-]?((\d+({point}\d*)?|{point}\d+)(e[+-]?\d+)?|inf(inity)?)"
    return re.fullmatch(number, text.strip(" \t\r\n"), re.IGNORECASE | re.ASCII) is not None


def lay_out(path: object, lines: Sequence[str], count: int, flags: CsvFlags) -> Layout:
    """Decide how a file is laid out.

    Args:
        path: the file, for messages.
        lines: its first lines that are not blank, at least one.
        count: how many lines that are not blank it has.
        flags: what the user says.

    Returns:
        The layout.

    Raises:
        UsageError: the file can be read in two ways, or the heading is of another width.
    """
    separator = flags.separator or _separator(lines)
    rows = split_lines(lines, separator)
    decimal = flags.decimal or _decimal(path, rows[1:] or rows, separator)
    thousands = "," if flags.decimal == "." and separator != "," else None
    has_heading = _has_heading(path, rows, decimal, count, flags.header)
    body = rows[1:] if has_heading else rows
    heading = tuple(rows[0]) if has_heading else None
    narrow = bool(body) and heading is not None and len(heading) != len(body[0])
    if narrow and heading is not None:
        labels = separator != "," and len(heading) == len(body[0]) - 1 and _are_labels(body)
        if not labels:
            raise UsageError(
                f"{path} line 1, the heading, has {len(heading)} values and the line after it has "
                f"{len(body[0])}: give every line the same number"
            )
        heading = ("", *heading)
    labelled = _is_labelled(path, heading, body, flags.index)
    return Layout(separator, decimal, thousands, heading, labelled)


def _separator(lines: Sequence[str]) -> str:
    """Return the separator that makes at least two values of each line.

    If there are several: one that makes as many of the first line as of the second; then one that
    makes more numbers.
    """
    found = {}
    for sign in SEPARATORS:
        try:
            rows = split_lines(lines, sign)
        except csv.Error:  # a line is longer than the longest value, so this does not separate it
            continue
        body = rows[1:] or rows
        decimals = (".",) if sign == "," else (".", ",")
        cells = [any(is_number(cell, each) for each in decimals) for row in body for cell in row]
        if all(len(row) > 1 for row in body):
            found[sign] = (len(rows[0]) == len(body[0]), sum(cells) / len(cells))
    return max(found, key=lambda sign: found[sign], default=",")


def _decimal(path: object, rows: Rows, separator: str) -> str:
    if separator == ",":
        return "."
    cells = [cell for row in rows for cell in row if "," in cell and is_number(cell, ",")]
    if not cells:
        return "."
    if all(re.fullmatch(r"[+-]?\d{1,3},\d{3}", cell) for cell in cells):
        raise UsageError(
            f"{path}: {cells[0]} may be {cells[0].replace(',', '.')} or "
            f"{cells[0].replace(',', '')}: give --data.decimal , or --data.decimal ."
        )
    return ","


def _has_heading(path: object, rows: Rows, decimal: str, count: int, said: bool | None) -> bool:
    """Return whether the first line is a heading.

    A line with a text above numbers is one, and so is a line of texts alone. A line of numbers is
    a row, unless all are whole and look like names of columns: then the user is asked.
    """
    first, body = rows[0], rows[1:]
    missing = [cell.lower() in MISSING for cell in first]
    numbers = [is_number(cell, decimal) for cell in first]
    texts = [not (a or b) for a, b in zip(missing, numbers, strict=True)]
    if said or (said is False and not any(texts)):
        return bool(said)
    if any(texts):
        above = [column for column, text in enumerate(texts) if text]
        return not any(numbers) or any(
            is_number(row[column], decimal) for row in body for column in above if column < len(row)
        )
    if all(missing):
        raise UsageError(
            f"{path} line 1 is {_shown(first)}: a row of missing values, which is to be removed, "
            "or a heading: then give --data.header true"
        )
    if any(missing):  # a nameless column of row labels beside columns named by numbers
        return first[0] == "" and all(map(str.isdigit, first[1:]))
    if _like_names(first, body, decimal):
        raise UsageError(
            f"{path} line 1 is {_shown(first)}: the names of columns, with {count - 1} rows below, "
            f"or the first row of {count}: give --data.header true or --data.header false"
        )
    return False


def _like_names(first: Sequence[str], body: Rows, decimal: str) -> bool:
    """Return whether a line of numbers may be names: `0`, `0,1`, `2019,2020`, `5` above `1.5`."""
    if not all(map(str.isdigit, first)) or not body:
        return False
    values = [int(cell) for cell in first]
    if len(values) == 1 and values[0] == 0:
        return True
    if len(values) > 1 and values == list(range(values[0], values[0] + len(values))):
        return True
    below = [cell for row in body for cell in row]
    return all(is_number(cell, decimal) and not cell.lstrip("+-").isdigit() for cell in below)


def _is_labelled(
    path: object, heading: tuple[str, ...] | None, body: Rows, said: bool | None
) -> bool:
    """Return whether the first column holds row labels: it is nameless and no value repeats."""
    if said is not None:
        return said
    if heading is None or len(heading) == 1 or not body:
        return False
    name = heading[0].lower()
    question = "row labels, or numbers to learn from: give --data.index true or --data.index false"
    if name in ("", "unnamed: 0"):
        if _are_labels(body):
            return True
        raise UsageError(f"{path}: the first column has no name, and may hold {question}")
    if name in ROW_LABELS and _counts([row[0] for row in body]):
        raise UsageError(f"{path}: the first column, {heading[0]}, counts the rows: {question}")
    return False


def _are_labels(body: Rows) -> bool:
    """Return whether the first values are all texts, or whole numbers of which none repeats."""
    cells = [row[0] for row in body]
    if not any(is_number(cell) for cell in cells):
        return True
    return all(map(str.isdigit, cells)) and len(set(cells)) == len(cells)


def _counts(cells: Sequence[str]) -> bool:
    """Return whether values count up by one from 0 or from 1."""
    return any(cells == [str(start + row) for row in range(len(cells))] for start in (0, 1))


def _shown(cells: Sequence[str], most: int = 5) -> str:
    return ",".join(cells[:most]) + (",…" if len(cells) > most else "")
