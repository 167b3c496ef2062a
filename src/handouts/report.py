"""The report: `report.json` for scripts, a table for the terminal, and the page."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..runs.files import write_whole
from .entry import Handout, Result
from .page import page


def write_report(results: Sequence[Result], folder: Path, command: str, stopped: str = "") -> Path:
    """Write `report.json` and `index.html`.

    Args:
        results: one for each entry.
        folder: where; pictures are in it already.
        command: what runs the report, to which an entry's `--only` is added.
        stopped: why it was stopped before all entries were run, if it was.

    Returns:
        The page's path.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = [result.row() for result in results]
    text = json.dumps(finite(rows), indent=2, ensure_ascii=False, allow_nan=False)
    write_whole(folder / "report.json", text + "\n")
    path = folder / "index.html"
    write_whole(path, page(results, folder, command, stopped))
    return path


def table(results: Sequence[Result]) -> str:
    """Return one line for each entry, and one for each claim that failed.

    Args:
        results: one for each entry that was run.
    """
    lines = []
    for result in results:
        mark = "note" if result.entry.note else ""
        lines.append(
            f"{result.entry.id:<8} {result.status:<5} {result.seconds:>6.1f} s  {mark:<5}"
            f"{result.entry.title}"
        )
        if result.error:
            lines.append(f"{'':<8}   {result.error}")
        lines += [
            f"{'':<8}   {each.name}: printed {each.printed}, computed {each.shown}, "
            f"held to {each.held_to}"
            for each in result.claims
            if not each.passed
        ]
    failed = sum(result.status == "fail" for result in results)
    word = "entry" if len(results) == 1 else "entries"
    return "\n".join([*lines, f"\n{len(results)} {word}, {failed} failed"])


def listing(handouts: Sequence[Handout]) -> str:
    """Return every entry with its handout, title and config."""
    lines = []
    for handout in handouts:
        count = len(handout.entries)
        word = "entry" if count == 1 else "entries"
        lines.append(f"{handout.code}  {handout.title} ({count} {word})")
        for entry in handout.entries.values():
            config = f"  [{entry.config}]" if entry.config else ""
            lines.append(f"  {entry.id:<8} {entry.title}{config}")
    return "\n".join(lines)


def finite(value: Any) -> Any:
    """Return a value with every number that is not finite as a text, since JSON has none of those.

    Example:
        >>> finite({"a": [1.0, float("nan")]})
        {'a': [1.0, 'nan']}
    """
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
