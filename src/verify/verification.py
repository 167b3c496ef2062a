"""All problems, in each precision: the verdict, as text and as JSON."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, TypeVar

import torch
from torch.optim import Optimizer

from ..errors import UsageError
from ..internals.lightning import same_draws
from .comparison import Outcome, run
from .housekeeping import faults
from .hyperparameters import idle
from .identification import Identity, identify_beside
from .limits import Cost, StableRate, cost, stable_rate
from .problems import problems
from .speed import Convergence, Regret, convergence, regret
from .stepping import Make

T = TypeVar("T")

#: the precisions in which two optimizers are compared, by name
PRECISIONS = {"float64": torch.float64, "float32": torch.float32}


class OptimizerDiffersError(AssertionError):
    """An optimizer does not do what its reference does; the message is the report."""


@dataclass(frozen=True)
class Verification:
    """What came out of an optimizer beside a reference.

    Attributes:
        candidate: the name of the one that was looked at.
        reference: the name of the one that it was held against.
        hyperparameters: what both were made with.
        outcomes: one for each problem and precision.
        idle: the hyperparameters that change no step, though they do for the reference or it has
            none of the name.
        working: those that change one.
        faults: what it does not keep and the reference does.
        kept: the names of the checks that hold.
        identity: where steps differ, which update rule it is, or why that cannot be told.
        rate: the largest stable learning rate, where the reference's is known in closed form.
        cost: of a step, beside one of the reference; None where one takes no dense gradients.
        convergence: how fast errors shrink, where the reference's factor is known in closed form.
        regret: on a stream of convex losses; None where one does not take it.
    """

    candidate: str
    reference: str
    hyperparameters: dict[str, Any]
    outcomes: tuple[Outcome, ...]
    idle: tuple[str, ...] = ()
    working: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    identity: Identity | str = ""
    rate: StableRate | None = None
    cost: Cost | None = None
    convergence: Convergence | None = None
    regret: Regret | None = None

    @property
    def holds(self) -> bool:
        """Whether it did as the reference on all problems, and nothing else is wrong."""
        return not (self.idle or self.faults) and all(each.holds for each in self.outcomes)

    @property
    def compared(self) -> list[Outcome]:
        """The outcomes that say something: of problems that the reference takes."""
        return [outcome for outcome in self.outcomes if not outcome.skipped]

    @property
    def verdict(self) -> str:
        """The verdict in one sentence."""
        count, wrong = len(self.compared), sum(not outcome.holds for outcome in self.compared)
        if wrong:
            return (
                f"{self.candidate} is not {self.reference}: they differ in {wrong} of "
                f"{count} comparisons"
            )
        largest = max(outcome.largest for outcome in self.compared)
        how = "bit for bit" if largest == 0 else f"to {largest:.2g}, which is rounding"
        equal = f"equal {how} in {count} comparisons"
        if self.holds:
            return f"{self.candidate} is {self.reference}: {equal}"
        return (
            f"{self.candidate} steps as {self.reference}, {equal}, but is not used as it: see IDLE "
            "and WRONG below"
        )

    @property
    def findings(self) -> list[tuple[str, str, str]]:
        """What the verdict rests on, line by line: a word for it, where, and the evidence."""
        found = [_finding(outcome) for outcome in self.outcomes]
        found += [("IDLE", name, "no value that was tried changes a step") for name in self.idle]
        found += [("WRONG", *_parted(fault)) for fault in self.faults]
        others = {
            "works": ", ".join(self.working),
            "keeps": ", ".join(self.kept),
            "stable": self.rate,
            "speed": self.convergence,
            "regret": self.regret,
            "costs": self.cost,
        }
        return [*found, *((word, "", str(each)) for word, each in others.items() if each)]

    @property
    def made_with(self) -> str:
        """What both were made with."""
        given = ", ".join(f"{key} = {value}" for key, value in self.hyperparameters.items())
        return f"both made with {given or 'their defaults'}"

    def __str__(self) -> str:
        """Return the report: the verdict first, then what it rests on."""
        lines = [self.verdict, *([str(self.identity)] if self.identity else []), self.made_with]
        lines += [
            f"  {word:<8} {f'{where}: ' if where else ''}{what}"
            for word, where, what in self.findings
        ]
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """Return all that was found, for `json.dump`."""
        return {
            "candidate": self.candidate,
            "reference": self.reference,
            "hyperparameters": {key: str(value) for key, value in self.hyperparameters.items()},
            "holds": self.holds,
            "verdict": self.verdict,
            "identity": asdict(self.identity)
            if isinstance(self.identity, Identity)
            else self.identity,
            "idle": self.idle,
            "working": self.working,
            "faults": self.faults,
            "kept": self.kept,
            "rate": self.rate and asdict(self.rate),
            "cost": self.cost and asdict(self.cost),
            "convergence": self.convergence and asdict(self.convergence),
            "regret": self.regret and asdict(self.regret),
            "outcomes": [{**asdict(each), "holds": each.holds} for each in self.outcomes],
        }


def compare(
    candidate: Callable[..., Optimizer],
    reference: Callable[..., Optimizer],
    *,
    steps: int = 1000,
    dtypes: Sequence[str] = ("float64",),
    **hyperparameters: Any,
) -> Verification:
    """Hold an optimizer against a reference, step by step, on the same gradients.

    Args:
        candidate: a class of optimizers, or a function of parameters that makes one.
        reference: likewise.
        steps: how many on each problem.
        dtypes: of "float64" and "float32", those to compare in.
        hyperparameters: given to both.

    Raises:
        UsageError: if one of them does not take the hyperparameters or makes no optimizer, or
            steps or dtypes are out of range.
    """
    if steps < 1:
        raise UsageError(f"steps = {steps}: give 1 or more")
    for name in dtypes:
        if name not in PRECISIONS:
            raise UsageError(f"dtype {name}: give {' or '.join(PRECISIONS)}")
    with same_draws():  # whatever an optimizer seeds or draws
        return _compared(candidate, reference, steps, dtypes, hyperparameters)


def _compared(
    candidate: Callable[..., Optimizer],
    reference: Callable[..., Optimizer],
    steps: int,
    dtypes: Sequence[str],
    hyperparameters: dict[str, Any],
) -> Verification:
    """Return the report of `compare`, which leaves the random generators as they were."""
    ours, theirs = (maker(each, hyperparameters) for each in (candidate, reference))
    outcomes = [
        run(ours, theirs, problem, PRECISIONS[name], steps)
        for name in dtypes
        for problem in problems()
    ]
    if all(outcome.skipped for outcome in outcomes):
        raise UsageError(
            f"{_name(candidate)} could be held against {_name(reference)} on none of the problems: "
            f"{outcomes[0].skipped}"
        )
    nothing, something = idle(candidate, hyperparameters)
    if nothing:
        excused = idle(reference, hyperparameters)[0]
        nothing = [name for name in nothing if name not in excused]
    wrong, kept = faults(ours, theirs)
    return Verification(
        _name(candidate),
        _name(reference),
        hyperparameters,
        tuple(outcomes),
        tuple(nothing),
        tuple(something),
        tuple(wrong),
        tuple(kept),
        _identified(ours, theirs, outcomes),
        _if_it_can(stable_rate, ours, theirs),
        _if_it_can(cost, ours, theirs),
        _if_it_can(convergence, ours, theirs),
        _if_it_can(regret, ours, theirs),
    )


def verify(
    candidate: Callable[..., Optimizer],
    reference: Callable[..., Optimizer],
    *,
    steps: int = 1000,
    dtypes: Sequence[str] = ("float64",),
    **hyperparameters: Any,
) -> Verification:
    """Return the report of `compare`, for a test: what differs is raised.

    Args:
        candidate: a class of optimizers, or a function of parameters that makes one.
        reference: likewise.
        steps: how many on each problem.
        dtypes: of "float64" and "float32", those to compare in.
        hyperparameters: given to both.

    Raises:
        OptimizerDiffersError: (an AssertionError) with the report, if they differ.
        UsageError: as `compare`.

    Example:
        >>> from descentlab.optimizers import Adam
        >>> print(verify(Adam, torch.optim.Adam, lr=1e-3, steps=20).holds)
        True
    """
    found = compare(candidate, reference, steps=steps, dtypes=dtypes, **hyperparameters)
    if not found.holds:
        raise OptimizerDiffersError(str(found))
    return found


def maker(make: Callable[..., Optimizer], hyperparameters: dict[str, Any]) -> Make:
    """Return what makes an optimizer with hyperparameters, after a trial.

    Raises:
        UsageError: if it does not take them, or makes no optimizer.
    """
    if not callable(make):
        raise UsageError(
            f"{make!r} makes no optimizer: give a class, as torch.optim.SGD, or a function of "
            "parameters that makes one"
        )
    trial = [torch.nn.Parameter(torch.ones(2, 2))]
    try:
        made = make(trial, **hyperparameters)
    except Exception as error:  # whatever it does not take
        _refuse_one_for_several(make, hyperparameters)
        given = ", ".join(f"{key} = {value}" for key, value in hyperparameters.items())
        raise UsageError(
            f"{_name(make)} cannot be made with {given or 'no values'}: {error}"
        ) from error
    if not isinstance(made, Optimizer):
        raise UsageError(
            f"{_name(make)} makes a {type(made).__name__}: give a class of torch.optim.Optimizer, "
            "or a function of parameters that makes one"
        )
    return partial(make, **hyperparameters)


def _refuse_one_for_several(
    make: Callable[..., Optimizer], hyperparameters: dict[str, Any]
) -> None:
    """Raise UsageError where a value is one where the default has several, or of another length."""
    try:
        arguments = inspect.signature(make).parameters
    except (TypeError, ValueError):  # one that does not say what it takes
        return
    for name, value in hyperparameters.items():
        usual = arguments[name].default if name in arguments else None
        count = len(value) if isinstance(value, tuple | list) else 1
        if isinstance(usual, tuple | list) and count != len(usual):
            numbers = ",".join(map(str, usual))
            raise UsageError(
                f"{name} = {value}: give {len(usual)} numbers, as --{name} {numbers}, or in Python "
                f"{name}={usual}"
            )


def _identified(ours: Make, theirs: Make, outcomes: Sequence[Outcome]) -> Identity | str:
    """Return which rule it is where they differ."""
    parted = list(dict.fromkeys(each.problem for each in outcomes if not each.holds))
    if not parted:
        return ""
    try:
        return identify_beside(ours, theirs, parted)
    except Exception as error:  # whatever an optimizer does not take
        return f"which update rule it is cannot be told: {error}"


def _if_it_can(measure: Callable[[Make, Make], T], ours: Make, theirs: Make) -> T | None:
    """Measure what is no promise: an optimizer that does not take it is not measured."""
    try:
        return measure(ours, theirs)
    except Exception:  # whatever an optimizer does not take
        return None


def _name(make: Callable[..., Any]) -> str:
    inner = make.func if isinstance(make, partial) else make
    return f"{inner.__module__}.{getattr(inner, '__qualname__', type(inner).__name__)}"


def _finding(outcome: Outcome) -> tuple[str, str, str]:
    """Return what came out on a problem, as a word, where, and the evidence."""
    place = f"{outcome.problem} ({outcome.dtype})"
    if outcome.skipped:
        return "skipped", place, outcome.skipped
    if outcome.error:
        return "FAILS", place, outcome.error
    if outcome.parameter:
        state = f"; first in a state at {outcome.state}" if outcome.state else ""
        return "DIFFERS", place, f"{outcome.parameter}{state}"
    state = f", though a state differs at {outcome.state}" if outcome.state else ""
    how = "bit for bit" if outcome.largest == 0 else f"to {outcome.largest:.2g}"
    return "equal", place, f"{how}, {outcome.steps} steps{state}"


def _parted(fault: str) -> tuple[str, str]:
    """Return the check that a fault is of, and what is wrong."""
    where, _, what = fault.partition(": ")
    return (where, what) if what else ("", where)
