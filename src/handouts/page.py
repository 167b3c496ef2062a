"""The report as one page of HTML with everything inside, for a screen of any width."""

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from .. import __version__
from .claims import SHOWN, Agreement, Judgement, Within
from .entry import HANDOUTS, Result

STYLE = Path(__file__).with_name("page.css")


def page(results: Sequence[Result], folder: Path) -> str:
    """Return the page.

    Args:
        results: one for each entry that was run.
        folder: where the pictures are.
    """
    passed = sum(result.status == "pass" for result in results)
    parts = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<link rel="icon" href="data:,">\n<title>The handouts, reproduced</title>\n'
        f"<style>\n{STYLE.read_text(encoding='utf-8')}</style>\n</head>\n<body>\n<main>\n"
        "<h1>The handouts, reproduced</h1>\n"
        f"<p>{passed} of {len(results)} entries came out as claimed, by descentlab {__version__}. "
        "A figure is held to the digits that are printed; what a handout does not print, but "
        'asks for, was derived and is marked <span class="derived">derived</span>. All runs are '
        "on the CPU, unless an entry says otherwise.</p>\n"
    ]
    parts.append(_contents(results))
    for handout, name in HANDOUTS.items():
        of_handout = [result for result in results if result.entry.handout == handout]
        if of_handout:
            parts.append(f'<h2 id="{handout}">{handout}: {escape(name)}</h2>\n')
            parts += [_entry(result, folder) for result in of_handout]
    parts.append("</main>\n</body>\n</html>\n")
    return "".join(parts)


def _contents(results: Sequence[Result]) -> str:
    """Return the table of contents: a line for each handout, with a link to each entry."""
    lines = []
    for handout, name in HANDOUTS.items():
        of_handout = [result for result in results if result.entry.handout == handout]
        if not of_handout:
            continue
        passed = sum(result.status == "pass" for result in of_handout)
        links = " ".join(
            f'<a class="{result.status}" href="#{result.entry.id}">{result.entry.id}</a>'
            for result in of_handout
        )
        lines.append(
            f'<li><a href="#{handout}">{escape(name)}</a>: {passed} passed, '
            f'{len(of_handout) - passed} failed<div class="links">{links}</div></li>\n'
        )
    return f"<nav>\n<ul>\n{''.join(lines)}</ul>\n</nav>\n"


def _entry(result: Result, folder: Path) -> str:
    entry = result.entry
    rows = "".join(_claim(judgement) for judgement in result.judgements)
    parts = [
        f'<section id="{entry.id}">\n<h3><span class="status {result.status}">{result.status}'
        f"</span> {entry.id} {escape(entry.title)}</h3>\n"
    ]
    if entry.note:
        parts.append(f'<p class="note">{escape(entry.note)}</p>\n')
    if result.error:
        parts.append(f'<p class="error">{escape(result.error)}</p>\n')
    parts.append(
        '<table>\n<thead><tr><th scope="col">what</th><th scope="col">printed</th>'
        '<th scope="col">computed</th><th scope="col">held to</th></tr></thead>\n'
        f"<tbody>\n{rows}</tbody>\n</table>\n"
    )
    if result.details:
        items = "".join(
            f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>"
            for name, text in result.details.items()
        )
        parts.append(f"<dl>{items}</dl>\n")
    if result.picture:
        encoded = base64.b64encode((folder / result.picture).read_bytes()).decode()
        alt = escape(f"{entry.id}: {entry.title}", quote=True)
        parts.append(f'<img alt="{alt}" src="data:image/png;base64,{encoded}">\n')
    parts.append(f"{_commands(result)}</section>\n")
    return "".join(parts)


def _commands(result: Result) -> str:
    """Return the commands: the one for this entry, and, folded, those that it ran."""
    ran = "\n".join(map(escape, result.commands))
    count = len(result.commands)
    word = "command" if count == 1 else "commands"
    return (
        f"<pre>python scripts/reproduce.py --only {result.entry.id}</pre>\n"
        f"<details><summary>which runs {count} {word} (config: {escape(result.entry.config)})"
        f"</summary><pre>{ran}</pre></details>\n"
    )


def _claim(judgement: Judgement) -> str:
    claim = judgement.claim
    mark = ' <span class="derived">derived</span>' if claim.derived else ""
    wrong = "" if judgement.passed else ' class="wrong"'
    cells = (
        ("what", escape(claim.name)),
        ("printed", escape(claim.printed) + mark),
        ("computed", escape(computed_text(judgement))),
        ("held to", escape(tolerance_text(judgement))),
    )
    inside = "".join(f'<td data-label="{label}">{text}</td>' for label, text in cells)
    return f"<tr{wrong}>{inside}</tr>\n"


def computed_text(judgement: Judgement) -> str:
    """Return a computed value as it is shown on the page."""
    computed = judgement.computed
    if computed is None:
        return "not present" if judgement.claim.optional else "nothing"
    if isinstance(judgement.claim, Within) and isinstance(computed, dict):
        pairs = zip(computed["low"], computed["high"], strict=False)
        return ", ".join(f"{low:.3g} to {high:.3g}" for low, high in pairs)
    if isinstance(judgement.claim, Agreement) and isinstance(computed, dict):
        return _agreement_text(computed)
    tolerance = judgement.tolerance
    if isinstance(tolerance, float) and isinstance(computed, float):
        return repr(computed) if tolerance < 1e-9 * abs(computed) else _plain(computed)
    return _plain(computed)


def _agreement_text(computed: dict[str, Any]) -> str:
    count, apart = computed["count"], computed["apart"]
    values = _plain(computed["value"]) if 1 < count <= SHOWN else f"{count} values"
    if count == 1:
        values = _plain(computed["value"][0])
    if apart is None:
        return f"{values}, not comparable with {_plain(computed['expected'])}"
    return f"{values}, {'all equal' if apart == 0 else f'at most {apart:.2g} apart'}"


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.8g}"
    if isinstance(value, list):
        return f"[{', '.join(map(_plain, value))}]"
    return str(value)


def tolerance_text(judgement: Judgement) -> str:
    """Return what a claim is held to, as it is shown on the page."""
    if isinstance(judgement.claim, Within):
        return "the range over the seeds"
    if judgement.tolerance is None:
        return "the same text" if judgement.computed is not None else ""
    if judgement.tolerance == 0:
        return "equality"
    if isinstance(judgement.tolerance, list):
        return ", ".join(f"±{each:.1g}" for each in judgement.tolerance)
    return f"±{judgement.tolerance:.1g}"
