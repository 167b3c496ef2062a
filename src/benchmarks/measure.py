"""Side by side: every contender in turn, round after round, in one process."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Spread:
    """A time in seconds: median and quartiles over rounds."""

    median: float
    lower_quartile: float
    upper_quartile: float

    @classmethod
    def of(cls, seconds: list[float]) -> "Spread":
        """Return the spread of some rounds."""
        if len(seconds) == 1:
            return cls(seconds[0], seconds[0], seconds[0])
        low, middle, high = statistics.quantiles(seconds, n=4, method="inclusive")
        return cls(middle, low, high)


@dataclass(frozen=True)
class Result:
    """One case of a benchmark: ours, the alternatives, and the ratios of ours to each.

    A ratio is the median over rounds of the ratio within a round, so that what slows the machine
    for a while slows both sides of it.
    """

    case: str
    unit: str
    times: dict[str, Spread]
    ratios: dict[str, Spread]

    def as_dict(self) -> dict[str, Any]:
        """Return the result as plain types."""
        return asdict(self)


def compare(
    case: str, unit: str, contenders: Mapping[str, Callable[[], float]], rounds: int, ours: str
) -> Result:
    """Time the contenders in turn: A B C, A B C, … after one round that is left out.

    Args:
        case: the name of the case.
        unit: what one time is the time of.
        contenders: each runs once and returns its seconds.
        rounds: how many rounds count.
        ours: the contender that the ratios are of.

    Returns:
        The times of all and the ratios of ours to the others.
    """
    for contender in contenders.values():
        contender()
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            seconds[name].append(contender())
    ratios = {
        name: Spread.of([a / b for a, b in zip(seconds[ours], times, strict=True)])
        for name, times in seconds.items()
        if name != ours
    }
    return Result(case, unit, {name: Spread.of(times) for name, times in seconds.items()}, ratios)


def marginal(run: Callable[[int], Any], epochs: int, updates_per_epoch: int) -> float:
    """Return the seconds of one update: a run of 2n epochs less one of n, by their updates."""
    seconds = []
    for length in (epochs, 2 * epochs):
        start = time.perf_counter()
        run(length)
        seconds.append(time.perf_counter() - start)
    return (seconds[1] - seconds[0]) / (epochs * updates_per_epoch)
