"""A course: the handouts in a Python file of a user's own, and the entries that are chosen."""

import importlib.util
import linecache
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from ..errors import UsageError
from .entry import Entry, Handout

PAGE = "docs/your_own_handout.md shows how one is written"


def load(path: Path) -> list[Handout]:
    """Run a file, and return the handouts that its names stand for, in order.

    The file is a program: it can do whatever its author can, so run none that you do not trust.
    Modules beside it can be imported, as when Python runs it.

    Args:
        path: of the file.

    Raises:
        UsageError: if it is missing, is no Python, cannot be run to its end, or holds no entry.
    """
    if not path.is_file():
        raise UsageError(f"there is no file {path}: give a Python file with a handout in it")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} is no Python file: its name must end with .py")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise UsageError(f"{error.filename} line {error.lineno}: {error.msg}") from error
    except UsageError as error:
        raise UsageError(f"{path} line {_line(error, path)}: {error}") from error
    except (Exception, SystemExit) as error:
        wrong = f"{type(error).__name__}: {error}"
        raise UsageError(f"{path} line {_line(error, path)} cannot be run: {wrong}") from error
    found = {id(each): each for each in vars(module).values() if isinstance(each, Handout)}
    handouts = [each for each in found.values() if each.entries]
    if not handouts:
        raise UsageError(f"{path} holds no handout with an entry: {PAGE}")
    codes = [each.code for each in handouts]
    for code in codes:
        if codes.count(code) > 1:
            raise UsageError(f"{path} holds two handouts {code}: give one another code")
    return handouts


def _line(error: BaseException, path: Path) -> int:
    """Return the line of the file at which something went wrong, the last one that ran."""
    linecache.clearcache()
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename) == path]
    return lines[-1] or 0 if lines else 0


def select(handouts: Sequence[Handout], only: Sequence[str], code: str | None) -> list[Entry]:
    """Return the entries of some ids, or of a handout, or all of them, in the handouts' order.

    Args:
        handouts: to choose from.
        only: ids; none for no choice by id.
        code: of a handout; None for no choice by handout.

    Raises:
        UsageError: if there is no such id or handout, with those that there are, or none is left.
    """
    entries = {name: entry for handout in handouts for name, entry in handout.entries.items()}
    codes = [handout.code for handout in handouts]
    unknown = [name for name in only if name not in entries]
    if unknown:
        raise UsageError(f"there is no entry {', '.join(unknown)}: there are {', '.join(entries)}")
    if code is not None and code not in codes:
        raise UsageError(f"there is no handout {code}: there are {', '.join(codes)}")
    chosen = [
        entry
        for name, entry in entries.items()
        if (not only or name in only) and code in (None, entry.handout.code)
    ]
    if not chosen:
        raise UsageError(f"none of {', '.join(only)} is in the handout {code}")
    return chosen
