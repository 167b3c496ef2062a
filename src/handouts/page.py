"""The report as one page of HTML with everything inside, for a screen of any width."""

import base64
from collections.abc import Sequence
from html import escape
from itertools import groupby
from pathlib import Path

from .. import __version__
from ..drawing.page import STYLE
from .claims import Claim
from .entry import Handout, Result

HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{title}, reproduced</title>
<style>
{style}</style>
</head>
<body>
<main>
<h1>{title}, reproduced</h1>
{stopped}<p>{passed} of {count} entries came out as claimed, by descentlab {version}. A figure is
held to the digits that are printed; what a handout does not print, but asks for, was derived and is
marked <span class="derived">derived</span>. All runs are on the CPU, unless an entry says
otherwise.</p>
"""


def page(results: Sequence[Result], folder: Path, command: str, stopped: str = "") -> str:
    """Return the page.

    Args:
        results: one for each entry, in the order of the handouts.
        folder: where the pictures are.
        command: what runs the report, to which an entry's `--only` is added.
        stopped: why it was stopped before all entries were run, if it was.
    """
    parts = [(handout, list(of)) for handout, of in groupby(results, lambda r: r.entry.handout)]
    title = parts[0][0].title if len(parts) == 1 else "The handouts"
    head = HEAD.format(
        title=escape(title),
        style=STYLE.read_text(encoding="utf-8"),
        stopped=f'<p class="stopped">{escape(stopped)}</p>\n' if stopped else "",
        passed=_count(results, "pass"),
        count=len(results),
        version=__version__,
    )
    contents = "".join(_contents(handout, of) for handout, of in parts)
    text = [head, f"<nav>\n<ul>\n{contents}</ul>\n</nav>\n"]
    for handout, of in parts:
        text.append(f'<h2 id="{handout.code}">{handout.code}: {escape(handout.title)}</h2>\n')
        author = f"By {handout.author}. " if handout.author else ""
        text.append(_paragraph("about", author + handout.about))
        text += [_entry(result, folder, command) for result in of if result.ran]
    return "".join([*text, "</main>\n</body>\n</html>\n"])


def _count(results: Sequence[Result], status: str) -> int:
    return sum(result.status == status for result in results)


def _paragraph(kind: str, text: str) -> str:
    return f'<p class="{kind}">{escape(text)}</p>\n' if text else ""


def _contents(handout: Handout, results: Sequence[Result]) -> str:
    """Return a handout's line in the table of contents, with a link to each entry."""
    links = " ".join(
        f'<a class="{result.status}" href="#{result.entry.id}">{result.entry.id}</a>'
        if result.ran
        else f"<span>{result.entry.id}</span>"
        for result in results
    )
    counts = f"{_count(results, 'pass')} passed, {_count(results, 'fail')} failed"
    not_run = _count(results, "not run")
    counts += f", {not_run} not run" if not_run else ""
    return (
        f'<li><a href="#{handout.code}">{escape(handout.title)}</a>: {counts}'
        f'<div class="links">{links}</div></li>\n'
    )


def _entry(result: Result, folder: Path, command: str) -> str:
    entry = result.entry
    parts = [
        f'<section id="{entry.id}">\n<h3><span class="status {result.status}">{result.status}'
        f"</span> {entry.id} {escape(entry.title)}</h3>\n",
        _paragraph("asked", entry.asked),
        _paragraph("formula", entry.formula),
        _paragraph("note", entry.note),
        _paragraph("error", result.error),
        '<table>\n<thead><tr><th scope="col">what</th><th scope="col">printed</th>'
        '<th scope="col">computed</th><th scope="col" class="short">held to</th></tr></thead>\n',
        "<tbody>\n",
        *map(_claim, result.claims),
        "</tbody>\n</table>\n",
    ]
    if result.details:
        items = result.details.items()
        rows = (f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in items)
        parts.append(f"<dl>{''.join(rows)}</dl>\n")
    if result.picture:
        encoded = base64.b64encode((folder / result.picture).read_bytes()).decode()
        alt = escape(f"{entry.id}: {entry.title}", quote=True)
        parts.append(f'<img alt="{alt}" src="data:image/png;base64,{encoded}">\n')
    parts.append(_paragraph("seen", entry.seen))
    parts.append(f"<pre>{escape(command)} --only {entry.id}</pre>\n")
    if result.commands:
        count = len(result.commands)
        word = "command" if count == 1 else "commands"
        ran = escape("\n".join(result.commands))
        summary = f"<summary>which runs {count} {word}</summary>"
        parts.append(f"<details>{summary}<pre>{ran}</pre></details>\n")
    return "".join([*parts, "</section>\n"])


def _claim(claim: Claim) -> str:
    mark = ' <span class="derived">derived</span>' if claim.derived else ""
    wrong = "" if claim.passed else ' class="wrong"'
    cells = (
        ("what", escape(claim.name)),
        ("printed", escape(claim.printed) + mark),
        ("computed", escape(claim.shown)),
        ("held to", escape(claim.held_to)),
    )
    inside = "".join(f'<td data-label="{label}">{text}</td>' for label, text in cells)
    return f"<tr{wrong}>{inside}</tr>\n"
