"""Side by side: every contender in turn, round after round, in one run."""

import re
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Spread:
    """A time in seconds, or a ratio: median and quartiles over rounds."""

    median: float
    lower_quartile: float
    upper_quartile: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Return the spread of the values of some rounds."""
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(middle, low, high)


@dataclass(frozen=True)
class Row:
    """One comparison of a case: ours, the alternatives, and the ratios of ours to each.

    A ratio is the median over rounds of the ratio within a round, so that what slows the machine
    for a while slows both sides of it.

    Attributes:
        name: what is compared.
        unit: what one time is the time of.
        ours: our time.
        alternatives: theirs, by name.
        ratios: ours over each, by name.
        facts: what else was measured, by name.
    """

    name: str
    unit: str
    ours: Spread
    alternatives: dict[str, Spread]
    ratios: dict[str, Spread]
    facts: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        name: str,
        unit: str,
        ours: Sequence[float],
        alternatives: Mapping[str, Sequence[float]],
        facts: Mapping[str, float] | None = None,
    ) -> "Row":
        """Return the comparison of times, each with one for every round."""
        ratios = {
            other: Spread.of([a / b for a, b in zip(ours, times, strict=True)])
            for other, times in alternatives.items()
        }
        spreads = {other: Spread.of(times) for other, times in alternatives.items()}
        return cls(name, unit, Spread.of(ours), spreads, ratios, dict(facts or {}))

    def as_plain(self) -> dict[str, Any]:
        """Return the row as plain types."""
        return asdict(self)


def in_turn(
    contenders: Mapping[str, Callable[[], float]], rounds: int, warm_up: bool = True
) -> dict[str, list[float]]:
    """Time the contenders in turn, A B C, A B C, …, by default after a round that is left out.

    Args:
        contenders: each runs once and returns its seconds.
        rounds: how many rounds count.
        warm_up: False where contenders were run before.

    Returns:
        The seconds of each, one for every round.
    """
    for contender in contenders.values() if warm_up else ():
        contender()
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            seconds[name].append(contender())
    return seconds


def peak_memory() -> int:
    """Return the most memory that this process has held so far, in bytes."""
    status = Path("/proc/self/status")
    if status.is_file():  # `getrusage` counts what the parent held when it started this process
        found = re.search(r"VmHWM:\s*(\d+) kB", status.read_text(encoding="ascii"))
        if found:
            return 1024 * int(found[1])
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kilobytes if sys.platform == "darwin" else 1024 * kilobytes  # macOS gives bytes


def seconds_of(run: Callable[[], Any]) -> float:
    """Return how long a call takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def marginal(run: Callable[[int], Any], epochs: int, updates_per_epoch: int) -> float:
    """Return the seconds of one update: a run of 2n epochs less one of n, by their updates."""
    once, twice = (seconds_of(partial(run, n)) for n in (epochs, 2 * epochs))
    return (twice - once) / (epochs * updates_per_epoch)
