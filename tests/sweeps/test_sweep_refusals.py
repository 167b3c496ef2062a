"""What would be another thing in a sweep than in a run of its own is refused before any update."""

import random

import pytest
import torch
from own_runs import Varied
from sweep_runs import sweep
from torch import nn

from descentlab.__main__ import main
from descentlab.datamodules import Line, RegressionData, TensorLoader
from descentlab.errors import UsageError
from descentlab.modules import LinearRegression
from descentlab.optimizers import GradientDescent


class Dropped(Varied):
    def __init__(self, **kw):
        super().__init__(**kw)
        self.norm = nn.Dropout(0.5)


class BatchNormalized(Varied):
    def __init__(self, **kw):
        super().__init__(**kw)
        self.norm = nn.BatchNorm1d(3)


class Noisy(Varied):
    def loss(self, batch):
        return super().loss(batch) + random.random()


class Counting(Varied):
    calls = 0

    def loss(self, batch):
        self.calls += 1
        return super().loss(batch) / self.calls


class Attribute(Varied):
    """What depends on the seed is no buffer, so that a sweep cannot know of it."""

    def __init__(self, **kw):
        super().__init__(**kw)
        self.drawn = float(torch.rand(()))

    def loss(self, batch):
        return self.drawn * super().loss(batch)


class Branching(Varied):
    def loss(self, batch):
        loss = super().loss(batch)
        return loss if loss > 0 else -loss


class Normed(Varied):
    """A hook that sees the gradients of all members as one."""

    def __init__(self, **kw):
        super().__init__(**kw)
        self.scale.register_hook(lambda gradient: gradient / gradient.norm())


class Clipping(LinearRegression):
    def descend(self, loss):
        self.manual_backward(loss)
        self.clip_gradients(self.optimizers(), 1.0)
        self.optimizers().step()


class Scaling(LinearRegression):
    def on_before_optimizer_step(self, optimizer):
        self.bias.grad.mul_(2)


class Warming(LinearRegression):
    def on_train_epoch_start(self):
        self.bias.requires_grad_(self.current_epoch > 0)


class Augmenting(LinearRegression):
    def on_after_batch_transfer(self, batch, dataloader_idx):
        return batch[0] + 1, batch[1]


class Frozen(Varied):
    def __init__(self, **kw):
        super().__init__(**kw)
        self.requires_grad_(requires_grad=False)


def compiled():
    return LinearRegression(compile=True)


def fitted(make, seeds=(3, 4)):
    data = RegressionData("line", line=Line(size=20), split=None, batch_size=8)
    rule = lambda params: GradientDescent(params, 0.01)  # noqa: E731
    return sweep(make, data, rule, {"lr": [1e-3, 1e-2]}, list(seeds), epochs=1)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (Dropped, "Dropped is another at each call .* dropout"),
        (Noisy, "Noisy is another at each call"),
        (Counting, "Counting is another at each call .* keeps count"),
        (BatchNormalized, "changes its buffer norm.running_mean at every call"),
        (Attribute, "Attribute is another for all members at once"),
        (Normed, "Normed is another for all members at once .* gradient"),
        (Branching, "Branching cannot be computed for all members at once"),
        (Clipping, "Clipping has its own descend"),
        (Scaling, "has its own on_before_optimizer_step"),
        (Warming, "has its own on_train_epoch_start"),
        (Augmenting, "has its own on_after_batch_transfer"),
        (Frozen, "Frozen has no parameter that requires a gradient"),
        (compiled, "leave compile out"),
    ],
)
def test_what_a_sweep_cannot_do_is_refused(make, says, monkeypatch):
    monkeypatch.setattr("descentlab.sweeps.GroupDescent.update", None)  # none is called
    with pytest.raises(UsageError, match=says) as found:
        fitted(make)
    assert len(str(found.value)) < 500


@pytest.mark.parametrize("make", [Varied, LinearRegression])
def test_what_it_can_do_is_not(make):
    """Negative control."""
    assert fitted(make)[1].descent.updates == 3


def test_a_hook_of_the_instance_is_seen():
    def make():
        module = LinearRegression()
        module.descend = lambda loss: None
        return module

    with pytest.raises(UsageError, match="its own descend"):
        fitted(make)


def test_a_refused_sweep_leaves_no_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["--model.module", "test_sweep_refusals.Dropped", "--trainer.max_epochs", "1"]
    assert main(["fit", "--config", "linear_regression/lr_sweep.yaml", *words]) == 2
    assert "Dropped is another at each call" in capsys.readouterr().err
    assert not list(tmp_path.rglob("version_*"))


def test_targets_of_another_shape_are_refused_too():
    x = torch.randn(20, 1, dtype=torch.float64)

    class Shaped(RegressionData):
        def train_dataloader(self):
            return TensorLoader(x, x, batch_size=10)

    data = Shaped("line", line=Line(size=20), split=None)
    with pytest.raises(UsageError, match=r"shape \(10,\), and the targets have shape \(10, 1\)"):
        sweep(LinearRegression, data, GradientDescent, {"lr": [1e-3, 1e-2]}, [3], epochs=1)
