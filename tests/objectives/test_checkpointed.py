"""Long horizons in little memory: the same gradient, and memory of order √T."""

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck, gradgradcheck

from descentlab.datamodules import InitialStates
from descentlab.errors import UsageError
from descentlab.modules import LinearDynamics
from descentlab.objectives.checkpointed import checkpointed, steps
from tolerances import FLOAT64

SCRIPTS = Path(__file__).parents[2] / "scripts"

#: the peak of a process's memory for a backward pass through steps that are remembered
PROBE = """
import sys, torch
from benchmarks.measure import peak_memory
from descentlab.objectives import checkpointed
torch.set_num_threads(1)
through = getattr(checkpointed, sys.argv[1])
theta = torch.zeros((), requires_grad=True)
def backward(count):
    through(lambda x, t: torch.sin(x) + t, torch.ones(2**15), theta, count).sum().backward()
backward(4)
before = peak_memory()
backward(6400)
print(peak_memory() - before)
"""


def curved(x, theta):
    """A step whose derivative depends on state and parameter."""
    return torch.sin(x) + theta * x.cos()


def gradients(through, step, x0, theta, count):
    x0, theta = x0.clone().requires_grad_(), theta.clone().requires_grad_()
    final = through(step, x0, theta, count)
    return final.detach(), *torch.autograd.grad((final**2).sum(), (x0, theta))


@given(
    count=st.integers(1, 40),
    seed=st.integers(0, 99),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    step=st.sampled_from([torch.add, curved]),
)
@settings(deadline=None, max_examples=60)
def test_it_is_the_same_bit_for_bit(count, seed, dtype, step):
    torch.manual_seed(seed)
    x0, theta = torch.randn(5, dtype=dtype), torch.randn((), dtype=dtype)
    full = gradients(steps, step, x0, theta, count)
    sparing = gradients(checkpointed, step, x0, theta, count)
    assert all(map(torch.equal, full, sparing))


def test_one_step_less_is_another_gradient():
    """Negative control of the comparison."""
    x0, theta = torch.randn(5), torch.tensor(0.3)
    assert not torch.equal(
        gradients(steps, curved, x0, theta, 9)[2], gradients(checkpointed, curved, x0, theta, 8)[2]
    )


def test_it_is_differentiable_once_and_twice():
    x0 = torch.randn(3, dtype=torch.float64, requires_grad=True)
    theta = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda x, t: checkpointed(curved, x, t, 7), (x0, theta))
    assert gradgradcheck(lambda x, t: checkpointed(curved, x, t, 7), (x0, theta))


def test_members_of_a_sweep_are_batched():
    x0 = torch.randn(3, dtype=torch.float64)
    thetas = torch.linspace(-1, 1, 4, dtype=torch.float64)

    def slope(theta):
        return torch.func.grad(lambda t: checkpointed(curved, x0, t, 10).sum())(theta)

    together = torch.func.vmap(slope)(thetas)
    single = torch.stack([slope(theta) for theta in thetas])
    torch.testing.assert_close(together, single, rtol=FLOAT64, atol=FLOAT64)


def test_nothing_is_kept_where_no_gradient_is_asked_for():
    with torch.no_grad():
        assert checkpointed(torch.add, torch.zeros(2), torch.tensor(0.5), 4).tolist() == [2.0, 2.0]


def test_a_module_has_the_choice():
    losses = {}
    for memory in ("full", "checkpointed"):
        data = InitialStates(64)
        data.setup("fit")
        (batch,) = data.train_dataloader()
        module = LinearDynamics(1000, theta=0.01, memory=memory)
        loss = module.loss(batch)
        loss.backward()
        losses[memory] = loss.item(), module.theta.grad.item()
    assert losses["full"] == losses["checkpointed"]
    with pytest.raises(UsageError, match="'half' is neither of full, checkpointed"):
        LinearDynamics(3, memory="half")


@pytest.mark.slow
@pytest.mark.no_cover
@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process is read from /proc")
def test_memory_is_of_the_order_of_the_root_of_the_horizon():
    states = 4 * 2**15 * math.isqrt(6400)  # bytes of as many states as the root of the horizon
    peaks = {}
    for through in ("checkpointed", "steps"):
        words = [sys.executable, "-c", PROBE, through]
        done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=SCRIPTS)
        peaks[through] = int(done.stdout)
    assert peaks["checkpointed"] <= 6 * states + 20e6
    assert peaks["steps"] > 60 * states  # negative control: all of them are 80 times as many
