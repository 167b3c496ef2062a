"""What a user changes of an update holds in chunks too, compiled or not."""

import types

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback

from descentlab.datamodules import Line, RegressionData
from descentlab.modules import LinearRegression
from descentlab.optimizers import GradientDescent, Momentum
from tolerances import FLOAT32

CLIP = 1.0


class Clipped(LinearRegression):
    """Gradient clipping by hand, where the documentation says that an update is changed."""

    def descend(self, loss):
        optimizer = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(loss)
        self.clip_gradients(optimizer, gradient_clip_val=CLIP, gradient_clip_algorithm="norm")
        optimizer.step()


class HalfBackward(LinearRegression):
    def manual_backward(self, loss, *args, **kwargs):
        super().manual_backward(loss / 2, *args, **kwargs)


class ClippedStep(Momentum):
    def step(self, closure=None):
        parameters = [p for group in self.param_groups for p in group["params"]]
        torch.nn.utils.clip_grad_norm_(parameters, CLIP)
        return super().step(closure)


class KeptGradients(Momentum):
    def zero_grad(self, set_to_none=True):
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.grad.mul_(0.5)


class HalfAdvance(Momentum):
    def advance(self, parameter, gradient, group):
        super().advance(parameter, gradient / 2, group)


class Batches(Callback):
    def __init__(self):
        self.seen = []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.seen.append(batch)


def momentum(parameters):
    return Momentum(parameters, lr=0.01)


def on_instance(module):
    module.descend = types.MethodType(Clipped.descend, module)


def hook(module):
    module.bias.register_hook(lambda gradient: gradient / 2)


def hook_after(module):
    def halve(parameter):
        parameter.grad.mul_(0.5)

    module.bias.register_post_accumulate_grad_hook(halve)


def hooked_step(parameters):
    def double(rule, *_):
        rule.param_groups[0]["params"][0].grad.mul_(2)

    rule = momentum(parameters)
    rule.register_step_pre_hook(double)
    return rule


def run(chunk, kind=LinearRegression, change=None, rule=momentum, compile=False, callbacks=()):
    torch.manual_seed(42)
    module = kind(features=1, optimizer=rule, manual_optimization=True, compile=compile)
    with torch.no_grad():
        module.slope.copy_(torch.randn(1))
    if change is not None:
        change(module)
    trainer = Trainer(
        max_epochs=3,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        callbacks=list(callbacks),
    )
    trainer.fit(module, datamodule=RegressionData(chunk=chunk, source="line", line=Line(size=300)))
    return torch.cat([module.slope.detach(), module.bias.detach().reshape(1)])


CHANGES = [
    pytest.param({"kind": Clipped}, id="descend"),
    pytest.param({"kind": HalfBackward}, id="manual-backward"),
    pytest.param({"change": on_instance}, id="descend-of-an-instance"),
    pytest.param({"change": hook}, id="tensor-hook"),
    pytest.param({"change": hook_after}, id="hook-after-accumulation"),
    pytest.param({"rule": hooked_step}, id="step-hook"),
    pytest.param({"rule": lambda p: ClippedStep(p, lr=0.01)}, id="step-of-a-rule"),
    pytest.param({"rule": lambda p: KeptGradients(p, lr=0.01)}, id="zero-grad-of-a-rule"),
    pytest.param({"rule": lambda p: HalfAdvance(p, lr=0.01)}, id="advance-of-a-rule"),
]


@pytest.mark.filterwarnings("ignore:model.compile = true")
@pytest.mark.parametrize("compile", [False, True])
@pytest.mark.parametrize("changed", CHANGES)
def test_a_changed_update_is_the_same_in_chunks(changed, compile):
    one = run(1, **changed)
    assert torch.equal(run(7, compile=compile, **changed), one)
    assert not torch.allclose(one, run(1), rtol=1e-3)  # negative control: it changes something


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"kind": Clipped}, "Clipped has a descend of its own"),
        ({"change": on_instance}, "LinearRegression has a descend of its own"),
        ({"rule": lambda p: ClippedStep(p, lr=0.01)}, "ClippedStep has a step of its own"),
    ],
)
def test_what_cannot_be_compiled_is_said(changed, named):
    with pytest.warns(UserWarning, match=f"{named}: the updates go uncompiled"):
        run(7, compile=True, **changed)


