"""What is spared around an update comes back where it would do something."""

import pytest
import torch
from lightning.pytorch import Trainer
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

from descentlab.datamodules import Line, RegressionData
from descentlab.internals.lightning import STEP_HOOKS, TRANSFER_HOOKS
from descentlab.modules import LinearRegression
from descentlab.optimizers import GradientDescent


def fit(tmp_path, module, data=None, **flags):
    trainer = Trainer(
        default_root_dir=tmp_path,
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **flags,
    )
    trainer.fit(module, datamodule=data or RegressionData("line", line=Line(size=64), split=None))
    return trainer


def listener(kind, hook, seen):
    """A class like `kind` that notes each call of a hook."""

    def heard(self, *args, **kwargs):
        seen.append(hook)
        return getattr(super(made, self), hook)(*args, **kwargs)

    made = type(f"Listening{kind.__name__}", (kind,), {hook: heard})
    return made


@pytest.mark.parametrize("hook", STEP_HOOKS)
def test_a_hook_that_a_module_has_is_called_at_each_update(hook, tmp_path):
    seen = []
    module = listener(LinearRegression, hook, seen)(1)
    trainer = fit(tmp_path, module)
    assert len(seen) == trainer.global_step == 2


@pytest.mark.filterwarnings("ignore:You have overridden")
@pytest.mark.parametrize("kind", [LinearRegression, RegressionData])
@pytest.mark.parametrize("hook", TRANSFER_HOOKS)
def test_a_batch_passes_the_hooks_of_module_and_data(hook, kind, tmp_path):
    seen = []
    made = listener(kind, hook, seen)
    if kind is LinearRegression:
        trainer = fit(tmp_path, made(1))
    else:
        trainer = fit(tmp_path, LinearRegression(1), made("line", line=Line(size=64), split=None))
    assert trainer.global_step == 2
    assert len(seen) >= 2


def test_what_a_hook_makes_of_a_batch_is_trained_on(tmp_path):
    class Zeroing(RegressionData):
        def on_after_batch_transfer(self, batch, dataloader_idx):
            x, y = batch
            return torch.zeros_like(x), torch.zeros_like(y)

    module = LinearRegression(1)
    fit(tmp_path, module, Zeroing("line", line=Line(size=64), split=None))
    assert module.slope.item() == module.bias.item() == 0.0
    fit(tmp_path, module)  # negative control: without the hook there is something to learn
    assert module.bias.item() != 0.0


def test_a_fit_that_failed_spares_nothing_in_what_comes_after(tmp_path):
    class Failing(LinearRegression):
        def on_train_epoch_end(self):
            raise RuntimeError("on purpose")

    seen = []
    module = Failing(1)
    with pytest.raises(RuntimeError, match="on purpose"):
        fit(tmp_path, module)
    data = listener(RegressionData, "on_after_batch_transfer", seen)
    trainer = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False)
    trainer.validate(module, datamodule=data("line", line=Line(size=64), split=None), verbose=False)
    assert seen


def test_gradients_are_clipped_where_that_is_asked_for_and_not_in_the_next_fit(tmp_path):
    def moved(**flags):
        before = [parameter.clone() for parameter in module.parameters()]
        fit(tmp_path, module, whole(), max_steps=1, **flags)
        after = zip(before, module.parameters(), strict=True)
        return torch.cat([(b - a).flatten() for b, a in after]).norm().item()

    def whole():
        return RegressionData("line", line=Line(size=64), split=None, batch_size=64)

    module = LinearRegression(1, optimizer=lambda p: GradientDescent(p, lr=1.0e-3))
    free = moved()
    assert free > 1.1e-5
    assert moved(gradient_clip_val=0.01) == pytest.approx(1e-5, rel=1e-3)
    assert moved() > 1.1e-5


def parameter_with_gradient():
    parameter = torch.nn.Parameter(torch.ones(2))
    parameter.grad = torch.ones(2)
    return parameter


@pytest.mark.parametrize("which", ["pre", "post"])
def test_a_rule_calls_the_hooks_of_its_steps(which):
    seen = []
    rule = GradientDescent([parameter_with_gradient()], lr=0.1)
    register = getattr(rule, f"register_step_{which}_hook")
    handle = register(lambda *args: seen.append(args[0]))
    rule.step()
    assert seen == [rule]
    handle.remove()
    rule.step()
    assert seen == [rule]


@pytest.mark.parametrize("which", ["pre", "post"])
def test_a_rule_calls_the_hooks_of_all_optimizers(which):
    seen = []
    registers = {
        "pre": register_optimizer_step_pre_hook,
        "post": register_optimizer_step_post_hook,
    }
    handle = registers[which](lambda *args: seen.append(args[0]))
    rule = GradientDescent([parameter_with_gradient()], lr=0.1)
    rule.step()
    handle.remove()
    rule.step()
    assert seen == [rule]


def test_a_profiler_sees_the_steps_of_a_rule():
    rule = GradientDescent([parameter_with_gradient()], lr=0.1)
    rule.step()
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], acc_events=True
    ) as profile:
        rule.step()
    names = [event.key for event in profile.key_averages()]
    assert "Optimizer.step#GradientDescent.step" in names


@pytest.mark.parametrize("set_to_none", [True, False])
def test_gradients_are_forgotten_or_zeroed(set_to_none):
    parameter = parameter_with_gradient()
    GradientDescent([parameter], lr=0.1).zero_grad(set_to_none=set_to_none)
    if set_to_none:
        assert parameter.grad is None
    else:
        assert torch.equal(parameter.grad, torch.zeros(2))
