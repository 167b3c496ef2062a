"""Claims: what a handout prints, or what must come out, and how a computed value is held to it."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from operator import sub
from typing import Any, Literal

import torch

from ..errors import UsageError

#: a number as handouts print it
NUMBER = re.compile(r"-?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?")

#: numbers of an agreement that are kept, from the first on
SHOWN = 4


@dataclass(frozen=True)
class Claim:
    """Something that an entry says of one value, and what came out.

    Args:
        name: of the value.
        printed: as the handout prints it; or, where it prints nothing, what must come out.
        computed: what came out, as plain numbers and texts; None for a device that is not present.
        passed: whether it is as claimed.
        tolerance: how far from the claim it may be: a number, one for each figure, or None where
            the claim is a text or a range.
        derived: whether it was derived, as the handout prints nothing.
        shown: what came out, in words.
        held_to: how far it may be, in words.
    """

    name: str
    printed: str
    computed: Any
    passed: bool
    tolerance: float | list[float] | None = None
    derived: bool = False
    shown: str = ""
    held_to: str = ""


class Claims:
    """The claims of an entry, in order; each method makes one, keeps it and returns it.

    Attributes:
        claims: those that were made so far.
    """

    def __init__(self) -> None:
        self.claims: list[Claim] = []

    def figures(
        self,
        name: str,
        printed: str,
        computed: Any,
        *,
        derived: bool = False,
        optional: bool = False,
    ) -> Claim:
        """Claim numbers, each to the digits that are printed: half a unit in its last place.

        Args:
            name: of the value.
            printed: one number, or several in any brackets.
            computed: a number, a tensor, an array or a list of them.
            derived: whether the handout prints nothing.
            optional: whether it is about a device that may be absent. Then None passes.

        Raises:
            UsageError: if there is no number in what is printed.

        Example:
            >>> claims = Claims()
            >>> claims.figures("a", "[1.8200, 2.5950]", [1.82004, 2.595]).passed
            True
            >>> claims.figures("b", "[1.8200, 2.5950]", [1.82, 2.5951]).passed
            False
        """
        numbers = [Decimal(each) for each in NUMBER.findall(printed.replace("\N{MINUS SIGN}", "-"))]
        if not numbers:
            raise UsageError(f"{name}: there is no number in {printed!r}")
        if computed is None and optional:
            return self._add(_absent(name, printed, derived))
        halves = [float(half_unit(number)) for number in numbers]
        tolerance = halves[0] if len(set(halves)) == 1 else halves
        values, plain = _numbers(computed)
        passed = len(values) == len(numbers) and all(
            math.isfinite(value) and abs(Decimal(repr(value)) - number) <= half_unit(number)
            for value, number in zip(values, numbers, strict=True)
        )
        held_to = ", ".join(f"±{half:.1g}" for half in dict.fromkeys(halves))
        full = any(half < 1e-9 * abs(value) for half, value in zip(halves, values, strict=False))
        shown = _text(plain, full)
        return self._add(Claim(name, printed, plain, passed, tolerance, derived, shown, held_to))

    def agreement(
        self,
        name: str,
        printed: str,
        computed: Any,
        expected: Any,
        roundings: int = 0,
        dtype: Literal["float32", "float64"] = "float32",
        *,
        scale: float = 0.0,
        derived: bool = True,
        optional: bool = False,
    ) -> Claim:
        r"""Claim that numbers found in two ways differ by no more than rounding can do.

        .. math:: |x_i - y_i| \le r\,u\,s, \qquad u = \varepsilon / 2

        with the unit roundoff u of the dtype, the number r of roundings on the way to a result,
        and the scale s: the largest magnitude on that way. No roundings is equality bit for bit.

        Args:
            name: of the value.
            printed: the other way, in words.
            computed: numbers, in any nesting.
            expected: as many numbers, found in the other way.
            roundings: r, on the longer of both ways.
            dtype: in which was computed.
            scale: the largest magnitude on the way, where it is above that of the numbers.
            derived: whether the handout prints nothing.
            optional: whether it is about a device that may be absent. Then None passes.
        """
        if computed is None and optional:
            return self._add(_absent(name, printed, derived))
        (values, _), (others, _) = _numbers(computed), _numbers(expected)
        comparable = len(values) == len(others) > 0 and all(map(math.isfinite, values + others))
        apart = max(map(abs, map(sub, values, others))) if comparable else None
        largest = max([scale, *map(abs, values + others)]) if comparable else scale
        bound = roundings * torch.finfo(getattr(torch, dtype)).eps / 2 * largest
        kept = {
            "value": values[:SHOWN],
            "expected": others[:SHOWN],
            "count": len(values),
            "apart": apart,
            "scale": largest,
        }
        passed = apart is not None and apart <= bound
        held_to = f"±{bound:.1g}" if bound else "equality"
        shown = f"{len(values)} values"
        if 0 < len(values) <= SHOWN:
            shown = _text(values[0] if len(values) == 1 else values)
        if apart is None:
            shown += f", not comparable with {_text(others[:SHOWN])}"
        else:
            shown += f", at most {apart:.2g} apart" if apart else ", all equal"
        return self._add(Claim(name, printed, kept, passed, bound, derived, shown, held_to))

    def within(self, name: str, printed: str, low: Sequence[float], high: Sequence[float]) -> Claim:
        """Claim printed numbers, each of which must lie in a range that was measured.

        Args:
            name: of the values.
            printed: the numbers.
            low: the least value that was measured of each.
            high: the largest.
        """
        numbers = [float(number) for number in NUMBER.findall(printed)]
        passed = len(low) == len(high) == len(numbers) > 0 and all(
            least <= number <= most for least, number, most in zip(low, numbers, high, strict=True)
        )
        shown = ", ".join(f"{a:.3g} to {b:.3g}" for a, b in zip(low, high, strict=False))
        ends = {"low": list(low), "high": list(high)}
        return self._add(
            Claim(name, printed, ends, passed, shown=shown, held_to="the range that was measured")
        )

    def wording(self, name: str, printed: str, computed: Any, *, derived: bool = False) -> Claim:
        """Claim a text: a message, a list of names, an answer.

        Args:
            name: of the text.
            printed: the text; one that ends with … is a beginning.
            computed: what came out.
            derived: whether the handout prints nothing.
        """
        text = None if computed is None else str(computed)
        beginning = printed.removesuffix("…")
        passed = text is not None and (
            text.startswith(beginning) if printed != beginning else text == printed
        )
        return self._add(
            Claim(name, printed, text, passed, None, derived, _text(text), "the same text")
        )

    def _add(self, claim: Claim) -> Claim:
        if any(claim.name == other.name for other in self.claims):
            raise UsageError(f"{claim.name!r} is claimed twice: give each claim a name of its own")
        self.claims.append(claim)
        return claim


def half_unit(number: Decimal) -> Decimal:
    """Return half a unit in the last place of a number as it is written.

    Example:
        >>> half_unit(Decimal("17.4649")), half_unit(Decimal("6.4e-05")), half_unit(Decimal("36"))
        (Decimal('0.00005'), Decimal('5E-7'), Decimal('0.5'))
    """
    return Decimal(5).scaleb(int(number.as_tuple().exponent) - 1)


def _absent(name: str, printed: str, derived: bool) -> Claim:
    """Return the claim of a device that is not present, which fails nothing."""
    return Claim(name, printed, None, True, derived=derived, shown="not present")


def _numbers(value: Any) -> tuple[list[float], Any]:
    """Return all numbers of a nesting in order, and the nesting as lists; none if it has others."""
    try:
        plain = _lists(value)
    except (TypeError, ValueError):
        return [], None if value is None else str(value)
    return _flat(plain), plain


def _lists(value: Any) -> Any:
    if hasattr(value, "tolist"):  # a tensor, or what NumPy has
        value = value.tolist()
    if isinstance(value, str):
        raise TypeError(f"{value!r} is no number")
    return [_lists(part) for part in value] if isinstance(value, Sequence) else float(value)


def _flat(plain: Any) -> list[float]:
    return [each for part in plain for each in _flat(part)] if isinstance(plain, list) else [plain]


def _text(value: Any, full: bool = False) -> str:
    """Return a value in words; its numbers to eight digits, or in full."""
    if value is None:
        return "nothing"
    if isinstance(value, float):
        return repr(value) if full else f"{value:.8g}"
    return f"[{', '.join(_text(v, full) for v in value)}]" if isinstance(value, list) else value
