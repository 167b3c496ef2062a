"""The paths of two optimizers on one problem, beyond the step at which they part."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .comparison import Outcome
from .problems import problems
from .rounding import Allowance
from .stepping import Make, Stepper, together

Values = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Paths:
    """Where two optimizers go on one problem, n numbers over T steps.

    Attributes:
        ours: of the candidate, (T + 1, n).
        theirs: of the reference, (T + 1, n).
        allowed: the most that rounding may make of a difference, of any parameter, (T + 1,).
    """

    ours: Values
    theirs: Values
    allowed: Values


def paths(ours: Make, theirs: Make, outcome: Outcome, steps: int) -> Paths:
    """Step two optimizers over the problem of an outcome, whether or not they part on the way.

    Args:
        ours: makes the candidate.
        theirs: makes the reference.
        outcome: what came out there; not one that was skipped.
        steps: how many at most: fewer where one raises, or the reference is not finite.
    """
    problem = next(each for each in problems() if each.name == outcome.problem)
    dtype = getattr(torch, outcome.dtype)
    reference = Stepper(theirs, problem, dtype, steps)
    expected, allowed = [reference.flat()], [0.0]
    found = expected[:]
    with suppress(Exception):  # whatever goes wrong in a candidate, the table says it
        candidate = Stepper(ours, problem, dtype, steps)
        keys = candidate.keys & reference.keys
        allowance = Allowance(reference, keys)
        for step, values in together(candidate, reference, keys, steps):
            allowance.take(values)
            expected.append(values)
            found.append(candidate.flat())
            most = max(allowance.after(step))
            if np.abs(found[-1] - values).max() > most:
                most = max(allowance.measured(step))
            allowed.append(most)
    return Paths(np.array(found), np.array(expected), np.array(allowed))
