"""A handout and its entries: each a function that runs what is asked, and claims what comes out."""

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import UsageError
from .claims import Claim
from .row import Row

Fill = Callable[[Row], None]


@dataclass
class Handout:
    """A handout: exercises, slides, a practical; with an entry for each thing that it computes.

    Args:
        code: the word that its entries' ids begin with, such as `DI`.
        title: what it is called.
        about: what it is, in a sentence.
        author: who wrote it, where that is public.

    Attributes:
        entries: its entries by their ids, in the order in which they were added.

    Example:
        >>> course = Handout("MY", "My course")
        >>> @course.entry("1", "Half of three")
        ... def half(row: Row) -> None:
        ...     row.figures("3 / 2", "1.50", 3 / 2)
        >>> list(course.entries)
        ['MY-1']
    """

    code: str
    title: str
    about: str = ""
    author: str = ""
    entries: dict[str, "Entry"] = field(default_factory=dict, init=False, repr=False)

    def entry(
        self, number: str, title: str, config: str = "", *, formula: str = "", note: str = ""
    ) -> Callable[[Fill], Fill]:
        """Return a decorator that adds a function as an entry.

        The function gets a `Row`. The first paragraph of its docstring is what is asked, the rest
        what one sees; both are shown on the page.

        Args:
            number: of the entry; with the handout's code before it, its id.
            title: what it is about, in a few words.
            config: what `row.fit` and `row.predict` run, if they name no other.
            formula: what is computed.
            note: what is wrong or incomplete in the handout, or what to know.

        A cell of a notebook that is run again, changed or not, replaces its entry.

        Raises:
            UsageError: if the id names another entry already, or can name no file.
        """
        name = f"{self.code}-{number}"
        if not re.fullmatch(r"\w[\w.-]*", name):
            raise UsageError(f"{name!r} names no entry: take letters, digits, points and hyphens")

        def add(fill: Fill) -> Fill:
            if name in self.entries and not _is_again(self.entries[name].fill, fill):
                raise UsageError(f"the entry {name} is there twice: give one another number")
            self.entries[name] = Entry(name, self, title, config, formula, note, fill)
            return fill

        return add


def _is_again(before: Fill, now: Fill) -> bool:
    """Return whether a function is one from before, of a source that was run again or changed."""
    codes = [inspect.unwrap(each).__code__ for each in (before, now)]
    places = [(code.co_filename, code.co_firstlineno) for code in codes]
    same_file = places[0][0] == places[1][0]
    return codes[0].co_qualname == codes[1].co_qualname and (
        places[0] == places[1] or not same_file
    )


@dataclass(frozen=True)
class Entry:
    """An entry; see `Handout.entry`."""

    id: str
    handout: Handout
    title: str
    config: str
    formula: str
    note: str
    fill: Fill

    @property
    def asked(self) -> str:
        """What is asked."""
        return " ".join(self._paragraphs[0].split())

    @property
    def seen(self) -> str:
        """What one sees when it has been done."""
        return " ".join(self._paragraphs[2].split())

    @property
    def _paragraphs(self) -> tuple[str, str, str]:
        return (inspect.getdoc(self.fill) or "").partition("\n\n")


@dataclass(frozen=True)
class Result:
    """How an entry came out.

    Args:
        entry: the entry.
        claims: what was claimed, in order.
        commands: every public command that was run for it, in order.
        seconds: how long it took; a run that it shares with an earlier entry is not run again.
        picture: a PNG's path, relative to the report's folder.
        details: what is worth showing beside the claims, by name.
        error: why it could not be run to its end; it has failed then.
        ran: whether it was run at all, before a signal ended the report.
    """

    entry: Entry
    claims: list[Claim] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    seconds: float = 0.0
    picture: str | None = None
    details: Mapping[str, str] = field(default_factory=dict)
    error: str = ""
    ran: bool = True

    @property
    def status(self) -> str:
        """`pass`, `fail` or `not run`."""
        good = not self.error and all(claim.passed for claim in self.claims)
        return ("pass" if good else "fail") if self.ran else "not run"

    def row(self) -> dict[str, Any]:
        """Return the row of `report.json`: plain values, those of the claims by their names."""
        return {
            "id": self.entry.id,
            "handout": self.entry.handout.code,
            "title": self.entry.title,
            "asked": self.entry.asked,
            "formula": self.entry.formula,
            "printed": "; ".join(f"{claim.name} = {claim.printed}" for claim in self.claims),
            "computed": {claim.name: claim.computed for claim in self.claims},
            "tolerance": {claim.name: claim.tolerance for claim in self.claims},
            "status": self.status,
            "note": self.entry.note,
            "config": self.entry.config,
            "picture": self.picture,
            "commands": self.commands,
            "details": dict(self.details),
            "error": self.error,
            "seconds": round(self.seconds, 3),
        }
