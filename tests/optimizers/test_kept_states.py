"""What a rule keeps between its steps: its own memory, in the parameter's precision."""

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, StepLR

from descentlab.errors import UsageError
from descentlab.optimizers import Adam, GradientDescent, Momentum
from descentlab.optimizers.arithmetic import scaled
from descentlab.optimizers.resumed import configured
from descentlab.optimizers.rule import Rule
from tolerances import FLOAT32


class Remembering(Rule):
    """Gradient descent that keeps the sum of its gradients, times a hyperparameter."""

    def __init__(self, params, lr=0.1, weight=1.0):
        super().__init__(params, lr=lr, weight=weight)

    def check(self, **hyperparameters):
        pass

    @staticmethod
    def update(parameter, gradient, state, hyperparameters):
        total = state.get("total", torch.zeros_like(parameter)) + gradient
        total = total * hyperparameters["weight"]
        return parameter - hyperparameters["lr"] * total, {"total": total, "count": torch.ones(())}


def test_a_state_is_kept_in_the_precision_of_its_parameter():
    torch.manual_seed(0)
    weights = torch.tensor([[0.5], [0.25]], dtype=torch.float64)
    start, gradients = torch.randn(2, 3), torch.randn(4, 2, 3)
    rule = Remembering([stacked := start.clone().requires_grad_()])
    rule.param_groups[0]["weight"] = weights
    expected, total = start.double(), torch.zeros(2, 3)
    for gradient in gradients:
        stacked.grad = gradient.clone()
        rule.step()
        wide = (total + gradient).double() * weights
        expected = (expected.float() - 0.1 * wide).float()
        total = wide.float()
        state = rule.state[stacked]
        assert {name: value.dtype for name, value in state.items()} == {
            **{"total": torch.float32, "count": torch.float32}
        }
        assert torch.equal(state["total"], total)
        assert torch.equal(stacked.detach(), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_multiple_by_a_tensor_is_rounded_once(dtype):
    torch.manual_seed(0)
    target, factors = torch.randn(3, 50).to(dtype), torch.rand(3, 1, dtype=torch.float64)
    found = scaled(target, factors)
    assert found.dtype == dtype
    rows = [target[row] * float(factors[row]) for row in range(3)]
    assert torch.equal(found, torch.stack(rows))
    once = (target.double() * factors).to(dtype)
    assert (found.double() - once.double()).abs().max() <= torch.finfo(dtype).eps


def test_a_sparse_gradient_is_not_what_momentum_keeps():
    table = torch.nn.Embedding(5, 2, sparse=True)
    rule = Momentum(table.parameters(), lr=0.1, momentum=0.9)
    table(torch.tensor([1, 3])).sum().backward()
    rule.step()
    kept = rule.state[table.weight]
    assert kept
    before = [value.to_dense().clone() for value in kept.values()]
    table.weight.grad.zero_()  # as `zero_grad(set_to_none=False)` does
    for value, was in zip(kept.values(), before, strict=True):
        assert torch.equal(value.to_dense(), was)
        assert was.abs().sum() > 0


class Extrapolating(Rule):
    """Steps by the change of the gradient, and keeps all that it was given, as it was given."""

    def __init__(self, params, lr=0.1):
        super().__init__(params, lr=lr)

    def check(self, *, lr):
        pass

    @staticmethod
    def update(parameter, gradient, state, hyperparameters):
        last = state.get("gradient", gradient)
        moved = parameter - hyperparameters["lr"] * (2 * gradient - last).to_dense()
        kept = {"parameter": parameter, "data": parameter.detach(), "gradient": gradient}
        return moved, kept


@pytest.mark.parametrize("sparse", [True, False])
def test_what_was_given_is_kept_as_it_was(sparse):
    torch.manual_seed(0)
    table = torch.nn.Embedding(5, 2, sparse=sparse)
    rule = Extrapolating(table.parameters())
    expected, last = table.weight.detach().clone(), None
    for row in (1, 3, 1, 4):
        before = expected.clone()
        rule.zero_grad(set_to_none=last is None)
        table(torch.tensor([row])).square().sum().backward()
        gradient = torch.zeros(5, 2)
        gradient[row] = 2 * before[row]
        rule.step()
        expected = before - 0.1 * (2 * gradient - (gradient if last is None else last))
        last = gradient
        torch.testing.assert_close(table.weight.detach(), expected, rtol=FLOAT32, atol=0)
        kept = rule.state[table.weight]
        assert torch.equal(kept["parameter"], before)
        assert torch.equal(kept["data"], before)
        table.weight.grad.zero_()
        assert torch.equal(kept["gradient"].to_dense(), gradient)


def test_a_rule_that_keeps_nothing_has_no_state():
    theta = torch.randn(3, requires_grad=True)
    ours, theirs = GradientDescent([theta], lr=0.1), torch.optim.SGD([theta], lr=0.1)
    for optimizer in (ours, theirs):
        theta.grad = torch.randn(3)
        optimizer.step()
    assert ours.state_dict()["state"] == {}
    assert all(value is None for each in theirs.state.values() for value in each.values())


def test_defaults_are_those_of_torch_where_it_has_them():
    parameter = [torch.zeros(1, requires_grad=True)]
    ours, theirs = Adam(parameter).defaults, torch.optim.Adam(parameter).defaults
    assert ours == {name: theirs[name] for name in ours}
    assert GradientDescent(parameter).defaults == {"lr": 0.01}
    assert Momentum(parameter).defaults["momentum"] == 0.9


@pytest.mark.parametrize(("make", "name"), [(StepLR, "step_size"), (CosineAnnealingLR, "T_max")])
def test_a_period_below_one_is_refused(make, name):
    rule = GradientDescent([torch.zeros(1, requires_grad=True)], lr=0.1)
    with pytest.raises(UsageError, match=rf"{name} = 0: give 1 or more"):
        configured(rule, make(rule, 0))
    assert configured(rule, make(rule, 1))["schedule"]
