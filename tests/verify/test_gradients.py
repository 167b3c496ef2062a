"""A wrong entry of a gradient is found and named, and a right gradient is never accused."""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from descentlab.verify.gradients import audit


class Planted(torch.autograd.Function):
    """A product of matrices whose backward has one entry times a factor."""

    @staticmethod
    def forward(ctx, x, weight, place, factor):
        ctx.save_for_backward(x, weight)
        ctx.place, ctx.factor = place, factor
        return x @ weight

    @staticmethod
    def backward(ctx, gradient):
        x, weight = ctx.saved_tensors
        slope = x.T @ gradient
        slope.view(-1)[ctx.place] *= ctx.factor
        return gradient @ weight.T, slope, None, None


def drawn(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(st.integers(0, 2**31), st.sampled_from([-1, 0, 0.99, 1.01, 2]), st.integers(0, 10_000 - 1))
@settings(max_examples=12, deadline=None)
def test_one_wrong_entry_of_ten_thousand_is_found_and_named(seed, factor, place):
    weight = (drawn(seed, 100, 100) / 10).requires_grad_()
    x, other = drawn(seed + 1, 8, 100), drawn(seed + 2, 3).requires_grad_()

    def loss(factor=factor):
        return (
            torch.tanh(Planted.apply(x, weight, place, factor)).square().mean() + other.cos().sum()
        )

    (right,) = torch.autograd.grad(loss(1), [weight])
    # rounding of a loss near 4 over steps of 6e-8 is 1e-6
    assume(abs(right.view(-1)[place] * (factor - 1)) > 1e-5)
    found = audit(loss, {"other": other, "weight": weight}, seed)
    (entry,) = found.wrong
    assert (entry.parameter, entry.index) == ("weight", (place // 100, place % 100))
    assert entry.backward == pytest.approx(factor * entry.difference, rel=1e-3)
    assert found.verdict == "wrong"


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh, nn.Hardtanh, nn.LeakyReLU, nn.GELU])
@pytest.mark.parametrize("error", [nn.MSELoss, nn.L1Loss, nn.HuberLoss])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_right_net_is_never_accused(activation, error, dtype):
    for seed in range(3):
        torch.manual_seed(seed)
        width = (3, 20, 50)[seed]
        layers = (nn.Linear(4, width), activation(), nn.Linear(width, width), activation())
        net = nn.Sequential(*layers, nn.Linear(width, 1)).to(dtype).double()
        x, y = drawn(seed, 16, 4), 1e3**seed * drawn(seed + 9, 16, 1)
        found = audit(lambda: error()(net(x), y), dict(net.named_parameters()), seed)  # noqa: B023
        assert found.verdict in ("right", "not differentiable here")
        assert found.wrong == ()


KINKS = {
    "relu at 0": lambda theta: torch.relu(theta).sum(),
    "abs beside 0": lambda theta: (theta + 1e-6).abs().sum(),
    "abs beside 0, by less than rounding of the step": lambda theta: (theta - 1e-9).abs().sum(),
    "a tie of max": lambda theta: theta.max(),
    "clamp at its bound": lambda theta: theta.clamp(min=0).square().sum() + theta.clamp(0, 1).sum(),
    "a huge kink": lambda theta: 1e6 * torch.relu(theta + 2e-6).sum(),
}


@pytest.mark.parametrize("name", KINKS)
def test_a_kink_is_not_accused(name):
    theta = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    found = audit(lambda: KINKS[name](theta), {"theta": theta})
    assert found.verdict == "not differentiable here"


def test_a_wrong_slope_is_seen_beside_a_kink_of_another_entry():
    """Negative control: a kink excuses no entry but its own."""
    theta = torch.zeros(2, 1, dtype=torch.float64, requires_grad=True)
    x = torch.tensor([[1.0, 3.0]], dtype=torch.float64)

    def loss():
        return Planted.apply(x, theta, 1, -1).sum() + torch.relu(theta[0, 0])

    (entry,) = audit(loss, {"theta": theta}).wrong
    assert (entry.index, entry.backward) == ((1, 0), -3)
    assert entry.difference == pytest.approx(3)


def test_parameters_are_as_they_were_and_randomness_is_said():
    theta = drawn(1, 5).requires_grad_()
    before = theta.detach().clone()
    assert audit(lambda: theta.square().sum(), {"theta": theta}).verdict == "right"
    assert torch.equal(theta, before)
    noisy = audit(lambda: (theta * torch.rand(())).sum(), {"theta": theta})
    assert noisy.verdict == "not deterministic"
    with pytest.raises(RuntimeError, match="float32"):
        audit(lambda: theta.float().sum(), {"theta": theta})
