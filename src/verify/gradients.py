"""Hold the gradient of a loss in reverse mode against other ways to it."""

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.autograd import forward_ad

#: up to so many entries, each is looked at by itself; of more, so many drawn ones
COORDINATES = 64
#: random directions over all entries
DIRECTIONS = 4


@dataclass(frozen=True)
class Slope:
    """The derivative of a loss along a direction, by backward and by other ways.

    Attributes:
        backward: the gradient in reverse mode, times the direction.
        difference: the central difference of half the step.
        allowed: how far apart these two may be, as the loss is here.
        plain: how far apart they are where the loss is smooth.
        forward: by forward mode; None where there is none.
        closed: the gradient in closed form, times the direction; None where there is none.
        exact: how far backward may be from these two, which rounding alone sets apart.
    """

    backward: float
    difference: float
    allowed: float
    plain: float
    forward: float | None
    closed: float | None
    exact: float

    @property
    def apart(self) -> float:
        """How far apart backward and the difference are."""
        return abs(self.backward - self.difference)

    @property
    def verdict(self) -> str:
        """One of "right", "wrong" and "not differentiable here"."""
        others = [each for each in (self.forward, self.closed) if each is not None]
        if not (
            self.apart <= self.allowed
            and all(abs(self.backward - each) <= self.exact for each in others)
        ):
            return "wrong"
        return "not differentiable here" if self.apart > self.plain else "right"


@dataclass(frozen=True)
class WrongEntry:
    """An entry of a gradient at which backward differs from another way to it.

    Attributes:
        parameter: its name.
        index: of the entry in it.
        backward: what reverse mode gives.
        difference: what central differences of the loss give.
        allowed: how far apart they may be.
        forward: what forward mode gives; None where there is none.
        closed: what the closed form gives; None where there is none.
    """

    parameter: str
    index: tuple[int, ...]
    backward: float
    difference: float
    allowed: float
    forward: float | None = None
    closed: float | None = None

    def __str__(self) -> str:
        """Return it as part of a sentence."""
        index = f"[{', '.join(map(str, self.index))}]" if self.index else ""
        exact = {"forward mode": self.forward, "the closed form": self.closed}
        given = [f", {way} {value:.9g}" for way, value in exact.items() if value is not None]
        return (
            f"{self.parameter}{index}: backward gives {self.backward:.9g}, and differences of the "
            f"loss {self.difference:.9g} (they may differ by {self.allowed:.2g}){''.join(given)}"
        )


@dataclass(frozen=True)
class Audit:
    """What was found of a gradient.

    Attributes:
        verdict: "right", "wrong", "not differentiable here"; or, where nothing was compared, "not
            finite" (the loss) or "not deterministic".
        slopes: how many directions and single entries were looked at.
        wrong: the entries that are wrong and were found.
        ways: what backward was held against: "differences", "forward mode", "closed form".
        no_forward: why forward mode is none of them; empty where it is.
    """

    verdict: str
    slopes: int
    wrong: tuple[WrongEntry, ...] = ()
    ways: tuple[str, ...] = ()
    no_forward: str = ""


