"""The family of update rules that an unknown one is looked for in: roots, and how they vary.

A variant is one choice from each of a root's axes. An axis has choices that are usual, and others
that are departures from the root; variants are gone through by how many of these they have.
"""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

#: how many departures a variant has at most
MOST_DEPARTURES = 3


@dataclass(frozen=True)
class Decay:
    """How a parameter decays.

    Attributes:
        place: "coupled" (added to the gradient), "decoupled" (of the parameter before the update)
            or "after" (of the parameter after it).
        sign: 1, or -1 where the parameter grows.
        times_lr: whether the decay is multiplied by the learning rate on its own.
    """

    place: str
    sign: int = 1
    times_lr: bool = True


@dataclass(frozen=True)
class Axis:
    """The choices of one piece of a rule.

    Attributes:
        usual: those that are no departure.
        others: those that are.
    """

    usual: tuple[str, ...]
    others: tuple[str, ...] = ()


#: by the words that a report says
DECAYS = {
    "decay coupled": Decay("coupled", times_lr=False),
    "decay decoupled": Decay("decoupled"),
    "decay coupled with the wrong sign": Decay("coupled", -1, times_lr=False),
    "decay coupled and multiplied by lr twice": Decay("coupled"),
    "decay decoupled with the wrong sign": Decay("decoupled", -1),
    "decay decoupled and not multiplied by lr": Decay("decoupled", times_lr=False),
    "decay decoupled with the wrong sign and not multiplied by lr": Decay("decoupled", -1, False),
    "decay after the update": Decay("after"),
    "decay after the update with the wrong sign": Decay("after", -1),
    "decay after the update and not multiplied by lr": Decay("after", times_lr=False),
}
NO_DECAY = "no decay"

#: choices that have a name of their own
_NAMES = ("AMSGrad", "NAdam")

_DECAY = Axis((NO_DECAY, *list(DECAYS)[:2]), tuple(DECAYS)[2:])
_VALUES = Axis(
    ("",),
    (
        "lr as it was made with",
        "momentum as it was made with",
        "decay as it was made with",
    ),
)
_SIGN = Axis(("",), ("the gradient with the wrong sign",))
_RATE = Axis(("",), ("lr inside the buffer",))
_EPS = Axis(
    ("",),
    (
        "eps inside the root",
        "eps before the correction",
        "eps inside the root before the correction",
        "eps both inside the root and outside",
        "no eps",
    ),
)
_CORRECTION = Axis(
    ("",),
    (
        "no bias correction",
        "bias correction of the first moment alone",
        "bias correction of the second moment alone",
        "bias correction off by one step",
        "bias correction of the first moment off by one step",
        "bias correction of the second moment off by one step",
        "bias correction by the product of all betas so far",
    ),
)

#: by the name of a root, its axes by theirs
ROOTS: Mapping[str, Mapping[str, Axis]] = {
    "SGD": {"decay": _DECAY, "values": _VALUES, "sign": _SIGN},
    "SGD with momentum": {
        "ahead": Axis(("momentum", "Nesterov's momentum")),
        "weight": Axis(("", "dampening"), ("gradients damped by 1 - momentum",)),
        "first": Axis(("",), ("first buffer zero",)),
        "rate": _RATE,
        "decay": _DECAY,
        "values": _VALUES,
        "sign": _SIGN,
    },
    "Adam": {
        "decay": _DECAY,
        "values": _VALUES,
        "sign": _SIGN,
        "correction": _CORRECTION,
        "eps": _EPS,
        "largest": Axis(
            ("", "AMSGrad"), ("the second moment that is largest after its correction",)
        ),
        "weight": Axis(("",), ("the first moment a sum, not a mean",)),
        "first": Axis(("",), ("the first moments a gradient and its square",)),
        "rate": _RATE,
        "ahead": Axis(("", "NAdam"), ("Nesterov's momentum",)),
    },
    "RMSprop": {
        "decay": _DECAY,
        "values": _VALUES,
        "sign": _SIGN,
        "correction": Axis(("",), ("bias correction", "bias correction off by one step")),
        "eps": Axis(_EPS.usual, (_EPS.others[0], *_EPS.others[3:])),
        "centre": Axis(("", "the second moment centred")),
        "momentum": Axis(("", "momentum"), ("momentum, lr inside the buffer",)),
    },
    "Adagrad": {
        "decay": _DECAY,
        "values": _VALUES,
        "sign": _SIGN,
        "rate": Axis(("",), ("lr without its decay",)),
        "first": Axis(("",), ("the first sum of squares zero",)),
        "eps": Axis(_EPS.usual, (_EPS.others[0], *_EPS.others[3:])),
    },
    "Lion": {
        "decay": _DECAY,
        "values": _VALUES,
        "sign": _SIGN,
        "betas": Axis(("",), ("its betas exchanged",)),
    },
}


@dataclass(frozen=True)
class Variant:
    """A root, and the choice on each of its axes.

    Attributes:
        root: its name in `ROOTS`.
        choices: by axis.
    """

    root: str
    choices: Mapping[str, str]

    def __getitem__(self, axis: str) -> str:
        """Return the choice on an axis."""
        return self.choices[axis]

    @property
    def departures(self) -> tuple[str, ...]:
        """The choices that are not usual."""
        axes = ROOTS[self.root]
        return tuple(word for axis, word in self.choices.items() if word in axes[axis].others)

    def described(self, more: tuple[str, ...] = ()) -> str:
        """Return it in words, with some more of them.

        Example:
            >>> Variant("Adam", {"eps": "eps inside the root", "decay": NO_DECAY}).described()
            'Adam with eps inside the root'
        """
        words = [choice for choice in self.choices.values() if choice not in ("", NO_DECAY)]
        names = [word for word in words if word in _NAMES]
        words = [word for word in words if word not in _NAMES]
        words = [*sorted(words, key=lambda each: each in DECAYS), *more]
        name = " and ".join(names) or self.root.partition(" ")[0]
        listed = [", ".join(words[:-1]), words[-1]] if words[1:] else words
        return f"{name} with {' and '.join(listed)}" if words else name


def variants(departures: int, decays: bool = True) -> Iterator[Variant]:
    """Yield the variants of all roots that have a number of departures.

    Args:
        departures: how many.
        decays: whether parameters may decay.
    """
    for root, all_axes in ROOTS.items():
        axes = all_axes if decays else {**all_axes, "decay": Axis((NO_DECAY,))}
        for unusual in itertools.combinations(axes, departures):
            choices = [
                axis.others if name in unusual else axis.usual for name, axis in axes.items()
            ]
            for chosen in itertools.product(*choices):
                yield Variant(root, dict(zip(axes, chosen, strict=True)))
