"""A page of HTML with everything inside, for a screen of any width."""

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path

STYLE = Path(__file__).with_name("page.css")

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<main>
<h1>{heading}</h1>
{body}</main>
</body>
</html>
"""

_SHORT = ' class="short"'


def page(title: str, parts: Sequence[str]) -> str:
    """Return a page.

    Args:
        title: as plain text.
        parts: what is below it, as HTML, such as the functions of this module return.
    """
    style = STYLE.read_text(encoding="utf-8")
    name = escape(title)
    heading = name.replace("/", "/<wbr>")  # where a long path may be broken
    return _PAGE.format(title=name, heading=heading, style=style, body="".join(parts))


def section(title: str, *parts: str) -> str:
    """Return a part of a page, with a title of its own."""
    return f"<section>\n<h3>{escape(title)}</h3>\n{''.join(parts)}</section>\n"


def paragraph(text: str) -> str:
    """Return a paragraph of plain text."""
    return f"<p>{escape(text)}</p>\n"


def code(text: str) -> str:
    """Return plain text as it would be typed."""
    return f"<pre>{escape(text)}</pre>\n"


def folded(title: str, text: str) -> str:
    """Return a long text as it would be typed, shown when its title is clicked."""
    return f"<details><summary>{escape(title)}</summary>{code(text)}</details>\n"


def picture(png: bytes, about: str) -> str:
    """Return a picture; on a narrow screen it keeps a legible size, and its box is scrolled."""
    return f'<div class="wide">{fitting_picture(png, about)}</div>\n'


def fitting_picture(png: bytes, about: str) -> str:
    """Return a picture that a narrow screen shows whole, made smaller."""
    encoded = base64.b64encode(png).decode()
    alt = escape(about, quote=True)
    return f'<img alt="{alt}" src="data:image/png;base64,{encoded}">'


def verdict(holds: bool, text: str) -> str:
    """Return a sentence with a mark before it that says whether all is well."""
    mark, word = ("pass", "holds") if holds else ("fail", "differs")
    return f'<p class="asked"><span class="status {mark}">{word}</span> {escape(text)}</p>\n'


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table; on a narrow screen each cell is a line with its column's name.

    Args:
        head: the names of the columns; one called "verdict" is narrow.
        rows: as many cells each, as plain text.
    """
    names = "".join(
        f'<th scope="col"{_SHORT * (name == "verdict")}>{escape(name)}</th>' for name in head
    )
    lines = "".join(f"<tr>{_cells(head, row)}</tr>\n" for row in rows)
    return f"<table>\n<thead><tr>{names}</tr></thead>\n<tbody>\n{lines}</tbody>\n</table>\n"


def _cells(head: Sequence[str], row: Sequence[str]) -> str:
    labels = [escape(name, quote=True) for name in head]
    first, *rest = map(escape, row)
    cells = [f'<td class="what" data-label="{labels[0]}">{first}</td>']
    pairs = zip(labels[1:], rest, strict=True)
    cells += [f'<td data-label="{label}">{text}</td>' for label, text in pairs]
    return "".join(cells)
