"""How fast an optimizer gets near a minimiser, and what it loses on a stream of losses."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.optim import Optimizer

from ..optimizers.stability import LINEAR, common_settings
from .stepping import Make, take_step

Array = NDArray[np.float64]

_CURVATURES = (1.0, 0.1, 0.01)
_STEPS = 40  # from which a factor is told
_LINEAR = 1e-6  # of what a recurrence leaves over, relative to the path: rounding of float32
_SAME = 1e-3  # of how far two factors are from 1, relative to it
_LOSSES = 600  # of a stream, in rounds of three
_SLOPES = (3.0, -1.0, -1.0)  # of the losses of a round, on [-1, 1]


@dataclass(frozen=True)
class Convergence:
    """By which factor a step shrinks the distance to the minimiser of a quadratic, in the end.

    Attributes:
        predicted: of the reference, by the closed form.
        observed: of the optimizer, by its own steps; None where they are not linear in it.
    """

    predicted: float
    observed: float | None

    def __str__(self) -> str:
        """Return it as part of a report."""
        found = "no such factor"
        if self.observed is not None:
            off = abs(self.observed - self.predicted)
            differs = off > max(_SAME * abs(1 - self.predicted), 1e-9)
            found = f"{self.observed:.8g}{', which differs' if differs else ''}"
        return (
            f"{self.predicted:.8g} times the error after each step, predicted on curvatures "
            f"{_CURVATURES[-1]:g} to {_CURVATURES[0]:g}; observed: {found}"
        )


@dataclass(frozen=True)
class Regret:
    r"""What an optimizer lost a loss, beyond the best fixed number, on a stream of convex losses.

    Attributes:
        average: over the whole stream.
        power: p, where the average falls as :math:`t^p` over the last three quarters of it; None
            where it is not above 0.
        reference_average: of the reference.
        reference_power: of the reference.
    """

    average: float
    power: float | None
    reference_average: float
    reference_power: float | None

    def __str__(self) -> str:
        """Return it as part of a report."""
        ours, theirs = (
            f"{average:.3g}{'' if power is None else f', going as t^{power:.2f}'}"
            for average, power in (
                (self.average, self.power),
                (self.reference_average, self.reference_power),
            )
        )
        return f"on average {ours}; the reference's: {theirs} ({_LOSSES} convex losses, lr 1/√t)"


def convergence(ours: Make, theirs: Make) -> Convergence | None:
    r"""Predict by which factor a step of a reference shrinks an error, and observe an optimizer's.

    .. math:: L(\theta) = \tfrac12 \sum_i \lambda_i \theta_i^2, \qquad
        \theta_{t+1} = a_i\,\theta_t - b_i\,\theta_{t-1}

    The factor is the largest magnitude of a root of :math:`z^2 = a z - b`. With the learning rate
    :math:`\gamma`, momentum :math:`\mu`, dampening :math:`\tau` and decay w in
    :math:`\lambda' = \lambda + w`, it is of :math:`a = 1 + \mu - \gamma (1 - \tau) \lambda'` and
    :math:`b = \mu`; in Nesterov's form of :math:`a = (1 + \mu)(1 - \gamma \lambda')` and
    :math:`b = \mu (1 - \gamma \lambda')`.

    Args:
        ours: makes the optimizer.
        theirs: makes the reference.

    Returns:
        Both, at the learning rates that they are made with, on the curvature where it is largest;
        None where the reference's is not known in closed form, as that of Adam.

    Reference:
        Polyak (1964), "Some methods of speeding up the convergence of iteration methods".

    Example:
        >>> from functools import partial
        >>> sgd = partial(torch.optim.SGD, lr=1.5)
        >>> print(convergence(sgd, sgd))
        0.985 times the error after each step, predicted on curvatures 0.01 to 1; observed: 0.985
    """
    theta = torch.nn.Parameter(torch.ones(len(_CURVATURES), dtype=torch.float64))
    predicted = [_predicted(theirs([theta]), curvature) for curvature in _CURVATURES]
    known = [each for each in predicted if each is not None]
    if len(known) < len(predicted):
        return None
    path, twice = _path(ours), _path(ours, 2.0)
    finite = np.isfinite(path).all()
    if not finite or not np.allclose(twice, 2 * path, rtol=0, atol=_LINEAR * np.abs(path).max()):
        return Convergence(max(known), None)
    found = [each for each in map(_observed, path.T) if each is not None]
    return Convergence(max(known), max(found) if len(found) == len(known) else None)


def _predicted(optimizer: Optimizer, curvature: float) -> float | None:
    settings = common_settings(optimizer, LINEAR)
    if settings is None:
        return None
    keep, rate = settings.get("momentum", 0.0), settings["lr"]
    kept = rate * (curvature + settings.get("weight_decay", 0.0))
    if not keep:
        return abs(float(1 - kept))
    if settings.get("nesterov"):
        return _largest_root((1 + keep) * (1 - kept), keep * (1 - kept))
    return _largest_root(1 + keep - kept * (1 - settings.get("dampening", 0.0)), keep)


def _largest_root(a: float, b: float) -> float:
    """Return the largest magnitude of a root of z² = a z - b."""
    return float(np.abs(np.roots([1.0, -float(a), float(b)])).max())


def _path(make: Make, start: float = 1.0) -> Array:
    """Return where an optimizer goes on the quadratic from a number on, (T, n)."""
    theta = torch.nn.Parameter(torch.full((len(_CURVATURES),), start, dtype=torch.float64))
    weights, optimizer = torch.tensor(_CURVATURES, dtype=torch.float64), make([theta])

    def loss() -> float:
        theta.grad = weights * theta.detach()
        return float((weights * theta.detach() ** 2).sum() / 2)

    path = [theta.detach().numpy().copy()]
    for _ in range(_STEPS):
        loss()
        take_step(optimizer, loss)
        path.append(theta.detach().numpy().copy())
    return np.array(path)


def _observed(path: Array) -> float | None:
    """Return the factor by which a path shrinks in the end, if its steps are linear in it."""
    before = np.stack([path[1:-1], path[:-2]], axis=1)
    (a, minus_b), *_ = np.linalg.lstsq(before, path[2:], rcond=1e-13)
    left = np.abs(path[2:] - before @ [a, minus_b]).max()
    return _largest_root(a, -minus_b) if left <= _LINEAR * np.abs(path).max() else None


def regret(ours: Make, theirs: Make) -> Regret:
    r"""Measure the average regret of an optimizer on a stream of convex losses, and a reference's.

    .. math:: L_t(\theta) = c_t \theta, \quad \theta \in [-1, 1], \quad c = 3, -1, -1, 3, \dots;
        \qquad \frac1T \Bigl(\sum_t L_t(\theta_t) - \min_\theta \sum_t L_t(\theta)\Bigr)

    The learning rate is :math:`1 / \sqrt t` in both, and the number is put back into [-1, 1] after
    each step. The regret of gradient descent is that of a round of three losses, summed: on
    average :math:`10 / (3 \sqrt T)`, as T grows. Adam with :math:`\beta_1 = 0`,
    :math:`\beta_2 = 1 / 10` goes to the worst number, 1, and its average does not fall.

    Args:
        ours: makes the optimizer.
        theirs: makes the reference.

    Reference:
        Zinkevich (2003), "Online convex programming"; the stream: Reddi et al. (2018), "On the
        convergence of Adam and beyond".
    """
    return Regret(*_average_and_power(ours), *_average_and_power(theirs))


def _average_and_power(make: Make) -> tuple[float, float | None]:
    theta = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = make([theta])
    lost = np.zeros(_LOSSES)

    def feed() -> float:
        theta.grad = torch.full_like(theta, slope)
        return slope * theta.item()

    for step in range(_LOSSES):
        slope = _SLOPES[step % len(_SLOPES)]
        lost[step] = slope * (theta.item() + 1)
        feed()
        for group in optimizer.param_groups:
            if "lr" in group:
                group["lr"] = 1 / math.sqrt(step + 1)
        take_step(optimizer, feed)
        theta.data.clamp_(-1, 1)
    early, whole = lost[: _LOSSES // 4].mean(), lost.mean()
    power = math.log(whole / early) / math.log(4) if early > 0 < whole else None
    return float(whole), power