def audit(
    loss: Callable[[], Tensor],
    parameters: Mapping[str, Tensor],
    seed: int = 0,
    closed: Tensor | None = None,
) -> Audit:
    r"""Hold the gradient of a loss against central differences, forward mode and a closed form.

    .. math:: D_h = \frac{L(\theta + h v) - L(\theta - h v)}{2h}, \qquad
        S_h = \frac{L(\theta + h v) - 2 L(\theta) + L(\theta - h v)}{h}

    with :math:`h = \epsilon^{1/3} \max(1, \overline{|\theta|}) / \sqrt{n}` for a direction v of n
    entries of :math:`\pm 1`, which balances truncation and rounding. The slope of reverse mode may
    differ from :math:`D_{h/2}` by :math:`|S_{h/2}| + |D_h - D_{h/2}|` and rounding. The second term
    is the error of a smooth loss, four times over. The first one makes kinks harmless: at one, and
    beside one within the step, backward's slope lies between the two one-sided ones, which differ
    by :math:`S_{h/2}`, and :math:`D_{h/2}` is their mean. Of a smooth loss it is
    :math:`\frac h2 v^\top H v`, of the order of 1e-6. Rounding is that of float64, or what second
    differences of steps of h/8 show, where it is more.

    From forward mode and the closed form, which take the same side of a kink, it may differ by
    rounding alone: 1e-7 of the slope, and what rounding of the loss makes of a difference. Forward
    mode goes once along a random direction over all entries; only where it is apart there, by more
    than 1e-10 of the slopes, or where a difference is, does it go along each. It is left out where
    an operation has none, and where it gives another loss or no number.

    Each of some entries is looked at by itself, and some random directions over all: a wrong entry
    is in each of these, and is found by halving. It counts as wrong where three other step sizes
    say so too.

    Args:
        loss: computes it anew at the parameters as they are, the same each time.
        parameters: by name; real, float64, leaves; changed in between, and put back.
        seed: of the entries and directions that are drawn.
        closed: the gradient in closed form at these parameters, in one row; None if there is none.

    Returns:
        The verdict, and the entries that are wrong.

    Example:
        >>> theta = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
        >>> audit(lambda: (theta**3).sum(), {"theta": theta}).verdict
        'right'
    """
    probe = _Probe(loss, parameters, closed)
    if not math.isfinite(probe.value):
        return Audit("not finite", 0)
    if not probe.is_steady():
        return Audit("not deterministic", 0)
    draw = torch.Generator().manual_seed(seed)
    entries = torch.randperm(probe.size, generator=draw)[:COORDINATES].tolist()
    probe.ask_forward(torch.randn(probe.size, generator=draw, dtype=torch.float64))
    found: dict[int, Slope] = {}
    rough, slopes = False, len(entries)
    for entry in entries:
        slope = probe.slope(probe.unit(entry))
        rough |= slope.verdict == "not differentiable here"
        if slope.verdict == "wrong" and probe.confirms(entry):
            found[entry] = slope
    for _ in range(DIRECTIONS if probe.size > COORDINATES else 0):
        signs = torch.randint(0, 2, (probe.size,), generator=draw, dtype=torch.float64) * 2 - 1
        for entry in found:  # what is known of already would be found again
            signs[entry] = 0
        slope, slopes = probe.slope(signs), slopes + 1
        rough |= slope.verdict == "not differentiable here"
        if slope.verdict != "wrong":
            continue
        culprit = probe.halved(signs)
        if culprit is not None and probe.confirms(culprit):
            found[culprit] = probe.slope(probe.unit(culprit))
        else:  # the loss is too rough along it for a verdict
            rough = True
    wrong = tuple(probe.named(*each) for each in sorted(found.items()))
    verdict = "wrong" if wrong else "not differentiable here" if rough else "right"
    return Audit(verdict, slopes, wrong, probe.ways, probe.no_forward)


@cache
def _compile_forward_mode() -> None:
    """Have torch compile what it needs for forward mode, and not warn of its own jit.script."""
    with warnings.catch_warnings(), forward_ad.dual_level():
        warnings.filterwarnings("ignore", message=".*torch.jit.script")
        forward_ad.make_dual(torch.zeros(()), torch.zeros(()))  # type: ignore[no-untyped-call]


