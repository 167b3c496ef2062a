"""The report: `report.json` for scripts, a table for the terminal, and the page."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .entry import HANDOUTS, Result
from .page import page


def write_report(results: Sequence[Result], folder: Path) -> Path:
    """Write `report.json` and `index.html`.

    Args:
        results: one for each entry that was run.
        folder: where; pictures are in it already.

    Returns:
        The page's path.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = [result.row() for result in results]
    text = json.dumps(finite(rows), indent=2, ensure_ascii=False, allow_nan=False)
    (folder / "report.json").write_text(text + "\n", encoding="utf-8")
    path = folder / "index.html"
    path.write_text(page(results, folder), encoding="utf-8")
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
            f"{'':<8}   {each.claim.name}: printed {each.claim.printed}, "
            f"computed {short(each.computed)}, tolerance {each.tolerance}"
            for each in result.judgements
            if not each.passed
        ]
    failed = sum(result.status == "fail" for result in results)
    word = "entry" if len(results) == 1 else "entries"
    return "\n".join([*lines, f"\n{len(results)} {word}, {failed} failed"])


def listing() -> str:
    """Return every entry with its handout, title and config."""
    from .catalogue import CATALOGUE

    lines = []
    for handout, name in HANDOUTS.items():
        entries = [entry for entry in CATALOGUE.values() if entry.handout == handout]
        lines.append(f"{handout}  {name} ({len(entries)} entries)")
        lines += [f"  {entry.id:<8} {entry.title}  [{entry.config}]" for entry in entries]
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


def short(value: Any) -> str:
    """Return a computed value in a few characters."""
    text = str(value)
    return text if len(text) <= 120 else f"{text[:117]}…"
