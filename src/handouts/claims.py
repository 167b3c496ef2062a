"""Claims: what a handout prints, or what must come out, and how a computed value is held to it."""

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from operator import sub
from typing import Any, Literal

import torch

from ..errors import UsageError

#: a number as handouts print it
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")

#: numbers of an agreement that are kept, from the first on
SHOWN = 4

Tolerance = float | list[float] | None


@dataclass(frozen=True)
class Judgement:
    """How one claim came out.

    Args:
        claim: what was claimed.
        computed: what came out; None where it is about a device that is not present.
        tolerance: how far from the claim it may be: a number, one for each figure, or None where
            the claim is a text or a range.
        passed: whether it is as claimed.
    """

    claim: "Claim"
    computed: Any
    tolerance: Tolerance
    passed: bool


@dataclass(frozen=True)
class Claim(ABC):
    """Something that an entry says of one value.

    Args:
        name: of the value.
        printed: as the handout prints it; or, where it prints nothing, what must come out.
        derived: whether it was derived, as the handout prints nothing.
        optional: whether it is about a device that may be absent. Then None is computed, which is
            reported as "not present" and fails nothing.
    """

    name: str
    printed: str
    derived: bool = field(default=False, kw_only=True)
    optional: bool = field(default=False, kw_only=True)

    def judge(self, computed: Any) -> Judgement:
        """Hold a computed value against the claim."""
        if computed is None and self.optional:
            return Judgement(self, None, None, passed=True)
        try:
            return Judgement(self, computed, self.tolerance(computed), self.holds(computed))
        except (TypeError, ValueError, KeyError, AttributeError):  # no value, or of another kind
            return Judgement(self, computed, None, passed=False)

    @abstractmethod
    def holds(self, computed: Any) -> bool:
        """Return whether a computed value is as claimed."""

    def tolerance(self, computed: Any) -> Tolerance:
        """Return how far from the claim a computed value may be; None where that means nothing."""
        return None


@dataclass(frozen=True)
class Figures(Claim):
    """Numbers, each held to the digits that are printed: half a unit in its last printed place.

    Example:
        >>> figures = Figures("a", "[1.8200, 2.5950]")
        >>> figures.tolerance(None)
        5e-05
        >>> figures.judge([1.82004, 2.595]).passed, figures.judge([1.82, 2.5951]).passed
        (True, False)
    """

    def __post_init__(self) -> None:
        if not NUMBER.search(self.printed):
            raise UsageError(f"{self.name}: there is no number in {self.printed!r}")

    @property
    def numbers(self) -> list[Decimal]:
        """The printed numbers, in order."""
        return [Decimal(number) for number in NUMBER.findall(self.printed)]

    def holds(self, computed: Any) -> bool:
        """Return whether every number agrees to its printed digits."""
        values = flat(computed)
        if len(values) != len(self.numbers) or not all(map(math.isfinite, values)):
            return False
        return all(
            abs(Decimal(repr(value)) - number) <= half_unit(number)
            for value, number in zip(values, self.numbers, strict=True)
        )

    def tolerance(self, computed: Any) -> Tolerance:
        """Return half a unit in the last printed place: one number if it is the same for all."""
        halves = [float(half_unit(number)) for number in self.numbers]
        return halves[0] if len(set(halves)) == 1 else halves


@dataclass(frozen=True)
class Agreement(Claim):
    r"""Numbers that came out in two ways, and may differ by what rounding can do.

    .. math:: |x_i - y_i| \le r\,u\,s, \qquad u = \varepsilon / 2

    with the unit roundoff u of the dtype, the number r of roundings on the way to a result, and
    the scale s: the largest magnitude on that way. Zero roundings is equality bit for bit.

    The computed value is what `agreement` returns.

    Args:
        dtype: in which was computed.
        roundings: r, on the longer of both ways.
    """

    dtype: Literal["float32", "float64"] = "float32"
    roundings: int = 0

    def holds(self, computed: Any) -> bool:
        """Return whether both ways gave the same, up to rounding."""
        apart = computed["apart"]
        return apart is not None and bool(apart <= self._allowed(computed))

    def tolerance(self, computed: Any) -> Tolerance:
        """Return the bound of what rounding can do."""
        return self._allowed(computed)

    def _allowed(self, computed: Any) -> float:
        unit = torch.finfo(getattr(torch, self.dtype)).eps / 2
        return float(self.roundings * unit * computed["scale"])


def agreement(value: Any, expected: Any, scale: float | None = None) -> dict[str, Any]:
    """Return what an `Agreement` judges: how far apart numbers are at most, and the first of them.

    Args:
        value: numbers, in any nesting.
        expected: as many numbers, found in another way.
        scale: the largest magnitude on the way to them, where it is above all of theirs.

    Returns:
        ``{"value", "expected", "count", "apart", "scale"}``; `apart` is None where there is nothing
        to compare: no numbers, one that is not finite, or more of them on one side.

    Example:
        >>> agreement([1.0, 2.0], [1.0, 2.5])["apart"]
        0.5
    """
    values, others = flat(value), flat(expected)
    comparable = len(values) == len(others) > 0 and all(map(math.isfinite, values + others))
    largest = max(map(abs, values + others)) if comparable else 0.0
    return {
        "value": values[:SHOWN],
        "expected": others[:SHOWN],
        "count": len(values),
        "apart": max(map(abs, map(sub, values, others))) if comparable else None,
        "scale": max(largest, scale or 0.0),
    }


@dataclass(frozen=True)
class Within(Claim):
    """Printed numbers, each of which must lie in a range that was measured.

    The computed value is ``{"low": […], "high": […]}``, one of each for every number.
    """

    def holds(self, computed: Any) -> bool:
        """Return whether every printed number is in its range."""
        numbers = [float(number) for number in NUMBER.findall(self.printed)]
        rows = zip(computed["low"], numbers, computed["high"], strict=False)
        return len(computed["low"]) == len(computed["high"]) == len(numbers) and all(
            low <= number <= high for low, number, high in rows
        )


@dataclass(frozen=True)
class Wording(Claim):
    """A text: an error message, a list of names, an answer. One that ends with … is a beginning."""

    def holds(self, computed: Any) -> bool:
        """Return whether the text is the printed one."""
        if self.printed.endswith("…"):
            return bool(computed.startswith(self.printed.removesuffix("…")))
        return bool(computed == self.printed)


def half_unit(number: Decimal) -> Decimal:
    """Return half a unit in the last place of a number as it is written.

    Example:
        >>> half_unit(Decimal("17.4649")), half_unit(Decimal("6.4e-05")), half_unit(Decimal("36"))
        (Decimal('0.00005'), Decimal('5E-7'), Decimal('0.5'))
    """
    return Decimal(5).scaleb(int(number.as_tuple().exponent) - 1)


def flat(value: Any) -> list[float]:
    """Return all numbers of a nesting of lists, in order.

    Example:
        >>> flat([[1, 2.5], 3])
        [1.0, 2.5, 3.0]
    """
    if isinstance(value, torch.Tensor):
        value = value.tolist()
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [number for part in value for number in flat(part)]
    return [float(value)]
