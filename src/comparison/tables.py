"""The table of a comparison: how runs ended, their losses, updates and time."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..runs.record import Record

_LABELS = {"train": "training loss", "val": "validation loss"}
#: of a `RegressionData`: which rows there are
_ROWS = ("source", "path", "target", "features", "column", "x_path", "y_path", "line")


def figures(records: Sequence[Record]) -> list[list[str]]:
    """Return the rows of the table: what, and of each run how much; the least has a star.

    Losses of different models, objectives or data are of different kinds, and none has a star. A
    row in which no run has a value is left out.
    """
    marked = starred if _are_of_one_kind(records) else _unmarked
    rows = [["ended", *(each.ended() for each in records)]]
    for key, label in _LABELS.items():
        best = [each.best(each.losses[key]) for each in records]
        rows.append([f"least {label}", *marked([one and one[0] for one in best])])
        rows.append(["  at epoch", *("" if one is None else str(one[1]) for one in best)])
        rows.append([f"last {label}", *marked([_last(each, key) for each in records])])
    rows.append(["  measured", *(each.late for each in records)])
    for key in ("last", "best"):
        losses = [each.test.get(key, {}).get("loss") for each in records]
        rows.append([f"test loss, {key} parameters", *marked(losses)])
    rows.append(["updates", *(str(each.updates) for each in records)])
    seconds = [each.summary.get("seconds") for each in records]
    rows.append(["seconds", *("" if each is None else f"{each:.1f}" for each in seconds)])
    return [row for row in rows if any(row[1:])]


def _are_of_one_kind(records: Sequence[Record]) -> bool:
    if len(records) == 1:  # a run from Python may have no config
        return True
    first, *others = (_kind_of_loss(each.config) for each in records)
    return all(each == first for each in others)


def _kind_of_loss(config: Mapping[str, Any]) -> list[Any]:
    """Return what a loss is of: the objective, or else the class of the model, and the data."""
    (model, given), (data, rows) = (_parts(config.get(key)) for key in ("model", "data"))
    return [given.get("objective", model), data, *(rows.get(key) for key in _ROWS)]


def _parts(part: Any) -> tuple[Any, Mapping[str, Any]]:
    """Return the class and the arguments of a part of a configuration."""
    part = part if isinstance(part, Mapping) else {"class_path": part}
    given = part.get("init_args")
    return part.get("class_path"), given if isinstance(given, Mapping) else {}


def _last(record: Record, key: str) -> float | None:
    _, values = record.curves.get(record.losses[key], ([], []))
    return values[-1] if values else None


def starred(values: Sequence[float | None]) -> list[str]:
    """Return the values to six digits, the least with a star where there are others."""
    known = [value for value in values if value is not None]
    least = min(known) if len(set(known)) > 1 else None
    stars = (" *" * (value is not None and value == least) for value in values)
    return [text + star for text, star in zip(_unmarked(values), stars, strict=True)]


def _unmarked(values: Sequence[float | None]) -> list[str]:
    return ["" if value is None else f"{value:.6g}" for value in values]


def explained(table: str, star: str = "* least") -> str:
    """Return a table with a line below it that says what a star is, if it has one.

    Example:
        >>> print(explained("0.5 *"))
        0.5 *
        * least
        >>> print(explained("0.5"))
        0.5
    """
    starry = any(f"{line}  ".count(" *  ") for line in table.splitlines())
    return f"{table}\n{star}" if starry else table


def aligned(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table as plain text, its columns one below the other."""
    lines = [list(head), *map(list, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
