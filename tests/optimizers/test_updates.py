"""`update` is a pure function, for hyperparameters that are numbers or tensors."""

import pytest
import torch
from test_rules import DTYPES, PAIRS

from descentlab.optimizers import Momentum, Rule
from descentlab.optimizers.arithmetic import add_scaled
from tolerances import FLOAT32, FLOAT64

ROWS = 3
HALF = 2**-7  # a unit in bfloat16's last place
TOLERANCES = {
    torch.float32: FLOAT32,
    torch.complex64: FLOAT32,
    torch.float16: HALF,
    torch.bfloat16: HALF,
}
SWEPT = [
    pytest.param(rule, name, hyperparameters, id=f"{pair.id}-{name}")
    for pair in PAIRS
    for rule, hyperparameters in [(pair.values[0], pair.values[2])]
    for name, value in rule([torch.zeros(1)], **hyperparameters).defaults.items()
    if isinstance(value, float)
]


def as_tensors(value):
    if isinstance(value, tuple):
        return tuple(map(as_tensors, value))
    return torch.tensor(value, dtype=torch.float64)


def drawn(dtype, count=10, shape=(8, 8)):
    """A start and some gradients; whole vectors, since torch rounds what is left of one twice."""
    generator = torch.Generator().manual_seed(7)
    start, *gradients = torch.randn(1 + count, *shape, generator=generator, dtype=dtype)
    return start, gradients


def steps(optimizer, dtype, hyperparameters):
    """The parameter and its state after every update by `moved`, as compiled updates make them."""
    (parameter, gradients), state, seen = drawn(dtype), {}, []
    for gradient in gradients:
        parameter, state = optimizer.moved(parameter, gradient, state, hyperparameters)
        seen.append([parameter, *state.values()])
    return seen


def assert_same(one, other, tolerance):
    for mine, theirs in zip(one, other, strict=True):
        for value, expected in zip(mine, theirs, strict=True):
            torch.testing.assert_close(value, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("rule", "reference", "hyperparameters"), PAIRS)
def test_tensors_do_what_numbers_do(rule, reference, hyperparameters, dtype):
    optimizer = rule([torch.zeros(1, requires_grad=True)], **hyperparameters)
    numbers, tolerance = optimizer.defaults, TOLERANCES.get(dtype, FLOAT64)
    tensors = {name: as_tensors(value) for name, value in numbers.items()}
    by_numbers = steps(optimizer, dtype, numbers)
    assert_same(steps(optimizer, dtype, tensors), by_numbers, tolerance)
    other = {**tensors, "lr": tensors["lr"] * 1.5}  # negative control
    with pytest.raises(AssertionError):
        assert_same(steps(optimizer, dtype, other), by_numbers, tolerance)


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float64, torch.bfloat16, torch.complex64], ids=str
)
@pytest.mark.parametrize(("rule", "name", "hyperparameters"), SWEPT)
def test_each_row_has_a_value_of_its_own(rule, name, hyperparameters, dtype):
    """Stepped as a sweep does; the truth is the rule with a number, row by row."""
    start, gradients = drawn(dtype, shape=(ROWS, 8, 8))
    optimizer = rule([stacked := start.clone().requires_grad_()], **hyperparameters)
    values = torch.tensor([1e-3, 0.1, 0.5], dtype=torch.float64)
    optimizer.param_groups[0][name] = values.view(ROWS, 1, 1)
    alone = [start[row].clone().requires_grad_() for row in range(ROWS)]
    own = [
        rule([row], **{**hyperparameters, name: value})
        for row, value in zip(alone, values.tolist(), strict=True)
    ]
    for gradient in gradients:
        stacked.grad = gradient.clone()
        optimizer.step()
        for row, each in enumerate(own):
            alone[row].grad = gradient[row].clone()
            each.step()
    assert stacked.dtype == dtype
    tolerance = TOLERANCES.get(dtype, FLOAT64)
    assert_same([[stacked.detach()]], [[torch.stack([p.detach() for p in alone])]], tolerance)
    for key, value in optimizer.state[stacked].items():
        rows = [optimizer_.state[p][key] for optimizer_, p in zip(own, alone, strict=True)]
        expected = torch.stack(rows) if value.dim() else rows[0]
        assert_same([[value]], [[expected]], tolerance)
        assert value.dtype == expected.dtype


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("rule", "reference", "hyperparameters"), PAIRS)
def test_nothing_that_is_given_changes(rule, reference, hyperparameters, dtype):
    (parameter, (gradient,)), state = drawn(dtype, count=1), {}
    full = rule([torch.zeros(1, requires_grad=True)], **hyperparameters).defaults
    for _ in range(3):
        given = [parameter, gradient, *state.values()]
        before = [value.clone() for value in given]
        parameter, state = rule.update(parameter, gradient, state, full)
        assert all(map(torch.equal, given, before))


class Plain(Rule):
    """A rule as a reader of a textbook writes it: with operators, keeping what it was given."""

    def __init__(self, params, lr=0.1):
        super().__init__(params, lr=lr)

    def check(self, *, lr):
        pass

    @staticmethod
    def update(parameter, gradient, state, hyperparameters):
        last = state.get("last_gradient", gradient)
        direction = 2 * gradient - last
        moved = parameter - hyperparameters["lr"] * direction
        return moved, {"last_gradient": gradient, "last_parameter": parameter.detach()}


@pytest.mark.parametrize("set_to_none", [True, False])
@pytest.mark.parametrize("lr", [0.1, torch.tensor([[0.1], [0.1]], dtype=torch.float64)], ids=str)
def test_what_is_kept_is_not_what_changes_in_place(lr, set_to_none):
    theta = torch.tensor([[1.0], [-3.0]], requires_grad=True)
    optimizer = Plain([theta])
    optimizer.param_groups[0]["lr"] = lr
    expected, last = theta.detach().double(), None
    for _ in range(5):
        optimizer.zero_grad(set_to_none)
        (theta**2).sum().backward()
        optimizer.step()
        gradient = 2 * expected
        before, last = expected, gradient if last is None else last
        expected, last = expected - 0.1 * (2 * gradient - last), gradient
        torch.testing.assert_close(theta.detach().double(), expected, rtol=FLOAT32, atol=0)
        kept = optimizer.state[theta]
        assert {value.dtype for value in kept.values()} == {torch.float32}
        torch.testing.assert_close(kept["last_gradient"].double(), last, rtol=FLOAT32, atol=0)
        torch.testing.assert_close(kept["last_parameter"].double(), before, rtol=FLOAT32, atol=0)


def test_a_sparse_gradient_is_followed_as_torch_does():
    def run(optimizer_class, **extra):
        table = torch.nn.Embedding(5, 2, sparse=True)
        torch.nn.init.constant_(table.weight, 1.0)
        optimizer = optimizer_class(table.parameters(), lr=0.1, momentum=0.9, **extra)
        for row in (1, 3, 1):
            optimizer.zero_grad()
            table(torch.tensor([row, 1])).square().sum().backward()
            optimizer.step()
        return table.weight.detach()

    assert torch.equal(run(Momentum), run(torch.optim.SGD, foreach=False))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_rounds_as_torch_does(dtype):
    start, (slope,) = drawn(dtype, count=1, shape=(64, 64))
    expected = start.add(slope, alpha=-0.0123)
    factor = torch.tensor([[-0.0123]], dtype=torch.float64)
    assert torch.equal(add_scaled(start, slope, factor), expected)
    unrounded = (start.double() + slope.double() * -0.0123).to(dtype)
    assert not torch.equal(unrounded, expected)  # negative control: the factor is rounded too
