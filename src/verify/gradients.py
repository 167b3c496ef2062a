"""Hold the gradient of a loss in reverse mode against differences of the loss itself."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

#: up to so many entries, each is looked at by itself; of more, so many drawn ones
COORDINATES = 64
#: random directions over all entries
DIRECTIONS = 4


@dataclass(frozen=True)
class Slope:
    """The derivative of a loss along a direction, by backward and by differences.

    Attributes:
        backward: the gradient in reverse mode, times the direction.
        difference: the central difference of half the step.
        allowed: how far apart they may be, as the loss is here.
        plain: how far apart they are where the loss is smooth.
    """

    backward: float
    difference: float
    allowed: float
    plain: float

    @property
    def apart(self) -> float:
        """How far apart the two are."""
        return abs(self.backward - self.difference)

    @property
    def verdict(self) -> str:
        """One of "right", "wrong" and "not differentiable here"."""
        if not self.apart <= self.allowed:
            return "wrong"
        return "not differentiable here" if self.apart > self.plain else "right"


@dataclass(frozen=True)
class WrongEntry:
    """An entry of a gradient that backward gets wrong.

    Attributes:
        parameter: its name.
        index: of the entry in it.
        backward: what reverse mode gives.
        difference: what central differences of the loss give.
        allowed: how far apart they may be.
    """

    parameter: str
    index: tuple[int, ...]
    backward: float
    difference: float
    allowed: float

    def __str__(self) -> str:
        """Return it as part of a sentence."""
        index = f"[{', '.join(map(str, self.index))}]" if self.index else ""
        return (
            f"{self.parameter}{index}: backward gives {self.backward:.9g}, and differences of the "
            f"loss {self.difference:.9g} (they may differ by {self.allowed:.2g})"
        )


@dataclass(frozen=True)
class Audit:
    """What was found of a gradient.

    Attributes:
        verdict: "right", "wrong", "not differentiable here" or "not deterministic".
        slopes: how many directions and single entries were looked at.
        wrong: the entries that are wrong and were found.
    """

    verdict: str
    slopes: int
    wrong: tuple[WrongEntry, ...] = ()


def audit(loss: Callable[[], Tensor], parameters: Mapping[str, Tensor], seed: int = 0) -> Audit:
    r"""Hold the gradient of a loss against central differences of it.

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

    Each of some entries is looked at by itself, and some random directions over all: a wrong entry
    is in each of these, and is found by halving. It counts as wrong where three other step sizes
    say so too.

    Args:
        loss: computes it anew at the parameters as they are, the same each time.
        parameters: by name; real, float64, leaves; changed in between, and put back.
        seed: of the entries and directions that are drawn.

    Returns:
        The verdict, and the entries that are wrong.

    Example:
        >>> theta = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
        >>> audit(lambda: (theta**3).sum(), {"theta": theta}).verdict
        'right'
    """
    probe = _Probe(loss, parameters)
    if not probe.is_steady():
        return Audit("not deterministic", 0)
    draw = torch.Generator().manual_seed(seed)
    entries = torch.randperm(probe.size, generator=draw)[:COORDINATES].tolist()
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
    if found:
        return Audit("wrong", slopes, tuple(probe.named(*each) for each in sorted(found.items())))
    return Audit("not differentiable here" if rough else "right", slopes)


class _Probe:
    """A loss along directions in the space of all parameters, in one row."""

    def __init__(self, loss: Callable[[], Tensor], parameters: Mapping[str, Tensor]) -> None:
        self.loss, self.names = loss, list(parameters)
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
        self.value = float(value.detach())

    def is_steady(self) -> bool:
        """Return whether the loss is a finite number, and the same each time."""
        return all(self._loss(0.0, self.at) == self.value for _ in range(2))

    def _loss(self, step: float, direction: Tensor) -> float:
        self._put(self.at + step * direction if step else self.at)
        try:
            return float(self.loss().detach())
        finally:
            self._put(self.at)

    def _put(self, values: Tensor) -> None:
        sizes = [p.numel() for p in self.parameters]
        with torch.no_grad():
            parts = torch.split(values, sizes)
            for parameter, part in zip(self.parameters, parts, strict=True):
                parameter.copy_(part.view(parameter.shape))

    def unit(self, entry: int) -> Tensor:
        """Return the direction of one entry."""
        direction = torch.zeros_like(self.at)
        direction[entry] = 1
        return direction

    def slope(self, direction: Tensor, shrunk: float = 1.0) -> Slope:
        """Return the derivative along a direction, by backward and by differences."""
        among = direction != 0
        count, scale = int(among.sum()), float(self.at[among].abs().mean())
        epsilon = torch.finfo(torch.float64).eps
        h = shrunk * epsilon ** (1 / 3) * max(1.0, scale) / max(1, count) ** 0.5
        ups, downs = (
            [self._loss(side * h * part, direction) for part in (1, 1 / 2, 1 / 8)]
            for side in (1, -1)
        )
        whole, half = ((ups[k] - downs[k]) / (2 * h / 2**k) for k in (0, 1))
        bends = [ups[k] - 2 * self.value + downs[k] for k in range(3)]
        sharp = abs(bends[1]) / (h / 2)
        most = max(map(abs, (self.value, *ups, *downs)))
        rough = 4 * (abs(whole - half) + abs(bends[2]) / h)
        backward = float(self.gradient @ direction)
        plain = 64 * epsilon * most / h + 1e-5 * max(abs(backward), abs(half))
        return Slope(backward, half, plain + sharp + rough, plain)

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
                return WrongEntry(name, where, slope.backward, slope.difference, slope.allowed)
            entry -= parameter.numel()
        raise AssertionError
