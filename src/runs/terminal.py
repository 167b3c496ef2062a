"""What a command prints: plain text; on a terminal the best and what went wrong are marked."""

import os
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

#: what is marked in a text, by groups whose names are styles
MARKS = (
    r"^(?P<head> *(?:member +|run +begun |what differs ).*)$",
    r"^ *member .*\n(?P<best>.*)$",  # of a sweep's members, which are ranked
    r"(?P<best>\S+ \*)",
    r"(?P<wrong>(?<!\b0 )diverged(?: at step \d+)?|ended worse|worse than at the start|unfinished)",
    r"(?P<wrong>\bDIFFERS?\b.*)",
)
STYLES = {"head": "bold", "best": "bold green", "wrong": "bold red"}
#: digits of a number in a table, and the most where fewer do not tell two apart
FEWEST, MOST = 4, 8


def show(text: str) -> None:
    """Print a text; on a terminal with the best and what went wrong in colour, by rich.

    Piped, it is the text and nothing else.
    """
    if not sys.stdout.isatty():
        print(text)
        return
    from rich.console import Console  # 0.05 s, only where it is seen
    from rich.text import Text
    from rich.theme import Theme

    shown = Text(text)
    for mark in MARKS:
        shown.highlight_regex(re.compile(mark, re.MULTILINE))
    Console(theme=Theme(STYLES)).print(shown, soft_wrap=True)


def called() -> str:
    """Return how this command was called, so that another is, and finds the same code.

    That is `python -m descentlab`, or the script of this Python: by its path, unless it is on PATH.
    """
    package = Path(__file__).parents[1]
    if os.path.realpath(sys.argv[0]) == os.path.realpath(package / "__main__.py"):
        return f"{shlex.quote(sys.orig_argv[0])} -m {__name__.partition('.')[0]}"
    beside = Path(sys.executable).with_name("descentlab")
    on_path = str(beside.parent) in os.environ.get("PATH", "").split(os.pathsep)
    return beside.name if on_path or not beside.exists() else os.path.relpath(beside)


def told_apart(values: Sequence[float]) -> list[str]:
    """Return numbers in four digits, in more where those would not tell two apart.

    Example:
        >>> told_apart([4353.4131, 4355.3223])
        ['4353', '4355']
        >>> told_apart([0.7394941, 0.7394983, 13943.971])
        ['0.739494', '0.739498', '13944']
    """
    texts: list[str] = []
    for digits in range(FEWEST, MOST + 1):
        texts = [_in_digits(value, digits) for value in values]
        if len(set(texts)) == len(set(values)):
            break
    return texts


def _in_digits(value: float, digits: int) -> str:
    """Return a number, without an exponent where it is below a million."""
    text = f"{value:.{digits}g}"
    return f"{value:.0f}" if "e+0" in text and abs(value) < 1e6 else text
