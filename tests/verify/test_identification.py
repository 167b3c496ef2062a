"""Each faulty optimizer is called by its name, and a right one is never called faulty."""

import itertools
import random
from functools import partial

import departing
import faulty
import pytest
import torch
from torch import optim

from descentlab import optimizers
from descentlab.verify import compare, identify, verification

MOMENTUM = {"lr": 0.1, "momentum": 0.9}
RIGHT = [
    (partial(optim.SGD, lr=0.1), "SGD with decay coupled"),
    (partial(optim.SGD, **MOMENTUM), "SGD with momentum and decay coupled"),
    (
        partial(optim.SGD, **MOMENTUM, dampening=0.4),
        "SGD with momentum, dampening and decay coupled",
    ),
    (
        partial(optim.SGD, **MOMENTUM, nesterov=True),
        "SGD with Nesterov's momentum and decay coupled",
    ),
    (optim.Adam, "Adam with decay coupled"),
    (optim.AdamW, "Adam with decay decoupled"),
    (partial(optim.Adam, amsgrad=True), "AMSGrad with decay coupled"),
    (optim.NAdam, "NAdam with decay coupled"),
    (partial(optim.NAdam, decoupled_weight_decay=True), "NAdam with decay decoupled"),
    (optim.RMSprop, "RMSprop with decay coupled"),
    (
        partial(optim.RMSprop, centered=True, momentum=0.5),
        "RMSprop with the second moment centred, momentum and decay coupled",
    ),
    (partial(optim.Adagrad, lr_decay=0.1), "Adagrad with decay coupled"),
    (faulty.Lion, "Lion with decay decoupled"),
    (optimizers.GradientDescent, "SGD"),
    (optimizers.Momentum, "SGD with momentum"),
    (optimizers.Adam, "Adam"),
]


@pytest.mark.parametrize(("make", "name"), RIGHT, ids=[name for _, name in RIGHT])
def test_what_is_right_has_no_departures(make, name):
    found = identify(make)
    assert (found.name, found.departures, found.elsewhere) == (name, (), ())
    assert str(found).startswith(f"it is {name}: equal to ")
    assert found.steps == 200
    assert found.deviation < 1e-10


def test_the_sentence_of_the_report():
    found = compare(faulty.EpsInside, optim.Adam, steps=3)
    sentence = str(found).splitlines()[1]
    assert sentence.startswith("it is Adam with eps inside the root and decay coupled: equal to ")
    assert sentence.endswith("in a trial of 200 steps")
    assert found.as_json()["identity"]["departures"] == ("eps inside the root",)


class OfMatrices(faulty.SGDByHand):
    """Nesterov's momentum, by a sign for matrices."""

    def move(self, p, g, s, group):
        b = s["b"] = group["momentum"] * s.get("b", 0) + g
        u = g + group["momentum"] * b
        p -= group["lr"] * (u.sign() if p.ndim == 2 else u)


class FlatOnly(faulty.SGDByHand):
    def move(self, p, g, s, group):
        if p.ndim:
            super().move(p, g, s, group)


class OneBuffer(faulty.SGDByHand):
    """One buffer for all parameters of a shape."""

    def move(self, p, g, s, group):
        super().move(p, g, self.__dict__.setdefault(str(p.shape), {}), group)


class FirstGroup(faulty.SGDByHand):
    def move(self, p, g, s, group):
        super().move(p, g, s, {**group, "lr": self.param_groups[0]["lr"]})


class NoGroups(faulty.SGDByHand):
    def __init__(self, params, lr=0.1, **others):
        params = list(params)
        if isinstance(params[0], dict):
            raise TypeError("give parameters")
        super().__init__(params, lr, **others)


SEVERAL = "on several parameters, on several groups and where gradients are missing it is another"
ELSEWHERE = [
    (OfMatrices, "SGD with Nesterov's momentum", "on a matrix it is another"),
    (FlatOnly, "SGD with momentum and decay coupled", "on a number it is another"),
    (OneBuffer, "SGD with momentum and decay coupled", SEVERAL),
    (FirstGroup, "SGD with momentum and decay coupled", "on several groups it is another"),
    (NoGroups, "SGD with momentum and decay coupled", "on several groups it cannot be told"),
]


@pytest.mark.parametrize(
    ("make", "name", "where"), ELSEWHERE, ids=[m.__name__ for m, *_ in ELSEWHERE]
)
def test_what_is_another_elsewhere_than_on_a_vector_is_said(make, name, where):
    found = identify(partial(make, **MOMENTUM))
    assert str(found).startswith(f"on a vector it is {name}")
    assert str(found).endswith(f" in a trial of 200 steps; {where}")


def test_a_rule_that_the_reference_follows_too_is_said_to_be_that():
    """The first line says that it is not the reference: the second may not say that it is."""
    found = compare(FirstGroup, optim.SGD, steps=4, **MOMENTUM)
    said = "on a vector it is SGD with momentum and decay coupled, as the reference is: equal "
    assert str(found).splitlines()[1].startswith(said)
    assert found.as_json()["identity"]["elsewhere"] == ("on several groups it is another",)
    counts = compare(faulty.CountsInGroup, optim.Adam, steps=12, lr=0.1)
    assert counts.identity.reference == ", as the reference is"
    assert counts.identity.elsewhere == ("where gradients are missing it is another",)


