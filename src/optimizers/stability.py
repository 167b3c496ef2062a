"""The learning rate at which an optimizer stops being stable on a loss, predicted and observed."""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector
from torch.optim import SGD, Optimizer

from ..errors import RunError
from .adam import Adam
from .gradient_descent import GradientDescent
from .momentum import Momentum

Loss = Callable[[], Tensor]

_FIRST_RATE = 1.0
_OCTAVES = 120  # halvings or doublings of the first rate, before the search is given up
_FEWEST = 8  # steps in four windows of two
_STRAIGHT = 1e-12  # a change of the steps, relative to them, that is rounding
_MARGINAL = 1e-9  # a growth per step, as a logarithm, that is rounding
#: optimizers whose steps are linear in the gradient
LINEAR = (GradientDescent, Momentum, SGD)
#: optimizers that divide each step by the root of a running mean of squares
ADAMS = (Adam, torch.optim.Adam, torch.optim.AdamW)
#: hyperparameters that a bound depends on; those of all groups have to be the same
_MATTERS = frozenset(
    (
        *("lr", "momentum", "dampening", "nesterov", "weight_decay", "maximize"),
        *("betas", "eps", "amsgrad", "decoupled_weight_decay"),
    )
)


def curvature_by_power_iteration(
    loss: Loss, parameters: Sequence[Tensor], iterations: int = 2000
) -> float:
    r"""Return the Hessian's eigenvalue of largest magnitude, from products with vectors alone.

    .. math:: v \leftarrow \frac{Hv}{\lVert Hv \rVert}, \qquad \lambda = v^\top H v, \qquad
        Hv = \nabla\,(v^\top \nabla L)

    Args:
        loss: computes L anew.
        parameters: what L depends on.
        iterations: of the power method at most; the error shrinks by the ratio of the two largest
            magnitudes, squared, each time, and it ends when the value no longer changes.

    Returns:
        The eigenvalue, with its sign; 0 where L has no curvature along the first vector, which is
        drawn once for all.

    Example:
        >>> theta = torch.tensor([1.0, 2.0], requires_grad=True)
        >>> round(curvature_by_power_iteration(lambda: (theta * theta).sum(), [theta]), 5)
        2.0
    """
    vector, eigenvalue = _drawn(parameters), 0.0
    settled = 100 * torch.finfo(vector.dtype).eps
    for _ in range(iterations):
        length = vector.norm()
        if length == 0:
            return 0.0
        vector = vector / length
        slopes = torch.autograd.grad(
            loss(), parameters, create_graph=True, allow_unused=True, materialize_grads=True
        )
        along = (parameters_to_vector(slopes) * vector).sum()
        if not along.requires_grad:
            return 0.0
        product = parameters_to_vector(
            torch.autograd.grad(along, parameters, allow_unused=True, materialize_grads=True)
        )
        before, eigenvalue = eigenvalue, float(vector @ product)
        if abs(eigenvalue - before) <= settled * abs(eigenvalue):
            break
        vector = product
    return eigenvalue


def _drawn(parameters: Sequence[Tensor]) -> Tensor:
    """Return a vector with an entry for each of the parameters', always the same."""
    like = parameters_to_vector(parameters)
    draw = torch.Generator().manual_seed(0)
    return torch.randn(len(like), generator=draw, dtype=like.dtype).to(like.device)


def predicted_rate(optimizer: Optimizer, curvature: float) -> float | None:
    r"""Return below which learning rate an optimizer is stable on a quadratic.

    With the largest eigenvalue :math:`\lambda` of the Hessian and a decay w that is added to the
    gradient, it is for momentum :math:`\mu` with dampening :math:`\tau`, and in Nesterov's form,

    .. math:: \gamma < \frac{2 (1 + \mu)}{(1 - \tau)(\lambda + w)}, \qquad
        \gamma < \frac{2 (1 + \mu)}{(1 + 2 \mu)(\lambda + w)}

    and for gradient descent that with :math:`\mu = \tau = 0`: where a root of
    :math:`\det(z - A)`, of the matrix A of a step, leaves the unit circle at -1.

    Args:
        optimizer: `GradientDescent`, `Momentum`, or torch.optim.SGD.
        curvature: the largest eigenvalue of the Hessian.

    Returns:
        The rate; None of another optimizer, of one that maximizes or whose groups differ, and where
        the curvature, with the decay, is not above 0.

    Reference:
        Polyak (1964), for the heavy ball.

    Example:
        >>> predicted_rate(Momentum([torch.zeros(1)], momentum=0.5), 4.0)
        0.75
    """
    settings = common_settings(optimizer, LINEAR)
    if settings is None:
        return None
    momentum = settings.get("momentum", 0.0)
    dampening = settings.get("dampening", 0.0) if momentum else 0.0
    factor = 1 + 2 * momentum if settings.get("nesterov") else 1 - dampening
    below = factor * (curvature + settings.get("weight_decay", 0.0))
    return _quotient(2 * (1 + momentum), below) if momentum < 1 else None


