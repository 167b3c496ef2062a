r"""Which update rule an unknown optimizer follows: the variant that predicts what it does.

The optimizer is fed recorded random gradients. Each variant of the family predicts every step from
the parameters before it, and the one whose predictions are off by the least is what it is, if that
is rounding. Where the whole update is off by a factor :math:`c`, it is fitted,

.. math:: \min_c \sum_t \lVert \theta_{t-1} - c\,u_t - \theta_t \rVert^2

with the decay in :math:`u_t` where the learning rate multiplies it.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import UsageError
from .series import Series
from .stepping import Make
from .trace import ELSEWHERE, Setting, Trace, number_of, record
from .variants import DECAYS, MOST_DEPARTURES, Variant, variants

Array = NDArray[np.float64]

#: a factor of the update that is 1
_NEAR_ONE = 1e-9
#: errors of this part of the longest step are rounding of a state that is kept in float32
_SINGLE = 1e-6
#: how many steps a variant must fit before all are looked at; nothing changes in them
_EARLY = 12
#: of how many kinds, that begin the most like it, the nearest is looked for
_NEAREST = 20
#: of how many problems on which two differ the names are said
_NAMED = 3
#: kinds of hyperparameters, as a sentence says them
_KINDS = {"first": "the momentum or first beta", "second": "the second beta", "decay": "its decay"}


@dataclass(frozen=True)
class Identity:
    """What an optimizer is found to be.

    Attributes:
        name: of the variant, in words.
        departures: in which it is not the rule that its name begins with, in words.
        deviation: the largest difference between a prediction and what it did.
        longest: the longest step that it took, for comparison.
        steps: how many were predicted.
        precision: the one in whose rounding it is the variant, or "" if it is not.
        first: the first step at which more than rounding differs (from 1), or 0.
        elsewhere: where it is not that variant, or cannot be told, in words: the variant is found
            on a vector, and tried on `trace.ELSEWHERE`.
        reference: what is said where a reference, from which it differs, is the variant too.
        parted: on what they differ then, if they do the same wherever the variant was tried.
    """

    name: str
    departures: tuple[str, ...]
    deviation: float
    longest: float
    steps: int
    precision: str
    first: int
    elsewhere: tuple[str, ...] = ()
    reference: str = ""
    parted: str = ""

    def __str__(self) -> str:
        """Return it as a sentence."""
        if self.precision:
            equal = f"equal to {self.deviation:.0e}" if self.deviation else "equal bit for bit"
            how = ", which is rounding of float32" if self.precision == "float32" else ""
            tried = "on random gradients " if self.parted else ""
            tried = "on a vector " if self.elsewhere else tried
            trial = f"in a trial of {self.steps} steps"
            said = f"{tried}it is {self.name}{self.reference}: {equal} {trial}{how}"
            return "; ".join([said, *self.elsewhere, *([self.parted] if self.parted else [])])
        return (
            f"it is none of the variants that are known: the nearest is {self.name}, from which it "
            f"differs from step {self.first} on, by up to {self.deviation:.2g} where its longest "
            f"step is {self.longest:.2g}"
        )


def identify(
    make: Make, otherwise: Mapping[str, Any] | None = None, *, steps: int = 200, seed: int = 0
) -> Identity:
    """Find which update rule an optimizer follows.

    Args:
        make: makes the optimizer of parameters.
        otherwise: hyperparameters that it may have without saying so, by name.
        steps: how many are recorded, 48 or more.
        seed: of the gradients that it is fed.

    Returns:
        The variant with the fewest departures from its root that fits, or the nearest if none does;
        it is found on a vector, and where it is not that on a matrix, a number, several parameters,
        several groups or where gradients are missing, that is said.

    Raises:
        UsageError: if the steps are too few, or it takes none to finite numbers.

    Example:
        >>> import torch
        >>> print(identify(torch.optim.RMSprop).name)
        RMSprop with decay coupled
    """
    return _identified(make, otherwise or {}, steps, seed)[0]


def identify_beside(
    ours: Make, theirs: Make, parted: Sequence[str], *, steps: int = 200, seed: int = 0
) -> Identity:
    """Find which update rule an optimizer follows, and whether a reference follows it too.

    Args:
        ours: makes the optimizer; what it does not say of itself it has as the reference.
        theirs: makes the reference.
        parted: the names of the problems on which they differ.
        steps: how many are recorded.
        seed: of the gradients that they are fed.

    Raises:
        UsageError: as `identify`.
    """
    group = theirs([torch.nn.Parameter(torch.ones(2, 2))]).param_groups[0]
    found, match, fed = _identified(ours, group, steps, seed)
    if not found.precision:
        return found
    (trace,) = record(theirs, {}, steps, seed, decays=fed.decays)
    with np.errstate(all="ignore"):
        again = _Predictions(trace).match(match.variant, match.factor)
    if not again.precision:
        return found
    others = [
        f"{_KINDS.get(kind, kind)} = {fed.made[kind]:.6g} where that has {value:.6g}"
        for kind, value in trace.made.items()
        if value != fed.made[kind] and number_of(group, kind) is not None
    ]
    said = f", as the reference is{', but with ' if others else ''}{', '.join(others)}"
    more = f" and {len(parted) - _NAMED} more" if len(parted) > _NAMED else ""
    differ = f"they differ on {', '.join(parted[:_NAMED])}{more}"
    return replace(
        found, reference=said, parted="" if others or found.elsewhere or not parted else differ
    )


def _identified(
    make: Make, otherwise: Mapping[str, Any], steps: int, seed: int
) -> tuple[Identity, "_Match", Trace]:
    """Return what an optimizer is, the variant with its factor, and what it was fed on a vector."""
    if steps < 4 * _EARLY:
        raise UsageError(f"steps = {steps}: give {4 * _EARLY} or more")
    (trace,) = record(make, otherwise, steps, seed)
    if not len(trace.gradients):
        raise UsageError("its parameters are not finite after one step")
    if not np.diff(trace.parameters, axis=0).any():
        raise UsageError("none of its steps moves a parameter")
    match = _search(trace)
    found = _identity(match, _allowed(trace))
    if found.precision:
        found = _tried_elsewhere(
            found, match, steps, lambda where: record(make, otherwise, steps, seed, where)
        )
    return found, match, trace


def _tried_elsewhere(
    found: Identity, match: "_Match", steps: int, recorded: Callable[[Setting], list[Trace]]
) -> Identity:
    """Hold a variant that was found on a vector against the optimizer elsewhere."""
    another: list[str] = []
    untold: list[str] = []
    for setting in ELSEWHERE:
        try:
            traces = recorded(setting)
        except Exception:  # whatever an optimizer does not take
            untold.append(setting.where)
            continue
        with np.errstate(all="ignore"):
            again = [_Predictions(each).match(match.variant, match.factor) for each in traces]
        ended = found.steps == steps and any(  # where it went on to the end on a vector
            len(each.errors) < setting.present(index, steps).sum()
            for index, each in enumerate(again)
        )
        if ended or not all(each.precision for each in again):
            another.append(setting.where)
            continue
        for each in again:
            largest = max(found.deviation, float(each.errors.max(initial=0.0)))
            single = "float32" in (found.precision, each.precision)
            precision = "float32" if single else "float64"
            found = replace(found, deviation=largest, precision=precision)
    said = ((another, "it is another"), (untold, "it cannot be told"))
    clauses = tuple(f"{_listed(each)} {what}" for each, what in said if each)
    return replace(found, elsewhere=clauses)


def _listed(words: Sequence[str]) -> str:
    """Return words with commas and an "and" between."""
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


@dataclass(frozen=True)
class _Match:
    """How well a variant predicts: its errors, and the largest in units of what is allowed."""

    variant: Variant
    factor: float
    errors: Array
    excess: float
    longest: float

    @property
    def words(self) -> tuple[str, ...]:
        """What is said of the factor."""
        if abs(self.factor - 1) <= _NEAR_ONE:
            return ()
        if abs(self.factor + 1) <= _NEAR_ONE:
            return ("the wrong sign of lr",)
        return (f"lr multiplied by {self.factor:.10g}",)

    @property
    def precision(self) -> str:
        """The precision in whose rounding the variant predicts, or nothing."""
        if self.excess <= 1:
            return "float64"
        return "float32" if self.errors.max() <= _SINGLE * self.longest else ""


def _search(trace: Trace) -> _Match:
    """Go through the variants by their departures, of which a factor is one, until one fits.

    Those that cannot fit the first steps, in which nothing changes, are passed over.
    """
    whole, early = _Predictions(trace), _Predictions(trace.first(_EARLY))
    ranked: list[tuple[float, list[Variant]]] = []
    scaled = None
    with np.errstate(all="ignore"):
        for departures in range(MOST_DEPARTURES + 1):
            possible: list[Variant] = []
            for alike in _alike(departures, trace):
                matches = early.of(alike[:1])
                possible += alike if any(each.precision for each in matches) else []
                ranked.append((min((each.excess for each in matches), default=np.inf), alike))
            found = whole.of(possible)
            plain = _best([each for each in found if not each.words])
            for each in (plain, scaled):
                if each is not None and each.precision:
                    return each
            scaled = _best([each for each in found if each.words])
        ranked.sort(key=lambda each: each[0])
        nearest = _best(whole.of(v for _, alike in ranked[:_NEAREST] for v in alike))
    if nearest is None:
        raise UsageError("no variant that is known predicts finite numbers")
    return nearest


def _alike(departures: int, trace: Trace) -> Iterable[list[Variant]]:
    """Return the variants that have some departures, those together that begin the same."""
    groups: dict[tuple[str, ...], list[Variant]] = defaultdict(list)
    for variant in variants(departures, trace.decays):
        later = {"decay", "values"}  # there is no decay at first, unless it is that of the making
        if trace.made["decay"] and variant["values"].startswith("decay"):
            later = set()
        key = (word for axis, word in variant.choices.items() if axis not in later)
        groups[(variant.root, *key, "" if later else variant["decay"])].append(variant)
    return groups.values()


def _best(matches: Sequence[_Match]) -> _Match | None:
    return min(matches, key=lambda each: each.excess, default=None)


class _Predictions:
    """What variants predict of a trace."""

    def __init__(self, trace: Trace) -> None:
        self.trace, self.series, self.allowed = trace, Series(trace), _allowed(trace)
        self.longest = float(np.abs(np.diff(trace.parameters, axis=0)).max(initial=0.0))

    def of(self, chosen: Iterable[Variant]) -> list[_Match]:
        """Return how well variants predict, each with the factor 1 and a fitted one."""
        return [match for variant in chosen for match in self._matches(variant)]

    def _matches(self, variant: Variant) -> Iterator[_Match]:
        update, shrink = self._pieces(variant)
        for given in (1.0, None):
            factor = given or _fitted(variant, self.trace, update, shrink)
            match = self._match(variant, factor, update, shrink)
            if np.isfinite(match.excess):
                yield match
            if match.excess <= 1:
                return

    def match(self, variant: Variant, factor: float) -> _Match:
        """Return how well a variant predicts with a factor."""
        return self._match(variant, factor, *self._pieces(variant))

    def _pieces(self, variant: Variant) -> tuple[Array, Array | None]:
        decays = variant["decay"] in DECAYS
        return self.series.update(variant), self.series.decay(variant) if decays else None

    def _match(
        self, variant: Variant, factor: float, update: Array, shrink: Array | None
    ) -> _Match:
        predicted, _ = _predicted(variant, self.trace, update, shrink, factor)
        errors = np.abs(predicted - self.trace.parameters[1:])
        excess = float((errors / self.allowed).max(initial=0.0))
        return _Match(variant, factor, errors, excess, self.longest)


def _allowed(trace: Trace) -> Array:
    """Return what rounding may make of each step, as where two optimizers are compared, (T, 1)."""
    size = np.abs(trace.parameters).max(axis=1)
    way = np.abs(np.diff(trace.parameters, axis=0)).max(axis=1)
    reach = np.maximum.accumulate(size)[1:] + np.cumsum(way)
    steps = np.arange(1, len(way) + 1)
    return np.asarray(4 * np.finfo(np.float64).eps * (steps + 8) * reach)[:, None]


def _predicted(
    variant: Variant, trace: Trace, update: Array, shrink: Array | None, factor: float
) -> tuple[Array, Array]:
    """Return the parameters that are predicted with a factor, and their slopes along it."""
    before = trace.parameters[:-1]
    how = DECAYS.get(variant["decay"])
    if how is None or shrink is None or how.place == "coupled":
        return before - factor * update, -update
    part, slope = (factor * shrink, shrink) if how.times_lr else (shrink, np.zeros_like(shrink))
    if how.place == "decoupled":
        return before - part * before - factor * update, -update - slope * before
    moved = before - factor * update
    return moved * (1 - part), -update * (1 - part) - slope * moved


def _fitted(variant: Variant, trace: Trace, update: Array, shrink: Array | None) -> float:
    """Return the factor that fits best, by Gauss-Newton steps: one where it is linear."""
    factor = 1.0
    for _ in range(4 if variant["decay"].startswith("decay after") else 1):
        predicted, slope = _predicted(variant, trace, update, shrink, factor)
        length = float((slope * slope).sum())
        if not 0 < length < np.inf:
            return 1.0
        factor += float((slope * (trace.parameters[1:] - predicted)).sum()) / length
    return factor


def _identity(match: _Match, allowed: Array) -> Identity:
    wrong = (match.errors > allowed).any(axis=1)
    return Identity(
        match.variant.described(match.words),
        match.variant.departures + match.words,
        float(match.errors.max(initial=0.0)),
        match.longest,
        len(match.errors),
        match.precision,
        int(wrong.argmax()) + 1 if wrong.any() else 0,
    )
