"""The largest curvature during a run, against closed forms, and the run beside it."""

import numpy as np
import pytest
import torch
from foreign import Foreign, data, fit
from lightning.pytorch import Callback, LightningModule
from torch import nn

from descentlab.callbacks import Stability
from descentlab.callbacks.stability import has_kinks, largest_eigenvalue
from descentlab.errors import UsageError
from descentlab.optimizers import Adam

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
    assert [row.step for row in watch.found] == list(range(0, 15, 2))
    batches = data()[0].split(8)
    for step, largest, preconditioned, bound in watch.found:
        expected = curvature_of_a_line(batches[step % 5])
        assert largest == pytest.approx(expected, rel=1e-5)
        assert bound == pytest.approx(2 * 1.5 / expected, rel=1e-5)  # momentum 0.5
        assert preconditioned is None
    lines = (tmp_path / "curvature.csv").read_text().splitlines()
    assert len(lines) == 1 + len(watch.found)
    assert lines[0] == "step,largest,preconditioned,bound"
    assert lines[1] == f"0,{watch.found[0].largest!r},,{watch.found[0].bound!r}"


def test_a_run_that_ends_early_has_what_was_measured(tmp_path):
    watch = Stability(every=1)
    with pytest.raises(RuntimeError, match="on purpose"):
        fit(tmp_path, watch, module=Foreign(fail_at=3))
    lines = (tmp_path / "curvature.csv").read_text().splitlines()
    assert [line.split(",")[:2] for line in lines[1:]] == [
        [str(row.step), repr(row.largest)] for row in watch.found
    ]
    assert [row.step for row in watch.found] == [0, 1, 2]


@pytest.mark.parametrize("accumulated", [1, 2])
def test_of_batches_that_add_up_it_is_that_of_the_first_and_is_not_divided(tmp_path, accumulated):
    watch = Stability(every=1)
    fit(tmp_path, watch, epochs=1, accumulate_grad_batches=accumulated)
    firsts = data()[0].split(8)[::accumulated]
    expected = [curvature_of_a_line(batch) for batch in firsts]
    assert [row.largest for row in watch.found] == pytest.approx(expected, rel=1e-5)


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


class ByRMSprop(Foreign):
    def configure_optimizers(self):
        return torch.optim.RMSprop(self.parameters())


@pytest.mark.parametrize("kind", [Kinked, ByRMSprop])
def test_no_bound_is_claimed_where_none_is_known(tmp_path, kind):
    watch = Stability()
    fit(tmp_path, watch, module=kind(), epochs=1)
    assert watch.found[0].largest > 0
    assert watch.found[0].bound is None


def by(make):
    """Return a module, in float64, that an optimizer steps."""

    class By(Foreign):
        def __init__(self):
            super().__init__()
            self.double()

        def error(self, batch):
            return super().error([part.double() for part in batch])

        def configure_optimizers(self):
            return make(self.parameters())

    return By()


@pytest.mark.parametrize(
    ("make", "coupled", "apart"),
    [
        (lambda p: Adam(p, 0.01, (0.8, 0.99), 1e-3), 0.0, 0.0),
        (lambda p: torch.optim.Adam(p, 0.01, (0.8, 0.99), 1e-3, weight_decay=0.3), 0.3, 0.0),
        (lambda p: torch.optim.AdamW(p, 0.01, (0.8, 0.99), 1e-3, weight_decay=0.3), 0.0, 0.3),
    ],
    ids=["ours", "coupled", "decoupled"],
)
def test_of_adam_it_is_that_of_the_preconditioned_hessian(tmp_path, make, coupled, apart):
    """Worked out again in NumPy, from the run's own gradients."""
    module, watch, squares = by(make), Stability(every=1), []

    class Note(Callback):
        def on_before_optimizer_step(self, trainer, pl_module, optimizer):
            pairs = [(p, p.grad + coupled * p.detach()) for p in pl_module.parameters()]
            squares.append(np.array([float(g) ** 2 for _, g in pairs]))

    fit(tmp_path, Note(), watch, module=module, epochs=2)
    assert watch.found[0][2:] == (None, None)  # nothing has been stepped
    batches = data()[0].double().split(8)
    for step, _, preconditioned, bound in watch.found[1:]:
        x = batches[step % 5].numpy()
        a = np.column_stack([x, np.ones(len(x))])
        mean = sum(0.01 * 0.99 ** (step - 1 - i) * squares[i] for i in range(step))
        divisors = np.sqrt(mean / (1 - 0.99**step)) + 1e-3
        hessian = 2 * a.T @ a / len(a) + coupled * np.eye(2)
        expected = np.linalg.eigvals(hessian / divisors[:, None]).real.max()
        assert preconditioned == pytest.approx(expected, rel=1e-9)
        assert bound == pytest.approx(2 * 1.8 / (0.2 * expected + 1.8 * apart), rel=1e-9)


def test_a_straight_loss_has_the_curvature_of_its_decay():
    theta = torch.ones(3, requires_grad=True)
    divisors = [torch.tensor([0.5, 2.0, 4.0])]
    assert largest_eigenvalue(theta.sum(), [theta]) == 0
    assert largest_eigenvalue(theta.sum(), [theta], divisors, 0.3) == pytest.approx(0.6)


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