def preconditioned_rate(optimizer: Optimizer, curvature: float) -> float | None:
    r"""Return below which learning rate Adam is stable on a quadratic, its second moments held.

    .. math:: \gamma < \frac{2 (1 + \beta_1)}{(1 - \beta_1) \lambda + (1 + \beta_1) w}

    Args:
        optimizer: `Adam`, or torch.optim's Adam or AdamW, with a decoupled decay w.
        curvature: the largest eigenvalue :math:`\lambda` of the preconditioned Hessian,
            :math:`P^{-1/2} (H + w) P^{-1/2}`, P and the coupled w as `preconditioner` gives them.

    Returns:
        The rate; None of another optimizer, of one that maximizes or whose groups differ, and where
        no rate is the largest.

    Reference:
        Cohen et al. (2022), "Adaptive gradient methods at the edge of stability".

    Example:
        >>> round(preconditioned_rate(torch.optim.Adam([torch.zeros(1)]), 1.0), 6)
        38.0
    """
    settings = common_settings(optimizer, ADAMS)
    if settings is None:
        return None
    beta = settings["betas"][0]
    decay = settings.get("weight_decay", 0.0) if _decoupled(optimizer, settings) else 0.0
    return _quotient(2 * (1 + beta), (1 - beta) * curvature + (1 + beta) * decay)


def preconditioner(
    optimizer: Optimizer, parameters: Sequence[Tensor]
) -> tuple[list[Tensor], float] | None:
    r"""Return what Adam divides each step by, and the decay that is in its gradient.

    .. math:: P = \sqrt{v_t / (1 - \beta_2^t)} + \epsilon

    Args:
        optimizer: any.
        parameters: what it steps.

    Returns:
        P of each parameter, and w; None of an optimizer that is not Adam, whose groups differ, or
        that has not yet stepped each of the parameters.
    """
    settings = common_settings(optimizer, ADAMS)
    if settings is None:
        return None
    divisors = []
    for parameter in parameters:
        state = optimizer.state.get(parameter)
        if not state or parameter.is_complex():
            return None
        square = state["max_exp_avg_sq" if settings.get("amsgrad") else "exp_avg_sq"]
        left = (1 - settings["betas"][1] ** float(state["step"])) ** 0.5
        divisors.append(square.sqrt() / left + settings["eps"])
    coupled = not _decoupled(optimizer, settings)
    return divisors, settings.get("weight_decay", 0.0) if coupled else 0.0


def common_settings(optimizer: Optimizer, kinds: tuple[type, ...]) -> dict[str, Any] | None:
    """Return the hyperparameters of all groups; None of other kinds, and where groups differ."""
    first, *others = (
        {name: value for name, value in group.items() if name in _MATTERS}
        for group in optimizer.param_groups
    )
    if type(optimizer) not in kinds or first.get("maximize") or any(o != first for o in others):
        return None
    return first


def _quotient(above: float, below: float) -> float | None:
    return float(above / below) if above > 0 and 0 < below < math.inf else None


def _decoupled(optimizer: Optimizer, settings: Mapping[str, Any]) -> bool:
    return bool(settings.get("decoupled_weight_decay", type(optimizer) is torch.optim.AdamW))


