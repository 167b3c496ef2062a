r"""How much rounding may make of the difference between two optimizers that do the same.

Two that do the same arithmetic in another order differ by rounding, for which is allowed, after
:math:`t` steps,

.. math:: 4\,\epsilon\,(t + 8)\,\Bigl(\max_{s \le t}\lvert\theta_s\rvert +
    \sum_{s \le t}\lvert\theta_s - \theta_{s-1}\rvert\Bigr)

with the largest entries of each tensor, and :math:`\epsilon` the spacing of its precision at 1.

Some optimizers make more of it: where a gradient and a coupled decay cancel, Adam divides what is
left, rounding and all, by its own size. So where more is found, it is measured what the reference
makes of rounding: it is stepped beside itself with its start and each gradient multiplied by
:math:`1 \pm \epsilon` at random, and 8 times the most that has come of it until then is allowed.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from .problems import Problem
from .stepping import Make, Stepper, Values, together

#: by what the most that has come of a change in the last digit is multiplied, and of how many runs
_TIMES, _RUNS = 8.0, 3


class Allowance:
    """How much rounding may make of each parameter, from the path of the reference.

    Args:
        reference: before its first step.
        keys: the hyperparameters that are changed, where the problem does that.
    """

    def __init__(self, reference: Stepper, keys: set[str]) -> None:
        self.reference, self.keys = reference, keys
        sizes = [each.numel() for each in reference.parameters]
        self._spacing = 4 * torch.finfo(reference.parameters[0].dtype).eps
        self._last = reference.flat()
        self._filled = [index for index, size in enumerate(sizes) if size]
        self._starts = np.cumsum([0, *sizes[:-1]])[self._filled]
        self._count = len(sizes)
        self._reach, self._way = self._tops(self._last), np.zeros(len(self._filled))
        self._made, self._measured = np.zeros(len(self._filled)), 0
        self._runs: list[Iterator[Values]] = []

    def _tops(self, values: Values) -> Values:
        """Return the largest magnitude in each parameter that has entries."""
        tops: Values = np.maximum.reduceat(np.abs(values), self._starts)
        return tops

    def take(self, values: Values) -> None:
        """Take where the reference is after its next step."""
        self._reach = np.maximum(self._reach, self._tops(values))
        self._way = self._way + self._tops(values - self._last)
        self._last = values

    def after(self, step: int) -> list[float]:
        """Return what is allowed of each parameter after a number of steps, by the formula."""
        return self._of_all(self._formula(step))

    def measured(self, step: int) -> list[float]:
        """Return what is allowed where that is exceeded, by what the reference makes of it."""
        self._runs = self._runs or [self._run(seed) for seed in range(_RUNS)]
        for _ in range(self._measured, step):
            for run in self._runs:
                self._made = np.maximum(self._made, next(run, 0.0))
        self._measured = step
        return self._of_all(np.maximum(self._formula(step), _TIMES * self._made))

    def _formula(self, step: int) -> Values:
        allowed: Values = self._spacing * (step + 8) * (self._reach + self._way)
        return allowed

    def _of_all(self, allowed: Values) -> list[float]:
        of = [0.0] * self._count
        for index, most in zip(self._filled, allowed.tolist(), strict=True):
            of[index] = most
        return of

    def _run(self, seed: int) -> Iterator[Values]:
        """Yield how far the reference is from itself after each step, as long as it is finite."""
        of = self.reference
        again = Stepper(of.make, of.problem, of.dtype, of.steps)
        try:
            shaken = Shaken(of.make, of.problem, of.dtype, of.steps, seed)
            for _, values in together(shaken, again, self.keys, of.steps):
                tops = self._tops(shaken.flat() - values)
                if not np.isfinite(tops).all():
                    return
                yield tops
        except Exception:  # whatever it does not take
            return


class Shaken(Stepper):
    """A stepper whose start and gradients are changed in their last digit, at random."""

    def __init__(
        self, make: Make, problem: Problem, dtype: torch.dtype, steps: int, seed: int
    ) -> None:
        super().__init__(make, problem, dtype, steps)
        self._draw = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for each in self.parameters:
                each.copy_(self._shaken(each))

    def step(self, step: int, gradients: Sequence[Tensor | None], by_closure: bool = False) -> None:
        """Take one step with changed copies of some gradients."""
        changed = [None if each is None else self._shaken(each) for each in gradients]
        super().step(step, changed, by_closure)

    def _shaken(self, values: Tensor) -> Tensor:
        """Return values of which each is multiplied by 1 + eps or 1 - eps."""
        dense = values.to_dense() if values.is_sparse else values
        signs = 2 * torch.randint(2, dense.shape, generator=self._draw).to(dense.dtype) - 1
        changed = dense * (1 + torch.finfo(dense.dtype).eps * signs)
        return changed.to_sparse() if values.is_sparse else changed
