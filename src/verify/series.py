r"""What a variant would have done at each step of a recorded run.

A rule is taken apart into pieces over all steps at once: the gradients with the decay in them,
running sums :math:`s_t = a_t s_{t-1} + c_t x_t`, what corrects these, the root, and the step. As
the gradients are recorded, and the parameters too, each piece is worked out once for all variants
that have it.

Shapes: gradients and parameters (T, n); hyperparameters (T, 1).
"""

from collections.abc import Callable, Hashable

import numpy as np
from numpy.typing import NDArray

from .trace import Trace
from .variants import DECAYS, Variant

Array = NDArray[np.float64]


def running(values: Array, keep: Array, weight: Array, first: bool = False) -> Array:
    r"""Return running sums :math:`s_t = a_t s_{t-1} + c_t x_t` from :math:`s_0 = 0`.

    Args:
        values: x, (T, n).
        keep: a, (T, 1).
        weight: c, (T, 1).
        first: whether the first sum is the first value, whatever its weight.

    Example:
        >>> x, half = np.ones((3, 1)), np.full((3, 1), 0.5)
        >>> running(x, half, half).ravel().tolist()
        [0.5, 0.75, 0.875]
    """
    sums = np.multiply(values, weight)
    if first and len(sums):
        sums[0] = values[0]
    for step in range(1, len(sums)):
        sums[step] += keep[step] * sums[step - 1]
    return sums


def correction(beta: Array, kind: str) -> Array:
    """Return by what a running mean is divided: 1 - beta^t, or as its kind says."""
    steps = np.arange(1.0, len(beta) + 1)[:, None]
    if kind == "none":
        return np.ones_like(beta)
    power: Array = np.power(beta, steps + (kind == "off by one"))
    if kind == "product":
        power = np.multiply.accumulate(beta)
    return 1 - power


def root(square: Array, corrected_by: Array, eps: Array, place: str) -> Array:
    """Return the root of a corrected mean of squares, with eps where the place says."""
    if place == "eps inside the root":
        return np.sqrt(square / corrected_by + eps)
    if place == "eps before the correction":
        return (np.sqrt(square) + eps) / np.sqrt(corrected_by)
    if place == "eps inside the root before the correction":
        return np.sqrt((square + eps) / corrected_by)
    if place == "eps both inside the root and outside":
        return np.sqrt(square / corrected_by + eps) + eps
    plain = np.sqrt(square / corrected_by)
    return plain if place == "no eps" else plain + eps


#: how the two means of Adam are corrected, by the words of the choice
_CORRECTIONS = {
    "": ("usual", "usual"),
    "no bias correction": ("none", "none"),
    "bias correction of the first moment alone": ("usual", "none"),
    "bias correction of the second moment alone": ("none", "usual"),
    "bias correction off by one step": ("off by one", "off by one"),
    "bias correction of the first moment off by one step": ("off by one", "usual"),
    "bias correction of the second moment off by one step": ("usual", "off by one"),
    "bias correction by the product of all betas so far": ("product", "product"),
}


