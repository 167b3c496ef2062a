"""The table of a comparison: how runs ended, their losses, updates and time."""

from collections.abc import Sequence

from ..runs.record import Record

_LABELS = {"train": "training loss", "val": "validation loss"}


def figures(records: Sequence[Record]) -> list[list[str]]:
    """Return the rows of the table: what, and of each run how much; the least has a star.

    A row in which no run has a value is left out.
    """
    rows = [["ended", *(each.ended() for each in records)]]
    for key, label in _LABELS.items():
        best = [each.best(each.losses[key]) for each in records]
        rows.append([f"least {label}", *starred([one and one[0] for one in best])])
        rows.append(["  at epoch", *("" if one is None else str(one[1]) for one in best)])
        rows.append([f"last {label}", *starred([_last(each, key) for each in records])])
    rows.append(["  measured", *(each.late for each in records)])
    for key in ("last", "best"):
        losses = [each.test.get(key, {}).get("loss") for each in records]
        rows.append([f"test loss, {key} parameters", *starred(losses)])
    rows.append(["updates", *(str(each.updates) for each in records)])
    seconds = [each.summary.get("seconds") for each in records]
    rows.append(["seconds", *("" if each is None else f"{each:.1f}" for each in seconds)])
    return [row for row in rows if any(row[1:])]


def _last(record: Record, key: str) -> float | None:
    _, values = record.curves.get(record.losses[key], ([], []))
    return values[-1] if values else None


def starred(values: Sequence[float | None]) -> list[str]:
    """Return the values to six digits, the least with a star where there are others."""
    known = [value for value in values if value is not None]
    least = min(known) if len(set(known)) > 1 else None
    return ["" if value is None else f"{value:.6g}" + " *" * (value == least) for value in values]


def aligned(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table as plain text, its columns one below the other."""
    lines = [list(head), *map(list, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