class Settling:
    """Whether real steps of an optimizer settle, asked of one learning rate after another.

    Each time all begins anew from the same parameters. After the first step they are pushed, by as
    much as it was long, along the direction in which the steps of the last question changed last,
    with a hundredth of a drawn one: what grows is there from the beginning, and need not come out
    of rounding. Then steps are made until a growth rate has settled: that of how much a step
    differs from the one before, in which slow directions, that would hide a growing one, have next
    to no part.

    Args:
        loss: computes the loss anew.
        parameters: what is stepped, and put back in the end.
        make: makes the optimizer.
        most: how many steps are made at most.
    """

    def __init__(
        self,
        loss: Loss,
        parameters: Sequence[Tensor],
        make: Callable[[], Optimizer],
        most: int = 4096,
    ) -> None:
        self.loss, self.parameters, self.make, self.most = loss, parameters, make, most
        self.drawn = torch.nn.functional.normalize(_drawn(parameters), dim=0)
        self.direction = 1.01 * self.drawn
        self.taken = 0  # steps of all questions so far
        self.floor = torch.finfo(self.drawn.dtype).eps ** 0.6

    def __call__(self, lr: float) -> bool:
        """Return whether the steps settle; not where one is not finite, or all stay the same."""
        start = parameters_to_vector(self.parameters).detach().clone()
        try:
            return self._shrinks(lr)
        finally:
            self._set(start)

    def _set(self, values: Tensor) -> None:
        parts = torch.split(values, [p.numel() for p in self.parameters])
        with torch.no_grad():
            for parameter, part in zip(self.parameters, parts, strict=True):
                parameter.copy_(part.view_as(parameter))

    def _shrinks(self, lr: float) -> bool:
        sizes: list[float] = []
        bends: list[float] = []
        last, said = None, None
        for step in self._steps(lr):
            sizes.append(float(step.norm()))
            if not math.isfinite(sizes[-1]):
                return False
            if sizes[-1] <= self.floor * max(sizes):
                return sizes[-1] < max(sizes)  # where nothing moves, nothing is seen
            if last is not None:
                bend = step - last
                bends.append(float(bend.norm()))
                if bends[-1] > 0:
                    self.direction = bend / bends[-1] + self.drawn / 100
            last = step
            if len(bends) >= _FEWEST and len(bends).bit_count() == 1:
                answer, sure = _verdict(sizes, bends)
                if sure or (answer is not None and answer is said):
                    return bool(answer)
                said = answer
        return _growth(bends)[1] < -_MARGINAL

    def loss_after(self, lr: float, updates: int) -> float:
        """Return the loss after some updates; it is not finite where they diverge."""
        start = parameters_to_vector(self.parameters).detach().clone()
        update = self._update(lr)
        try:
            for _ in range(updates):
                update()
            return float(self.loss().detach())
        finally:
            self._set(start)

    def _update(self, lr: float) -> Callable[[], object]:
        """Return what makes an update, of an optimizer that begins anew."""
        optimizer = self.make()
        for group in optimizer.param_groups:
            group["lr"] = lr

        def closure() -> float:
            optimizer.zero_grad()
            loss = self.loss()
            torch.autograd.backward(loss)
            return float(loss.detach())

        return lambda: optimizer.step(closure)

    def _steps(self, lr: float) -> Iterator[Tensor]:
        """Yield the steps after the first one and the push."""
        update = self._update(lr)
        before = parameters_to_vector(self.parameters).detach().clone()
        for number in range(self.most + 2):
            update()
            self.taken += 1
            after = parameters_to_vector(self.parameters).detach().clone()
            if number == 0:
                after = after + self._push(after - before, before)
                self._set(after)
            else:
                yield after - before
            before = after

    def _push(self, step: Tensor, start: Tensor) -> Tensor:
        length = float(step.norm()) or self.floor * float(1 + start.norm())
        back = bool(step @ self.direction < 0)  # against the step it could undo it
        return self.direction * (-length if back else length)


def _verdict(sizes: Sequence[float], bends: Sequence[float]) -> tuple[bool | None, bool]:
    """Return whether bends get smaller, None if it cannot be seen yet, and whether that is sure."""
    recent = len(bends) // 4
    if max(bends[-recent:]) <= _STRAIGHT * max(sizes[-recent:]):
        return False, True  # steps that are all the same
    before, now = _growth(bends)
    change = 0.0 if now == before else abs(now - before)
    sure = change <= _MARGINAL / 1000
    # the rate would keep its sign long enough to shrink, or to grow, many times over
    if sure or change / recent <= now**2 / 1000:
        return now < -_MARGINAL, sure
    return None, False


def _growth(sizes: Sequence[float]) -> tuple[float, float]:
    """Return the growth per step, as a logarithm, over the middle and over the last windows.

    The windows are quarters, of each the root of the mean square.
    """
    quarter = len(sizes) // 4
    ends = [len(sizes) - quarter * back for back in (3, 2, 1, 0)]
    first, middle, last = (math.hypot(*sizes[begin:end]) for begin, end in itertools.pairwise(ends))
    return _logarithm(first, middle) / quarter, _logarithm(middle, last) / quarter


def _logarithm(before: float, after: float) -> float:
    if after == 0:
        return -math.inf
    return math.log(after / before) if before else math.inf


def largest_stable_rate(stable: Callable[[float], bool], precision: float) -> float:
    """Return the largest rate of which a question about rates was answered by yes, by bisection.

    Args:
        stable: the question; yes below some rate and no above it.
        precision: how far above it, relative to the rate, the answer is no.

    Returns:
        The rate; below where the answer turns, by the precision at most.

    Raises:
        RunError: if it does not turn at any rate that a float32 parameter can tell apart.

    Example:
        >>> round(largest_stable_rate(lambda rate: rate < 0.3, 1e-6), 5)
        0.3
    """
    low = high = _FIRST_RATE
    factor = 2.0 if stable(low) else 0.5
    for _ in range(_OCTAVES):
        low, high = (high, high * 2) if factor > 1 else (low / 2, low)
        if stable(high if factor > 1 else low) is (factor < 1):
            break
    else:
        raise RunError(
            f"no learning rate from {_FIRST_RATE:g} to {high if factor > 1 else low:g} changes "
            "whether the optimizer's steps settle: it has no largest stable rate here, as one may "
            "that divides its steps by the size of the gradients, such as Adam: give another"
        )
    while high - low > precision * low:
        middle = (low + high) / 2
        low, high = (middle, high) if stable(middle) else (low, middle)
    return low