class _Probe:
    """A loss along directions in the space of all parameters, in one row."""

    def __init__(
        self,
        loss: Callable[[], Tensor],
        parameters: Mapping[str, Tensor],
        closed: Tensor | None,
    ) -> None:
        self.loss, self.names = loss, list(parameters)
        self.closed = None if closed is None else closed.detach().to(torch.float64)
        self.no_forward = ""
        self.forward_differs = False
        self.parameters = list(parameters.values())
        self.at = torch.cat([p.detach().reshape(-1).clone() for p in self.parameters])
        self.size = len(self.at)
        value = loss()
        if value.dtype != torch.float64:
            raise RuntimeError(f"the loss is {value.dtype} where the module is float64")
        gradients = torch.autograd.grad(
            value, self.parameters, allow_unused=True, materialize_grads=True
        )
        self.gradient = torch.cat([g.to_dense().detach().reshape(-1) for g in gradients])
        self.sizes = (self.at.abs(), self.gradient.abs())
        self.value = float(value.detach())

    @property
    def ways(self) -> tuple[str, ...]:
        """What backward is held against."""
        forward = () if self.no_forward else ("forward mode",)
        return ("differences", *forward, *(() if self.closed is None else ("closed form",)))

    def is_steady(self) -> bool:
        """Return whether the loss is the same each time."""
        return all(float(self.loss().detach()) == self.value for _ in range(2))

    def ask_forward(self, direction: Tensor) -> None:
        """See whether forward mode gives another slope along a direction over all entries."""
        forward = self._forward(direction)
        apart = 0.0 if forward is None else abs(float(self.gradient @ direction) - forward)
        self.forward_differs = not apart <= 1e-10 * float(self.sizes[1] @ direction.abs())

    def _loss(self, step: float, direction: Tensor) -> float:
        self._put(self.at + step * direction)
        return float(self.loss().detach())

    def _put(self, values: Tensor) -> None:
        sizes = [p.numel() for p in self.parameters]
        with torch.no_grad():
            parts = torch.split(values, sizes)
            for parameter, part in zip(self.parameters, parts, strict=True):
                parameter.copy_(part.view(parameter.shape))

    def _forward(self, direction: Tensor) -> float | None:
        """Return the slope by forward mode; None from where there is none."""
        if self.no_forward:
            return None
        _compile_forward_mode()
        try:
            with forward_ad.dual_level():
                dual = forward_ad.make_dual(self.at, direction)  # type: ignore[no-untyped-call]
                self._put(dual)  # what is copied has its tangent, too
                value, slope = forward_ad.unpack_dual(self.loss())  # type: ignore[no-untyped-call]
        except Exception as error:  # whatever an operation without forward mode raises
            why = " ".join(str(error).split())[:200]
            self.no_forward = f"{type(error).__name__}: {why}"
            return None
        finally:
            self._put(self.at)
        found = 0.0 if slope is None else float(slope.detach())
        if float(value.detach()) != self.value:
            self.no_forward = "the loss is another one in forward mode"
        elif not math.isfinite(found):
            self.no_forward = f"it gives {found}"
        return None if self.no_forward else found

    def unit(self, entry: int) -> Tensor:
        """Return the direction of one entry."""
        direction = torch.zeros_like(self.at)
        direction[entry] = 1
        return direction

    def slope(self, direction: Tensor, shrunk: float = 1.0) -> Slope:
        """Return the derivative along a direction of 1, -1 and 0, by backward and other ways."""
        try:
            return self._slope(direction, shrunk)
        finally:
            self._put(self.at)

    def _slope(self, direction: Tensor, shrunk: float) -> Slope:
        among = direction.abs()
        count = int(among.sum())
        scale, steepness = (float(each @ among) for each in self.sizes)
        epsilon = torch.finfo(torch.float64).eps
        h = shrunk * epsilon ** (1 / 3) * max(1.0, scale / max(1, count)) / max(1, count) ** 0.5
        up, down = (self._loss(side * h / 2, direction) for side in (1, -1))
        half = (up - down) / h
        backward = float(self.gradient @ direction)
        blur = 64 * epsilon * max(map(abs, (self.value, up, down))) / h
        plain = allowed = blur + 1e-5 * max(abs(backward), abs(half))
        smooth = abs(backward - half) <= plain
        if not smooth:  # is it a kink, or curved, or rough?
            sharp = abs(up - 2 * self.value + down) / (h / 2)
            above, below = (self._loss(side * h, direction) for side in (1, -1))
            near, nearer = (self._loss(side * h / 8, direction) for side in (1, -1))
            curved = abs((above - below) / (2 * h) - half)
            allowed += sharp + 4 * (curved + abs(near - 2 * self.value + nearer) / h)
        closed = None if self.closed is None else float(self.closed @ direction)
        exact = blur + 1e-7 * steepness + 1e-12 * count
        forward = self._forward(direction) if self.forward_differs or not smooth else None
        return Slope(backward, half, allowed, plain, forward, closed, exact)

    def confirms(self, entry: int) -> bool:
        """Return whether an entry is wrong by other step sizes, too."""
        direction = self.unit(entry)
        return all(self.slope(direction, by).verdict == "wrong" for by in (8.0, 0.7, 0.3))

    def halved(self, signs: Tensor) -> int | None:
        """Return one entry of a direction whose slope is wrong; None where no half has it."""
        places = signs.nonzero().flatten()
        while len(places) > 1:
            for half in places.tensor_split(2):
                direction = torch.zeros_like(signs)
                direction[half] = signs[half]
                if self.slope(direction).verdict == "wrong":
                    places = half
                    break
            else:
                return None
        return int(places[0])

    def named(self, entry: int, slope: Slope) -> WrongEntry:
        """Return an entry by its parameter and its index there."""
        for name, parameter in zip(self.names, self.parameters, strict=True):
            if entry < parameter.numel():
                index = torch.unravel_index(torch.tensor(entry), parameter.shape)
                where = tuple(map(int, index))
                exact = (slope.forward, slope.closed)
                return WrongEntry(
                    name, where, slope.backward, slope.difference, slope.allowed, *exact
                )
            entry -= parameter.numel()
        raise AssertionError
