"""The rules against torch.optim, step by step, state included."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from descentlab import optimizers
from descentlab.optimizers import Adam, GradientDescent, Momentum, Rule

PAIRS = [
    pytest.param(GradientDescent, torch.optim.SGD, {"lr": 0.01}, id="gradient-descent"),
    pytest.param(Momentum, torch.optim.SGD, {"lr": 0.01, "momentum": 0.9}, id="momentum"),
    pytest.param(Momentum, torch.optim.SGD, {"lr": 0.01, "momentum": 0.0}, id="momentum-0"),
    pytest.param(Momentum, torch.optim.SGD, {"lr": 0.001, "momentum": 1.0}, id="momentum-1"),
    pytest.param(Adam, torch.optim.Adam, {"lr": 0.1}, id="adam"),
    pytest.param(
        Adam, torch.optim.Adam, {"lr": 0.02, "betas": (0.5, 0.7), "eps": 1e-3}, id="adam-betas"
    ),
    pytest.param(Adam, torch.optim.Adam, {"lr": 0.02, "betas": (0.0, 0.0)}, id="adam-no-memory"),
]


def problem(dtype):
    """A stochastic least-squares problem: its parameters, and its loss at step t."""
    generator = torch.Generator().manual_seed(3)
    start = [torch.randn(4, 3, generator=generator, dtype=dtype), torch.ones(3, dtype=dtype)]
    inputs = torch.randn(50, 8, 4, generator=generator, dtype=dtype)

    def loss(parameters, step):
        weight, bias = parameters
        return (inputs[step % 50] @ weight + bias).abs().square().mean()

    return start, loss


def trajectory(optimizer_class, hyperparameters, dtype, steps):
    """Parameters and optimizer state after every step."""
    start, loss = problem(dtype)
    parameters = [p.clone().requires_grad_() for p in start]
    optimizer = optimizer_class(parameters, **hyperparameters)
    seen = []
    for step in range(steps):
        optimizer.zero_grad()
        loss(parameters, step).backward()
        optimizer.step()
        state = [optimizer.state[p] for p in parameters]
        seen.append(
            [p.detach().clone() for p in parameters]
            + [
                torch.as_tensor(s[key]).clone()
                for s in state
                for key in sorted(s)
                if s[key] is not None
            ]
        )
    return seen


def first_difference(ours, theirs):
    """The first step at which anything differs, bit for bit, or None."""
    for step, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
        if len(mine) != len(other) or not all(map(equal, mine, other)):
            return step
    return None


def equal(one, other):
    """Whether two tensors hold the same numbers, in the same type; NaN where the other is NaN."""
    same = one.shape == other.shape and one.dtype == other.dtype
    return same and torch.allclose(one, other, rtol=0, atol=0, equal_nan=True)


DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
DTYPES += [torch.complex64, torch.complex128]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("rule", "reference", "hyperparameters"), PAIRS)
def test_bit_for_bit_equal_to_torch(rule, reference, hyperparameters, dtype):
    steps = 1000 if dtype in (torch.float32, torch.float64) else 300
    ours = trajectory(rule, hyperparameters, dtype, steps)
    theirs = trajectory(reference, hyperparameters | {"foreach": False}, dtype, steps)
    if rule is Momentum and hyperparameters["momentum"] == 0:
        # torch keeps no buffer for momentum 0: only the parameters can be compared
        ours = [step[:2] for step in ours]
    assert first_difference(ours, theirs) is None


class FlippedSign(GradientDescent):
    """Negative control: goes uphill."""

    @staticmethod
    def update(parameter, gradient, state, hyperparameters):
        return parameter.add(gradient, alpha=hyperparameters["lr"]), {}


class RoundedTwice(GradientDescent):
    """Negative control: right in exact arithmetic, not bit for bit."""

    @staticmethod
    def update(parameter, gradient, state, hyperparameters):
        return parameter - hyperparameters["lr"] * gradient, {}


class NoBiasCorrection(Adam):
    """Negative control: Adam without its bias correction."""

    @staticmethod
    def update(parameter, gradient, state, hyperparameters):
        if state:
            state = {**state, "step": state["step"] + 1e6}
        return Adam.update(parameter, gradient, state, hyperparameters)


@pytest.mark.parametrize(
    ("wrong", "reference", "hyperparameters"),
    [
        pytest.param(FlippedSign, torch.optim.SGD, {"lr": 0.01}, id="sign"),
        pytest.param(RoundedTwice, torch.optim.SGD, {"lr": 0.01}, id="rounding"),
        pytest.param(NoBiasCorrection, torch.optim.Adam, {"lr": 0.01}, id="bias-correction"),
    ],
)
def test_a_wrong_rule_is_caught(wrong, reference, hyperparameters):
    ours = trajectory(wrong, hyperparameters, torch.float32, 20)
    theirs = trajectory(reference, hyperparameters | {"foreach": False}, torch.float32, 20)
    assert first_difference(ours, theirs) is not None


@pytest.mark.parametrize(("rule", "reference", "hyperparameters"), PAIRS)
def test_a_learning_rate_off_by_one_percent_is_caught(rule, reference, hyperparameters):
    off = hyperparameters | {"lr": hyperparameters["lr"] * 1.01}
    ours = [step[:2] for step in trajectory(rule, off, torch.float64, 1)]
    theirs = trajectory(reference, hyperparameters | {"foreach": False}, torch.float64, 1)
    assert first_difference(ours, [step[:2] for step in theirs]) == 0


@pytest.mark.parametrize(("rule", "reference", "hyperparameters"), PAIRS)
def test_state_dict_goes_both_ways_to_torch(rule, reference, hyperparameters):
    """Ten steps of ours, ten of theirs from our state, equal to twenty of either."""
    start, loss = problem(torch.float64)

    def steps(optimizer, parameters, first, last):
        for step in range(first, last):
            optimizer.zero_grad()
            loss(parameters, step).backward()
            optimizer.step()

    whole = [p.clone().requires_grad_() for p in start]
    steps(rule(whole, **hyperparameters), whole, 0, 20)
    for first_class, second_class in [(rule, rule), (rule, reference), (reference, rule)]:
        parts = [p.clone().requires_grad_() for p in start]
        one = first_class(parts, **hyperparameters)
        steps(one, parts, 0, 10)
        two = second_class(parts, **hyperparameters)
        groups = [
            g | {"params": o["params"]}
            for g, o in zip(
                two.state_dict()["param_groups"], one.state_dict()["param_groups"], strict=True
            )
        ]
        two.load_state_dict({"state": one.state_dict()["state"], "param_groups": groups})
        if second_class is reference:
            for group in two.param_groups:
                group["foreach"] = False
        steps(two, parts, 10, 20)
        assert first_difference([parts], [whole]) is None


@pytest.mark.parametrize(
    ("rule", "hyperparameters", "named"),
    [
        (GradientDescent, {"lr": 0.0}, "lr"),
        (GradientDescent, {"lr": -1.0}, "lr"),
        (GradientDescent, {"lr": math.nan}, "lr"),
        (GradientDescent, {"lr": math.inf}, "lr"),
        (Momentum, {"lr": 0}, "lr"),
        (Momentum, {"momentum": -0.1}, "momentum"),
        (Momentum, {"momentum": 1.1}, "momentum"),
        (Momentum, {"momentum": math.nan}, "momentum"),
        (Adam, {"lr": 0.0}, "lr"),
        (Adam, {"betas": (1.0, 0.999)}, r"betas\[0\]"),
        (Adam, {"betas": (0.9, 1.0)}, r"betas\[1\]"),
        (Adam, {"betas": (-0.1, 0.9)}, r"betas\[0\]"),
        (Adam, {"betas": (math.nan, 0.9)}, r"betas\[0\]"),
        (Adam, {"eps": -1e-8}, "eps"),
        (Adam, {"eps": math.inf}, "eps"),
    ],
)
def test_bad_hyperparameters_are_refused_by_name(rule, hyperparameters, named):
    theta = torch.zeros(1, requires_grad=True)
    with pytest.raises(ValueError, match=rf"^{named} must be .*, and \S+ was given$"):
        rule([theta], **hyperparameters)
    with pytest.raises(ValueError, match=rf"^{named} must be"):
        rule([{"params": [theta], **hyperparameters}])


def test_hyperparameters_at_the_ends_of_their_ranges_are_allowed():
    theta = [torch.zeros(1, requires_grad=True)]
    for rule, ends in [
        (Momentum, {"momentum": 0.0}),
        (Momentum, {"momentum": 1.0}),
        (Adam, {"betas": (0.0, 0.0), "eps": 0.0}),
    ]:
        assert {name: rule(theta, **ends).defaults[name] for name in ends} == ends


def test_defaults_are_those_of_torch_or_of_the_pages():
    theta = [torch.zeros(1, requires_grad=True)]
    torchs = torch.optim.Adam(theta).defaults
    assert Adam(theta).defaults == {name: torchs[name] for name in ("lr", "betas", "eps")}
    assert GradientDescent(theta).defaults == {"lr": 0.01}
    assert Momentum(theta).defaults == {"lr": 0.01, "momentum": 0.9}


def test_the_closure_is_called_once_with_gradients_enabled():
    theta = torch.tensor(3.0, requires_grad=True)
    calls = []

    def closure():
        calls.append(torch.is_grad_enabled())
        loss = theta**2
        loss.backward()
        return loss

    with torch.no_grad():
        loss = GradientDescent([theta], lr=0.25).step(closure)
    assert calls == [True]
    assert loss.item() == 9.0
    assert theta.item() == 1.5


@given(
    start=st.floats(-100, 100),
    lr=st.floats(1e-4, 0.99),
    steps=st.integers(0, 30),
)
@settings(deadline=None, max_examples=50)
def test_gradient_descent_on_the_square_has_its_closed_form(start, lr, steps):
    theta = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    rule = GradientDescent([theta], lr=lr)
    for _ in range(steps):
        rule.zero_grad()
        (theta**2).backward()
        rule.step()
    assert theta.item() == pytest.approx(start * (1 - 2 * lr) ** steps, rel=1e-10, abs=1e-12)


def test_the_table_names_every_rule():
    rules = {
        cls
        for name in optimizers.__all__
        if isinstance(cls := getattr(optimizers, name), type) and cls is not Rule
    }
    assert rules == {pair.values[0] for pair in PAIRS}
