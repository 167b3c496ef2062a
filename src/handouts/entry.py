"""An entry: one row of a handout, how it is run, and how it came out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

from .claims import Claim, Figures, Judgement

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .runs import Runs

HANDOUTS = {
    "TP": "A practical: linear dynamics",
    "AG": "A notebook: automatic differentiation and torch.optim",
    "DI": "Lecture slides: PyTorch and automatic differentiation",
    "PS": "A problem set: automatic differentiation and SGD",
    "LG": "An exercise: automatic gradient descent",
}

Picture = Union["Figure", bytes, Path]


@dataclass(frozen=True)
class Measured:
    """What the runs of an entry gave.

    Args:
        values: the value of each claim, by the claim's name; plain numbers, texts, lists, dicts.
        picture: a figure, the bytes of a PNG, or the path of one.
        details: what is worth showing beside the claims, by name.
    """

    values: Mapping[str, Any]
    picture: Picture | None = None
    details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """A row of a handout, as data: what it claims, and what to run.

    Args:
        id: such as `PS-2.3`; what is before the hyphen is the handout.
        title: what it is about, in a few words.
        claims: what is printed, or must come out.
        config: the shipped config that it runs from.
        measure: runs it, and returns the value of each claim.
        note: what is wrong or incomplete in the handout, or what to know.
    """

    id: str
    title: str
    claims: tuple[Claim, ...]
    config: str
    measure: Callable[["Runs"], Measured]
    note: str = ""

    @property
    def handout(self) -> str:
        """The handout's two letters."""
        return self.id.split("-")[0]

    @property
    def printed(self) -> str:
        """All claims in one line."""
        return "; ".join(f"{claim.name} = {claim.printed}" for claim in self.claims)

    @property
    def figures(self) -> tuple[Figures, ...]:
        """The claims that are numbers held to their digits; an entry with any is numeric."""
        return tuple(claim for claim in self.claims if isinstance(claim, Figures))

    def judge(self, values: Mapping[str, Any]) -> list[Judgement]:
        """Hold computed values against the claims; one that is missing fails."""
        return [claim.judge(values.get(claim.name)) for claim in self.claims]


@dataclass(frozen=True)
class Result:
    """How an entry came out.

    Args:
        entry: the entry.
        judgements: of its claims, in order.
        commands: every public command that was run for it, in order.
        seconds: how long it took; a run that it shares with an earlier entry is not run again.
        picture: a PNG's path, relative to the report's folder.
        details: see `Measured`.
        error: why it could not be run; it has failed then.
    """

    entry: Entry
    judgements: list[Judgement]
    commands: list[str]
    seconds: float
    picture: str | None = None
    details: Mapping[str, str] = field(default_factory=dict)
    error: str = ""

    @property
    def status(self) -> str:
        """`pass` or `fail`."""
        good = not self.error and all(judgement.passed for judgement in self.judgements)
        return "pass" if good else "fail"

    def row(self) -> dict[str, Any]:
        """Return the row of `report.json`: plain values, those of the claims by their names."""
        return {
            "id": self.entry.id,
            "handout": self.entry.handout,
            "title": self.entry.title,
            "printed": self.entry.printed,
            "computed": {each.claim.name: each.computed for each in self.judgements},
            "tolerance": {each.claim.name: each.tolerance for each in self.judgements},
            "status": self.status,
            "note": self.entry.note,
            "config": self.entry.config,
            "picture": self.picture,
            "commands": self.commands,
            "details": dict(self.details),
            "error": self.error,
            "seconds": round(self.seconds, 3),
        }