def test_other_values_of_the_same_rule_are_named():
    made = partial(optim.SGD, lr=0.02), partial(optim.SGD, lr=0.01)
    said = str(compare(*made, steps=2).identity)
    assert ", as the reference is, but with lr = 0.02 where that has 0.01: equal to" in said
    made = partial(optimizers.GradientDescent, lr=0.02), partial(optim.Adam, lr=0.01)
    assert "as the reference is" not in str(compare(*made, steps=2).identity)  # negative control


class SkipsZeros(faulty.SGDByHand):
    def move(self, p, g, s, group):
        if g.any():
            super().move(p, g, s, group)


def test_what_does_as_the_reference_wherever_it_is_tried_parts_on_named_problems():
    said = str(compare(SkipsZeros, optim.SGD, steps=8, **MOMENTUM).identity)
    assert said.startswith("on random gradients it is SGD with momentum")
    assert ", as the reference is: equal " in said
    assert said.endswith("; they differ on zero gradients")


def test_a_factor_and_a_sign_are_fitted():
    class Backwards(optim.SGD):
        def step(self, closure=None):
            for group in self.param_groups:
                group["lr"] *= -0.25
            super().step(closure)
            for group in self.param_groups:
                group["lr"] /= -0.25

    found = identify(partial(Backwards, **MOMENTUM))
    assert found.departures == ("lr multiplied by -0.25",)
    assert identify(partial(optim.SGD, **MOMENTUM, maximize=True)).departures == (
        "the gradient with the wrong sign",
    )


@pytest.mark.slow
def test_of_an_optimizer_that_is_none_of_them_the_nearest_is_said():
    said = str(identify(optim.Adadelta))
    assert said.startswith("it is none of the variants that are known: the nearest is ")
    assert "from which it differs from step 1 on" in said


def pairs(count, seed):
    draw = random.Random(seed)
    every = [
        (root, pair)
        for root, axes in departing.DEPARTURES.items()
        for one, other in itertools.combinations(axes, 2)
        for pair in itertools.product(axes[one], axes[other])
        if pair not in departing.THE_SAME_AS_ONE
    ]
    return draw.sample(every, count)


@pytest.mark.slow
@pytest.mark.no_cover
@pytest.mark.parametrize(("root", "pair"), pairs(30, seed=0), ids=str)
def test_two_faults_at_once_are_seen_and_both_named(monkeypatch, root, pair):
    monkeypatch.setattr(verification, "_if_it_can", lambda *_: None)  # rates, cost: no part of it
    values = {"lr": 0.01, **({"momentum": 0.9} if root == "SGD" else {})}
    found = compare(departing.departing(root, *pair), getattr(optim, root), steps=12, **values)
    assert found.verdict.startswith("departing.Departing is not ")
    assert sorted(found.identity.departures) == sorted(pair)
    assert found.identity.name.startswith(root)
    assert found.identity.precision == "float64"


def right_settings(draw):
    """Return a right optimizer with random hyperparameters, and the name of what it is."""
    lr, decay = 10 ** draw.uniform(-6, 1), draw.choice([0.0, 10 ** draw.uniform(-4, 0)])
    if draw.random() < 0.5:
        momentum, ahead = draw.uniform(0.05, 0.99), draw.random() < 0.5
        name = "SGD with Nesterov's momentum" if ahead else "SGD with momentum"
        made = partial(
            optim.SGD, lr=lr, momentum=momentum, nesterov=ahead, weight_decay=decay, foreach=False
        )
        return made, f"{name} and decay coupled"
    betas = draw.uniform(0.05, 0.99), draw.uniform(0.5, 0.9999)
    kind, how = draw.choice([(optim.Adam, "coupled"), (optim.AdamW, "decoupled")])
    eps, largest = 10 ** draw.uniform(-12, -3), draw.random() < 0.3
    made = partial(kind, lr=lr, betas=betas, eps=eps, weight_decay=decay, amsgrad=largest)
    return made, f"{'AMSGrad' if largest else 'Adam'} with decay {how}"


def accused(count, seed):
    draw = random.Random(seed)
    found = []
    for number in range(count):
        make, name = right_settings(draw)
        said = identify(make, steps=48, seed=number)
        if (said.name, said.departures) != (name, ()):
            found.append((make, said.name))
    return found


def test_what_is_right_is_not_accused():
    assert accused(10, seed=1) == []


@pytest.mark.slow
def test_what_is_right_is_never_accused_at_a_thousand_settings():
    assert accused(1000, seed=0) == []


def test_an_optimizer_that_takes_no_vector_cannot_be_told():
    class Matrices(optim.SGD):
        def step(self, closure=None):
            for group in self.param_groups:
                if any(each.dim() != 2 for each in group["params"]):
                    raise RuntimeError("matrices only")

    found = compare(Matrices, optim.SGD, steps=2)
    assert found.identity == "which update rule it is cannot be told: matrices only"


def test_nothing_is_drawn_from_the_global_random_state():
    before = torch.get_rng_state()
    identify(optim.Adam)
    assert torch.equal(before, torch.get_rng_state())