@pytest.mark.parametrize("chunk", [1, 7])
def test_clipping_by_hand_is_the_plain_loop(chunk):
    """The truth: torch's own clipping and SGD, over the batches that were seen."""
    batches = Batches()
    run(1, callbacks=[batches])
    torch.manual_seed(42)
    slope, bias = torch.randn(1).requires_grad_(), torch.zeros((), requires_grad=True)
    sgd = torch.optim.SGD([slope, bias], lr=0.01, momentum=0.9, foreach=False)
    for x, y in batches.seen:
        sgd.zero_grad()
        (x @ slope + bias - y).square().mean().backward()
        torch.nn.utils.clip_grad_norm_([slope, bias], CLIP)
        sgd.step()
    expected = torch.cat([slope.detach(), bias.detach().reshape(1)])
    torch.testing.assert_close(run(chunk, Clipped), expected, rtol=FLOAT32, atol=FLOAT32)


def freeze_bias(module):
    with torch.no_grad():
        module.bias.fill_(2.0)
    module.bias.requires_grad_(False)


def ignore_slope(module):
    module.forward = lambda x: module.bias.expand(len(x))


class Decay(GradientDescent):
    """Moves even where the gradient is zero, so that it shows what was moved for nothing."""

    @staticmethod
    def update(parameter, gradient, state, hyperparameters):
        return parameter * 0.9 - hyperparameters["lr"] * gradient, {}


class Thaw(Callback):
    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == 1:
            pl_module.bias.requires_grad_(True)


@pytest.fixture(params=[False, True], ids=["uncompiled", "compiled"])
def compiled(request, monkeypatch):
    """Whether updates go as they are compiled, short blocks of them; without the compiler."""
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    monkeypatch.setattr("descentlab.modules.chunks.BLOCK", 2)
    return request.param


@pytest.mark.parametrize("change", [freeze_bias, ignore_slope])
@pytest.mark.parametrize("rule", [momentum, lambda p: Decay(p, lr=0.01)], ids=["momentum", "decay"])
def test_what_has_no_gradient_stays(compiled, change, rule):
    one = run(1, change=change, rule=rule)
    many = run(7, change=change, rule=rule, compile=compiled)
    torch.testing.assert_close(many, one, rtol=FLOAT32, atol=FLOAT32)
    torch.manual_seed(42)
    stays = torch.randn(1)[0] if change is ignore_slope else torch.tensor(2.0)
    assert many[int(change is freeze_bias)] == stays


def hooked_forward(module):
    module.register_forward_hook(lambda module, arguments, output: output / 2)


class Half(torch.nn.Module):
    def forward(self, value):
        return value / 2


def parametrized(module):
    torch.nn.utils.parametrize.register_parametrization(module, "slope", Half(), unsafe=True)


@pytest.mark.parametrize("change", [hooked_forward, parametrized])
def test_what_changes_the_loss_holds_in_chunks(compiled, change):
    one = run(1, change=change)
    many = run(7, change=change, compile=compiled)
    torch.testing.assert_close(many, one, rtol=FLOAT32, atol=FLOAT32)
    assert not torch.allclose(one, run(1), rtol=1e-3)  # negative control: it changes something


def test_what_is_thawed_moves_from_then_on(compiled):
    one = run(1, change=freeze_bias, callbacks=[Thaw()])
    many = run(7, change=freeze_bias, callbacks=[Thaw()], compile=compiled)
    torch.testing.assert_close(many, one, rtol=FLOAT32, atol=FLOAT32)
    assert one[1] != 2.0


def test_a_training_step_of_ones_own_is_called_for_each_batch():
    calls = []

    class Own(LinearRegression):
        def training_step(self, batch, batch_idx):
            calls.append(batch_idx)
            return super().training_step(batch, batch_idx)

    assert torch.equal(run(7, Own), run(1))
    assert calls == list(range(8)) * 3
