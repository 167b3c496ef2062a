"""How large the learning rate of an optimizer may be, and what a step of it costs."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.utils.benchmark import Timer

from ..errors import RunError
from ..optimizers.stability import Settling, largest_stable_rate, predicted_rate
from .stepping import Make

_CURVATURES = (1.0, 0.3, 0.01)
_PRECISION = 2e-4  # of the observed rate, relative to it
_MOST = 10_000  # steps, within which it turns whether they settle; finding where is bounded then
_TINY = 2.0**-30  # a learning rate at which a first step that goes uphill is none that overshoots
_ENTRIES = 1000  # of the parameter that is stepped for its cost
_SECONDS = 0.05  # of measurement


@dataclass(frozen=True)
class StableRate:
    """Below which learning rate steps settle on a quadratic of largest curvature 1.

    Attributes:
        predicted: of the reference, by the closed form.
        observed: of the optimizer, by its own steps; None where no rate was found.
        steps: how many the optimizer was asked for.
    """

    predicted: float
    observed: float | None
    steps: int = 0

    def __str__(self) -> str:
        """Return it as part of a report."""
        found = f"no such rate was found within {self.steps:,} steps"
        found = found if self.observed is None else f"{self.observed:.4g}"
        return f"lr below {self.predicted:.4g} predicted on a curvature of 1; observed: {found}"


@dataclass(frozen=True)
class Cost:
    """What an optimizer takes beside its reference, as ratios, for a vector of 1,000 entries.

    Attributes:
        time: of a step, by the medians.
        memory: of the tensors in its state; None where the reference keeps none.
    """

    time: float
    memory: float | None

    def __str__(self) -> str:
        """Return it as part of a report."""
        memory = "" if self.memory is None else f", {self.memory:.3g} times the memory of its state"
        return f"{self.time:.3g} times the time of the reference's step{memory}"


def stable_rate(ours: Make, theirs: Make) -> StableRate | None:
    r"""Predict the largest stable learning rate of a reference, and observe that of an optimizer.

    .. math:: L(\theta) = \tfrac12 \sum_i \lambda_i \theta_i^2, \qquad \max_i \lambda_i = 1

    Args:
        ours: makes the optimizer.
        theirs: makes the reference.

    Returns:
        Both; None where the reference's is not known in closed form, as that of Adam, or the
        optimizer's groups have no lr.

    Example:
        >>> from descentlab.optimizers import GradientDescent
        >>> print(stable_rate(GradientDescent, torch.optim.SGD))
        lr below 2 predicted on a curvature of 1; observed: 2
    """
    weights = torch.tensor(_CURVATURES, dtype=torch.float64)
    theta = torch.nn.Parameter(torch.ones_like(weights))
    predicted = predicted_rate(theirs([theta]), float(weights.max()))
    if predicted is None or not any("lr" in group for group in ours([theta]).param_groups):
        return None

    def loss() -> Tensor:
        return (weights * theta**2).sum() / 2

    settles = Settling(loss, [theta], lambda: ours([theta]))
    if settles.loss_after(_TINY, 1) > float(loss().detach()):
        return StableRate(predicted, None, 1)
    answers: set[bool] = set()

    def asked(rate: float) -> bool:
        answer = settles(rate)
        if len(answers) < 2 and settles.taken > _MOST:
            raise RunError(f"at no rate it turned in {settles.taken} steps whether they settle")
        answers.add(answer)
        return answer

    try:
        observed = largest_stable_rate(asked, _PRECISION)
    except RunError:
        return StableRate(predicted, None, settles.taken)
    return StableRate(predicted, observed, settles.taken)


def cost(ours: Make, theirs: Make) -> Cost:
    """Measure a step of an optimizer beside one of its reference, on as many threads as torch has.

    Args:
        ours: makes the optimizer.
        theirs: makes the reference.
    """
    (time, memory), (their_time, their_memory) = map(_measured, (ours, theirs))
    return Cost(time / their_time, memory / their_memory if their_memory else None)


def _measured(make: Make) -> tuple[float, int]:
    """Return the seconds of a step, as a median, and the bytes of the state after it."""
    parameter = torch.nn.Parameter(torch.ones(_ENTRIES))
    parameter.grad = torch.full_like(parameter, 1e-3)
    optimizer = make([parameter])
    timer = Timer(
        "step(closure)",
        globals={"step": optimizer.step, "closure": lambda: 0.0},
        num_threads=torch.get_num_threads(),
    )
    seconds = timer.blocked_autorange(min_run_time=_SECONDS).median
    return seconds, _bytes(optimizer)


def _bytes(optimizer: Optimizer) -> int:
    tensors = [
        value
        for state in optimizer.state.values()
        for value in state.values()
        if isinstance(value, Tensor)
    ]
    return sum(each.numel() * each.element_size() for each in tensors)
