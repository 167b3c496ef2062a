"""Groups of parameters, and what comes back from a state, a copy and a pickle."""

import copy
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_rules import PAIRS, equal

from descentlab.errors import UsageError
from descentlab.optimizers import Adam, GradientDescent, Momentum


def stepped(optimizer_class, hyperparameters, **extra):
    parameters = [torch.tensor([1.0, -2.0], requires_grad=True)]
    optimizer = optimizer_class(parameters, **hyperparameters, **extra)
    step(optimizer)
    return optimizer


def step(optimizer):
    optimizer.zero_grad()
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    torch.stack([(p**2).sum() for p in parameters]).sum().backward()
    optimizer.step()


def loaded(optimizer):
    optimizer.load_state_dict(optimizer.state_dict())
    return optimizer


@pytest.mark.parametrize(("rule", "reference", "hyperparameters"), PAIRS)
def test_groups_keep_hyperparameters_of_their_own(rule, reference, hyperparameters):
    def run(optimizer_class, **extra):
        parameters = [torch.tensor([1.0, 2.0], requires_grad=True) for _ in range(3)]
        groups = [{"params": parameters[:1]}, {"params": parameters[1:], "lr": 0.5}]
        optimizer = optimizer_class(groups, **hyperparameters, **extra)
        for _ in range(20):
            optimizer.zero_grad()
            (parameters[0] ** 2 + 0.5 * parameters[1] ** 2).sum().backward()
            optimizer.step()
        return [p.detach() for p in parameters]

    ours, theirs = run(rule), run(reference, foreach=False)
    assert all(map(equal, ours, theirs))
    assert torch.equal(ours[2], torch.tensor([1.0, 2.0]))  # no gradient: passed over


WAYS = [
    pytest.param(loaded, id="load_state_dict"),
    pytest.param(copy.deepcopy, id="deepcopy"),
    pytest.param(lambda optimizer: pickle.loads(pickle.dumps(optimizer)), id="pickle"),
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("rule", "reference", "hyperparameters"), PAIRS)
def test_what_comes_back_takes_another_group_and_goes_on(rule, reference, hyperparameters, way):
    ours, theirs = (
        stepped(rule, hyperparameters),
        stepped(reference, hyperparameters, foreach=False),
    )
    names = set(ours.defaults)
    ours = way(ours)
    assert set(ours.defaults) == names
    for optimizer in (ours, theirs):
        optimizer.add_param_group({"params": [torch.tensor([3.0], requires_grad=True)], "lr": 0.2})
        for _ in range(3):
            step(optimizer)
    for mine, other in zip(ours.param_groups, theirs.param_groups, strict=True):
        assert all(map(equal, mine["params"], other["params"]))
        assert mine["lr"] == other["lr"]


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        (GradientDescent, "weight_decay"),
        (GradientDescent, "momentum"),
        (Momentum, "nesterov"),
        (Adam, "weight_decay"),
        (Adam, "ls"),
    ],
)
def test_a_hyperparameter_that_a_rule_has_not_is_refused(rule, name):
    theta = torch.zeros(1, requires_grad=True)
    with pytest.raises(UsageError, match=rf"has {name} = 0\.1, and {rule.__name__} has lr"):
        rule([{"params": [theta], name: 0.1}])
    optimizer = rule([theta])
    with pytest.raises(UsageError, match=f"has {name} ="):
        optimizer.add_param_group({"params": [torch.zeros(1, requires_grad=True)], name: 0.1})
    assert len(optimizer.param_groups) == 1


def test_labels_and_what_schedulers_keep_are_no_hyperparameters():
    theta = torch.zeros(1, requires_grad=True)
    optimizer = GradientDescent([{"params": [theta], "name": "bias", "initial_lr": 0.1}], lr=0.1)
    torch.optim.lr_scheduler.StepLR(optimizer, 1, last_epoch=0)
    named = GradientDescent([("theta", theta)], lr=0.1)
    assert named.param_groups[0]["param_names"] == ["theta"]


@pytest.mark.parametrize("default", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_adam_counts_as_torch_does_under_any_default_type(default):
    def count(optimizer_class, **extra):
        theta = torch.ones(2, dtype=torch.bfloat16, requires_grad=True)
        optimizer = optimizer_class([theta], lr=1e-3, **extra)
        for _ in range(300):
            theta.grad = torch.ones_like(theta)
            optimizer.step()
        return optimizer.state[theta]["step"], theta.detach()

    before = torch.get_default_dtype()
    torch.set_default_dtype(default)
    try:
        ours, theirs = count(Adam), count(torch.optim.Adam, foreach=False)
    finally:
        torch.set_default_dtype(before)
    assert all(map(equal, ours, theirs))
    assert ours[0].item() == 300


NUMBERS = st.floats(-100, 100, width=16)
SHAPES = st.lists(st.lists(st.integers(0, 4), max_size=3), min_size=1, max_size=3)
TYPES = st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64])
TYPES |= st.sampled_from([torch.complex64, torch.complex128])


@given(
    pair=st.sampled_from([pair for pair in PAIRS if pair.values[2].get("momentum") != 0]),
    shapes=SHAPES,
    dtype=TYPES,
    rates=st.lists(st.floats(1e-4, 1.0), min_size=3, max_size=3),
    scale=NUMBERS,
    seed=st.integers(0, 2**20),
    transposed=st.booleans(),
)
@settings(deadline=None, max_examples=100)
def test_any_shapes_types_values_and_groups(pair, shapes, dtype, rates, scale, seed, transposed):
    rule, reference, hyperparameters = pair.values

    def run(optimizer_class, **extra):
        generator = torch.Generator().manual_seed(seed)

        def draw(shape):
            drawn = torch.randn(shape, generator=generator, dtype=torch.complex128)
            return (drawn if dtype.is_complex else drawn.real).to(dtype)

        parameters = [draw(shape) for shape in shapes]
        if transposed:
            parameters = [p.permute(tuple(reversed(range(p.dim())))) for p in parameters]
        parameters = [p.requires_grad_() for p in parameters]
        groups = [{"params": [p], "lr": lr} for p, lr in zip(parameters, rates, strict=False)]
        optimizer = optimizer_class(groups, **hyperparameters, **extra)
        for number in range(4):
            for index, p in enumerate(parameters):
                gone = (number + index) % 3 == 2  # now and then a parameter has no gradient
                p.grad = None if gone else scale * draw(p.shape)
            optimizer.step()
        state = [optimizer.state[p] for p in parameters]
        return [p.detach() for p in parameters], [
            (name, value) for each in state for name, value in sorted(each.items())
        ]

    (ours, our_state), (theirs, their_state) = run(rule), run(reference, foreach=False)
    assert all(map(equal, ours, theirs))
    their_state = [(name, value) for name, value in their_state if value is not None]
    assert [name for name, _ in our_state] == [name for name, _ in their_state]
    assert all(
        equal(mine, other) for (_, mine), (_, other) in zip(our_state, their_state, strict=True)
    )
