"""Measurements, kept as JSON, shown as tables, and compared with the last record."""

import json
import platform
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import torch

from descentlab.errors import UsageError

from .measure import Row

#: a ratio that is this many times the recorded one is slower
SLOWER = 1.2

BEGIN, END = "<!-- {} -->", "<!-- end of {} -->"


def measured(rows: Sequence[Row], quick: bool) -> dict[str, Any]:
    """Return the record of a case: its rows, and where and how they were measured."""
    return {
        "quick": quick,
        "date": date.today().isoformat(),
        "machine": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "rows": [row.as_plain() for row in rows],
    }


def read(path: Path) -> dict[str, Any]:
    """Return all recorded cases, none where there is no file.

    Raises:
        UsageError: if the file is damaged.
    """
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"{path} is damaged ({error}): remove it, and measure again") from error
    if not isinstance(found, dict):
        raise UsageError(f"{path} holds no record: remove it, and measure again")
    return found


def write(record: Mapping[str, Any], path: Path) -> None:
    """Write all recorded cases."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def slower(case: str, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> list[str]:
    """Return a sentence for each ratio that is more than 20% above the recorded one.

    Args:
        case: its name.
        new: what was measured now.
        old: its record.

    Raises:
        UsageError: if there is no record, or one of the other kind.
    """
    if old is None:
        raise UsageError(
            f"there is no record of {case} to check against: measure it without --check"
        )
    if old["quick"] != new["quick"]:
        how = "with" if old["quick"] else "without"
        raise UsageError(f"the record of {case} was made {how} --quick: check it {how} --quick too")
    recorded = {row["name"]: row["ratios"] for row in old["rows"]}
    return [
        f"{case}: {row['name']}, against {other}: {ratio['median']:.3g} now, {before:.3g} recorded"
        for row in new["rows"]
        for other, ratio in row["ratios"].items()
        if (before := _median(recorded, row["name"], other)) is not None
        if ratio["median"] > SLOWER * before
    ]


def _median(recorded: Mapping[str, Any], row: str, other: str) -> float | None:
    ratio = recorded.get(row, {}).get(other)
    return None if ratio is None else float(ratio["median"])


def table(case: Mapping[str, Any]) -> str:
    """Return a case as a table in Markdown: our time, the ratios with quartiles, the facts."""
    rows = case["rows"]
    others = list(dict.fromkeys(name for row in rows for name in row["ratios"]))
    lines = [["", "ours", *(f"ours over {name}" for name in others)]]
    lines += [
        [row["name"], _time(row), *(_ratio(row["ratios"].get(name)) for name in others)]
        for row in rows
    ]
    text = [_line(lines[0]), _line(["---"] * len(lines[0])), *map(_line, lines[1:])]
    facts = [f"- {row['name']}: {_facts(row['facts'])}." for row in rows if row["facts"]]
    how = f"{case['date']}, {case['machine']}, Python {case['python']}, torch {case['torch']}"
    note = [f"Measured on {how}, {case['threads']} thread."]
    return "\n".join([*text, "", *facts, *([""] if facts else []), *note])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _time(row: Mapping[str, Any]) -> str:
    seconds, what = row["ours"]["median"], row["unit"].removeprefix("s").strip()
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6), ("ns", 1e-9)):
        if seconds >= size or unit == "ns":
            return f"{seconds / size:.3g} {unit}{f' {what}' if what else ''}"
    raise AssertionError


def _ratio(ratio: Mapping[str, float] | None) -> str:
    if ratio is None:
        return ""
    low, high = ratio["lower_quartile"], ratio["upper_quartile"]
    return f"{ratio['median']:.3g} ({low:.3g} to {high:.3g})"


def _facts(facts: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in facts.items())


def into_page(page: str, name: str, text: str) -> str:
    """Return a page with what stands between the two marks of a case replaced.

    Raises:
        UsageError: if the page has no such marks.
    """
    begin, end = BEGIN.format(name), END.format(name)
    if begin not in page or end not in page:
        raise UsageError(f"the page has no {begin} … {end} for the table of {name}: put them back")
    head, rest = page.split(begin, 1)
    return f"{head}{begin}\n\n{text}\n\n{end}{rest.split(end, 1)[1]}"
