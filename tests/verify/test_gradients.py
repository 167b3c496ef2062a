"""A wrong entry of a gradient is found and named, and a right gradient is never accused."""

import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from descentlab.verify.gradients import audit
from tolerances import FLOAT64


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
    # of a slope of all entries near 1 it may differ by 1e-5, and by rounding of a loss near 4
    assume(abs(right.view(-1)[place] * (factor - 1)) > 3e-5)
    found = audit(loss, {"other": other, "weight": weight}, seed)
    (entry,) = found.wrong
    assert (entry.parameter, entry.index) == ("weight", (place // 100, place % 100))
    assert entry.backward == pytest.approx(factor * entry.difference, rel=1e-3)
    assert found.verdict == "wrong"
    assert found.ways == ("differences",)
    assert "Planted" in found.no_forward or "jvp" in found.no_forward


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
        assert found.ways == ("differences", "forward mode")


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
    assert found.ways == ("differences", "forward mode")


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
    for factor in (math.nan, math.inf, -math.inf):
        endless = audit(lambda factor=factor: theta.square().sum() * factor, {"theta": theta})
        assert (endless.verdict, endless.slopes, endless.wrong) == ("not finite", 0, ())
    with pytest.raises(RuntimeError, match="float32"):
        audit(lambda: theta.float().sum(), {"theta": theta})


class Cube(torch.autograd.Function):
    """The third power, its two derivatives times factors."""

    @staticmethod
    def forward(x, backward, forward):
        return x**3

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, ctx.backwards, ctx.forwards = inputs
        ctx.save_for_backward(x)
        ctx.save_for_forward(x)

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return ctx.backwards * 3 * x**2 * gradient, None, None

    @staticmethod
    def jvp(ctx, tangent, *_):
        (x,) = ctx.saved_tensors
        return ctx.forwards * 3 * x**2 * tangent


@pytest.mark.parametrize("size", [3, 100])
@pytest.mark.parametrize(
    ("backward", "forward", "verdict"),
    [(1.0, 1.0, "right"), (1.0, 1.1, "wrong"), (1.0 + 1e-6, 1.0, "wrong"), (2.0, 2.0, "wrong")],
)
def test_forward_mode_sees_what_differences_cannot(size, backward, forward, verdict):
    """An error of 1e-6 is below what is allowed of differences; one of both modes is not."""
    theta = (1 + drawn(7, size).abs()).requires_grad_()
    found = audit(lambda: Cube.apply(theta, backward, forward).sum(), {"theta": theta})
    assert (found.verdict, found.ways) == (verdict, ("differences", "forward mode"))
    for entry in found.wrong:
        slope = 3 * theta[entry.index].item() ** 2
        assert entry.backward == pytest.approx(backward * slope, rel=FLOAT64)
        assert entry.forward == pytest.approx(forward * slope, rel=FLOAT64)
        assert f", forward mode {entry.forward:.9g}" in str(entry)


@pytest.mark.parametrize("factor", [1.0, 1.0 + 1e-6])
def test_a_closed_form_is_compared(factor):
    theta = drawn(3, 100).requires_grad_()
    closed = factor * theta.detach().cos()
    found = audit(lambda: theta.sin().sum(), {"theta": theta}, closed=closed)
    assert found.ways == ("differences", "forward mode", "closed form")
    assert found.verdict == ("right" if factor == 1 else "wrong")
    for entry in found.wrong:
        assert entry.closed == closed[entry.index].item()
        assert "the closed form" in str(entry)


def test_forward_mode_that_is_not_that_of_the_loss_is_left_out():
    theta = drawn(3, 5).requires_grad_()

    def of_another_loss():
        tangent = torch.autograd.forward_ad.unpack_dual(theta).tangent
        return theta.square().sum() if tangent is None else theta.square().sum() + 1

    found = audit(of_another_loss, {"theta": theta})
    assert (found.verdict, found.no_forward) == (
        "right",
        "the loss is another one in forward mode",
    )
    found = audit(lambda: Cube.apply(theta, 1.0, torch.nan).sum(), {"theta": theta})
    assert (found.verdict, found.no_forward) == ("right", "it gives nan")


@pytest.mark.parametrize(("each", "evaluations"), [(torch.square, 2), (torch.relu, 7)])
def test_a_smooth_loss_is_evaluated_less_often_than_one_with_kinks(each, evaluations):
    theta = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    calls = []

    def loss():
        calls.append(1)
        return each(theta).sum()

    audit(loss, {"theta": theta})
    assert len(calls) == 4 + 3 * evaluations  # at the start, forward along all, and of each entry