class Series:
    """The pieces of a recorded run, each worked out when a variant first needs it.

    Args:
        trace: the run.
    """

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self._kept: dict[Hashable, Array] = {}
        self._directions: dict[str, Callable[[Variant], Array]] = {
            "SGD": lambda variant: self.value("lr", variant) * self._gradient(variant),
            "SGD with momentum": self._heavy_ball,
            "Adam": self._adam,
            "RMSprop": self._rmsprop,
            "Adagrad": self._adagrad,
            "Lion": self._lion,
        }

    def update(self, variant: Variant) -> Array:
        """Return what a variant would have subtracted from the parameters, decay apart."""
        return self._directions[variant.root](variant)

    def value(self, name: str, variant: Variant) -> Array:
        """Return a hyperparameter at each step, as a variant takes it."""
        word = {"lr": "lr", "decay": "decay", "first": "momentum", "second": "momentum"}
        values = self.trace.values[name]
        if name in word and variant["values"].startswith(f"{word[name]} as"):
            return np.full_like(values, self.trace.made[name])
        return values

    def decay(self, variant: Variant) -> Array:
        """Return by which part of themselves the parameters shrink at each step."""
        how = DECAYS[variant["decay"]]
        rate = self.value("lr", variant) if how.times_lr else 1.0
        return how.sign * rate * self.value("decay", variant)

    def _once(self, key: Hashable, make: Callable[[], Array]) -> Array:
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]

    def _gradient(self, variant: Variant) -> Array:
        return self._once(self._key("gradient", variant), lambda: self._decayed(variant))

    def _decayed(self, variant: Variant) -> Array:
        """Return the gradients with their sign, and the decay where it is coupled."""
        gradients = -self.trace.gradients if variant["sign"] else self.trace.gradients
        how = DECAYS.get(variant["decay"])
        if how is None or how.place != "coupled":
            return gradients
        return gradients + self.decay(variant) * self.trace.parameters[:-1]

    def _key(self, name: str, variant: Variant, *axes: str) -> Hashable:
        how = DECAYS.get(variant["decay"])
        coupled = variant["decay"] if how and how.place == "coupled" else ""
        return (
            name,
            coupled,
            variant["values"],
            variant["sign"],
            *(variant[axis] for axis in axes),
        )

    def _heavy_ball(self, variant: Variant) -> Array:
        lr, keep = self.value("lr", variant), self.value("first", variant)
        fed = self._gradient(variant) * (lr if variant["rate"] else 1.0)
        weight = {
            "": np.ones_like(keep),
            "dampening": 1 - self.trace.values["dampening"],
        }.get(variant["weight"], 1 - keep)
        buffer = self._once(
            self._key("ball", variant, "weight", "first", "rate"),
            lambda: running(fed, keep, weight, first=not variant["first"]),
        )
        moved = fed + keep * buffer if variant["ahead"] == "Nesterov's momentum" else buffer
        return moved if variant["rate"] else lr * moved

    def _square(self, variant: Variant, first: bool = False) -> Array:
        keep = self.value("second", variant)
        gradient = self._gradient(variant)
        return self._once(
            (self._key("square", variant), first),
            lambda: running(gradient**2, keep, 1 - keep, first),
        )

    def _adam(self, variant: Variant) -> Array:
        kinds = _CORRECTIONS[variant["correction"]]
        lr, keep = self.value("lr", variant), self.value("first", variant)
        second = correction(self.value("second", variant), kinds[1])
        square = self._square(variant, bool(variant["first"]))
        if variant["largest"] == "AMSGrad":
            square = np.maximum.accumulate(square)
        elif variant["largest"]:
            square = np.maximum.accumulate(square / second) * second
        below = self._once(
            self._key("root", variant, "correction", "first", "largest", "eps"),
            lambda: root(square, second, self.trace.values["eps"], variant["eps"]),
        )
        above = self._above(variant, keep, lr if variant["rate"] else np.ones_like(lr), kinds[0])
        return (above if variant["rate"] else lr * above) / below

    def _above(self, variant: Variant, keep: Array, rate: Array, kind: str) -> Array:
        """Return the corrected first moment."""
        fed = self._gradient(variant) * rate
        weight = np.ones_like(keep) if variant["weight"] else 1 - keep
        moment = self._once(
            self._key("moment", variant, "weight", "first", "rate"),
            lambda: running(fed, keep, weight, bool(variant["first"])),
        )
        if not variant["ahead"]:
            return moment / correction(keep, kind)
        if variant["ahead"] == "Nesterov's momentum":
            later = "none" if kind == "none" else "off by one"
            return keep * moment / correction(keep, later) + weight * fed / correction(keep, kind)
        steps = np.arange(1, len(keep) + 1)[:, None]
        slowing = self.trace.values["momentum_decay"]
        now = keep * (1 - 0.5 * 0.96 ** (steps * slowing))
        then = keep * (1 - 0.5 * 0.96 ** ((steps + 1) * slowing))
        product = np.cumprod(now, axis=0)
        return then * moment / (1 - product * then) + (1 - now) * fed / (1 - product)

    def _rmsprop(self, variant: Variant) -> Array:
        lr, keep = self.value("lr", variant), self.value("first", variant)
        gradient, square = self._gradient(variant), self._square(variant)
        second = self.value("second", variant)
        if variant["centre"]:
            mean = self._once(
                self._key("mean", variant), lambda: running(gradient, second, 1 - second)
            )
            square = np.maximum(square - mean**2, 0)
        kind = {"": "none", "bias correction": "usual"}.get(variant["correction"], "off by one")
        below = root(square, correction(second, kind), self.trace.values["eps"], variant["eps"])
        ratio = gradient / below
        if not variant["momentum"]:
            return lr * ratio
        one = np.ones_like(keep)
        if variant["momentum"] == "momentum":
            return lr * running(ratio, keep, one)
        return running(lr * ratio, keep, one)

    def _adagrad(self, variant: Variant) -> Array:
        gradient, eps = self._gradient(variant), self.trace.values["eps"]
        one = np.ones_like(eps)
        initial = 0.0 if variant["first"] else self.trace.values["initial"]
        square = self._once(
            self._key("all squares", variant, "first"),
            lambda: np.cumsum(gradient**2, axis=0) + initial,
        )
        before = 0.0 if variant["rate"] else np.arange(len(eps))[:, None]
        rate = self.value("lr", variant) / (1 + before * self.trace.values["lr_decay"])
        return rate * gradient / root(square, one, eps, variant["eps"])

    def _lion(self, variant: Variant) -> Array:
        keeps = [self.value("first", variant), self.value("second", variant)]
        mixed, kept = reversed(keeps) if variant["betas"] else keeps
        gradient = self._gradient(variant)
        mean = self._once(
            self._key("lion", variant, "betas"), lambda: running(gradient, kept, 1 - kept)
        )
        before = np.vstack([np.zeros_like(mean[:1]), mean[:-1]])
        return self.value("lr", variant) * np.sign(mixed * before + (1 - mixed) * gradient)
