"""The largest curvature during a run, against closed forms, and the run beside it."""

import pytest
import torch
from foreign import Foreign, data, fit
from lightning.pytorch import LightningModule
from torch import nn

from descentlab.callbacks import Stability
from descentlab.callbacks.stability import has_kinks, largest_eigenvalue
from descentlab.errors import UsageError

EITHER = pytest.mark.parametrize("manual", [False, True], ids=["automatic", "manual"])


def curvature_of_a_line(rows):
    """Return the largest eigenvalue of 2 X'X / n, X with a column of ones."""
    x = torch.cat([rows, torch.ones_like(rows)], 1).double()
    return torch.linalg.eigvalsh(2 * x.T @ x / len(x))[-1].item()


@EITHER
def test_it_is_the_closed_form_of_each_batch_and_the_run_is_left_alone(tmp_path, manual):
    torch.manual_seed(1)
    alone = fit(tmp_path, module=Foreign(manual))
    state = torch.get_rng_state()
    torch.manual_seed(1)
    watch = Stability(every=2)
    beside = fit(tmp_path, watch, module=Foreign(manual))
    assert torch.equal(torch.get_rng_state(), state)
    pairs = zip(alone.model.parameters(), beside.model.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    assert [step for step, _, _ in watch.found] == list(range(0, 15, 2))
    batches = data()[0].split(8)
    for step, largest, bound in watch.found:
        expected = curvature_of_a_line(batches[step % 5])
        assert largest == pytest.approx(expected, rel=1e-5)
        assert bound == pytest.approx(2 * 1.5 / expected, rel=1e-5)  # momentum 0.5
    lines = (tmp_path / "curvature.csv").read_text().splitlines()
    assert len(lines) == 1 + len(watch.found)
    assert lines[1] == f"0,{watch.found[0][1]!r},{watch.found[0][2]!r}"


def test_a_run_that_ends_early_has_what_was_measured(tmp_path):
    watch = Stability(every=1)
    with pytest.raises(RuntimeError, match="on purpose"):
        fit(tmp_path, watch, module=Foreign(fail_at=3))
    lines = (tmp_path / "curvature.csv").read_text().splitlines()
    assert [line.split(",")[:2] for line in lines[1:]] == [
        [str(step), repr(value)] for step, value, _ in watch.found
    ]
    assert [step for step, _, _ in watch.found] == [0, 1, 2]


@pytest.mark.parametrize("accumulated", [1, 2])
def test_accumulation_does_not_divide_it(tmp_path, accumulated):
    watch = Stability(every=1)
    fit(tmp_path, watch, epochs=1, accumulate_grad_batches=accumulated)
    expected = curvature_of_a_line(data()[0][:8])
    assert watch.found[0][1] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("count", [3, 32, 33, 200])
def test_exact_and_lanczos_find_the_largest_of_a_known_spectrum(count):
    draw = torch.Generator().manual_seed(count)
    matrix = torch.randn(count, count, generator=draw, dtype=torch.float64)
    turned, _ = torch.linalg.qr(matrix)
    values = torch.linspace(-8, 5, count, dtype=torch.float64)  # the largest, not the farthest
    theta = torch.zeros(count, dtype=torch.float64, requires_grad=True)
    found = largest_eigenvalue(theta @ (turned * values) @ turned.T @ theta / 2, [theta])
    assert found == pytest.approx(5, rel=1e-5)


def test_kinks_are_seen():
    theta = torch.ones(3, requires_grad=True)
    assert has_kinks(torch.relu(theta).sum())
    assert has_kinks(theta.abs().sum())
    assert not has_kinks(torch.tanh(theta).square().mean())
    assert not has_kinks(nn.functional.cross_entropy(theta, torch.tensor(1)))


class Kinked(Foreign):
    def error(self, batch):
        x, y = batch
        return (torch.relu(self.line(x)[:, 0] + 5) - 5 - y).square().mean()


class ByAdam(Foreign):
    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters())


@pytest.mark.parametrize("kind", [Kinked, ByAdam])
def test_no_bound_is_claimed_where_none_is_known(tmp_path, kind):
    watch = Stability()
    fit(tmp_path, watch, module=kind(), epochs=1)
    assert watch.found[0][1] > 0
    assert watch.found[0][2] is None


class OnceOnly(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        return gradient


class Once(Foreign):
    def error(self, batch):
        x, y = batch
        return (OnceOnly.apply(self.line(x)[:, 0]) - y).square().mean()


def test_a_loss_without_second_derivatives_is_named_and_trained(tmp_path):
    watch = Stability()
    with pytest.warns(UserWarning, match="Stability measures no curvature"):
        trainer = fit(tmp_path, watch, module=Once(), epochs=1)
    assert watch.found == []
    assert trainer.global_step == 5
    assert isinstance(trainer.lightning_module, LightningModule)


def test_every_is_at_least_one():
    with pytest.raises(UsageError, match="every = 0 is below 1"):
        Stability(every=0)
