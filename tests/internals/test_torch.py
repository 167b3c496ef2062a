"""What is asked of torch behind its public interface: who listens to a step, or to a gradient."""

import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from descentlab.internals.torch import (
    allocated_bytes,
    copy_all,
    forget_gradients,
    gradients_have_listeners,
    heard_by_none,
    heard_past_step,
    may_go_unheard,
    method_of,
    step_has_listeners,
    step_unheard,
)
from descentlab.optimizers import GradientDescent, Momentum


def rule():
    return GradientDescent([torch.ones(2, requires_grad=True)], lr=0.1)


def test_nothing_listens_to_a_fresh_optimizer():
    assert not step_has_listeners(rule())


@pytest.mark.parametrize("before", [True, False])
def test_a_hook_of_a_step_listens_until_it_is_removed(before):
    optimizer, calls = rule(), []
    register = optimizer.register_step_pre_hook if before else optimizer.register_step_post_hook
    handle = register(lambda *args: calls.append(1))
    assert step_has_listeners(optimizer)
    optimizer.step()
    handle.remove()
    optimizer.step()
    assert calls == [1]
    assert not step_has_listeners(optimizer)


def test_a_hook_of_all_optimizers_listens():
    calls = []
    handle = register_optimizer_step_post_hook(lambda *args: calls.append(1))
    try:
        optimizer = rule()
        assert step_has_listeners(optimizer)
        optimizer.step()
    finally:
        handle.remove()
    assert calls == [1]


def test_a_profiler_listens_and_sees_the_step():
    optimizer = rule()
    with torch.profiler.profile(acc_events=True) as profile:
        assert step_has_listeners(optimizer)
        optimizer.step()
    names = {event.name for event in profile.events()}
    assert "Optimizer.step#GradientDescent.step" in names


@pytest.mark.parametrize("kind", ["register_hook", "register_post_accumulate_grad_hook"])
def test_a_hook_of_a_gradient_listens(kind):
    parameter = torch.ones(2, requires_grad=True)
    assert not gradients_have_listeners([parameter])
    getattr(parameter, kind)(lambda gradient: None)
    assert gradients_have_listeners([torch.ones(1), parameter])


class Clipped(Momentum):
    def step(self, closure=None):
        return super().step(closure)


def test_a_method_is_told_from_one_that_replaced_it():
    plain, own = rule(), Clipped([torch.ones(1, requires_grad=True)])
    assert method_of(plain, "step") is method_of(Momentum, "step")
    assert method_of(own, "step") is not method_of(Momentum, "step")
    torch.optim.lr_scheduler.StepLR(plain, 1)  # wraps the step of the instance
    assert "step" in vars(plain)
    assert method_of(plain, "step") is method_of(Momentum, "step")
    plain.step = lambda closure=None: None
    assert method_of(plain, "step") is not method_of(Momentum, "step")


def test_what_is_allocated_is_counted_once_and_views_are_not():
    x = torch.ones(1000, dtype=torch.float64)
    assert allocated_bytes(lambda: (x + 1).view(10, 100).t()) == 8000
    assert allocated_bytes(lambda: x.view(10, 100)) == 0
    assert allocated_bytes(lambda: (x + 1) * 2) == 16000
    assert allocated_bytes(lambda: (x + 1).mul_(2).split(500)) == 8000
    weight = torch.nn.Parameter(torch.ones(1000, dtype=torch.float64))
    grad = 8000  # and what backward fills the loss's own gradient with: one number
    assert allocated_bytes(lambda: weight.sum().backward()) in range(grad, grad + 100)


def test_gradients_are_forgotten_as_torch_forgets_them():
    optimizer = rule()
    (parameter,) = optimizer.param_groups[0]["params"]
    parameter.grad = torch.ones(2)
    forget_gradients(optimizer)
    assert parameter.grad is None


@pytest.mark.parametrize("kind", [GradientDescent, torch.optim.SGD])
def test_hooks_of_a_step_are_called_as_torch_calls_them(kind):
    optimizer, seen = kind([torch.ones(2, requires_grad=True)], lr=0.1), []
    (theta,) = optimizer.param_groups[0]["params"]

    def closure():
        theta.grad = torch.ones(2)
        return seen.append("closure")

    def before(_, args, kwargs):
        seen.append((len(args), kwargs))
        return args, {"closure": closure}

    optimizer.register_step_pre_hook(before)
    optimizer.register_step_pre_hook(lambda *given: seen.append((len(given[1]), len(given[2]))))
    optimizer.register_step_post_hook(lambda *given: seen.append((len(given[1]), len(given[2]))))
    optimizer.step()
    assert seen == [(1, {}), (1, 1), "closure", (1, 1)]
    assert theta.tolist() == pytest.approx([0.9, 0.9])
    optimizer.register_step_pre_hook(lambda *_: "nonsense")
    with pytest.raises(RuntimeError, match="nonsense"):
        optimizer.step()


def test_a_step_unheard_is_the_step_unless_something_is_around_it():
    optimizer, calls = torch.optim.SGD([torch.ones(2, requires_grad=True)], lr=0.1), []
    (theta,) = optimizer.param_groups[0]["params"]
    theta.grad = torch.ones(2)
    step_unheard(optimizer)()
    assert theta.tolist() == pytest.approx([0.9, 0.9])
    optimizer.register_step_post_hook(lambda *_: calls.append(1))
    step_unheard(optimizer)()
    optimizer.step = lambda: calls.append(2)
    step_unheard(optimizer)()
    assert calls == [1, 2]


def test_marked_hooks_of_a_step_are_left_out_for_a_while():
    optimizer, calls = rule(), []
    optimizer.register_step_pre_hook(may_go_unheard(lambda *_: calls.append("quiet")))
    optimizer.register_step_post_hook(may_go_unheard(lambda *_: calls.append("after")))
    with heard_by_none(optimizer):
        assert not step_has_listeners(optimizer)
        optimizer.step()
    assert calls == []
    optimizer.register_step_pre_hook(lambda *_: calls.append("always"))
    with heard_by_none(optimizer):
        assert step_has_listeners(optimizer)
        optimizer.step()
    optimizer.step()
    assert calls == ["always", "quiet", "always", "after"]


def test_marked_hooks_are_handed_out_to_be_called_beside_the_step():
    optimizer, calls = rule(), []
    optimizer.register_step_pre_hook(heard_past_step(lambda *_: calls.append("before")))
    optimizer.register_step_post_hook(may_go_unheard(lambda *_: calls.append("quiet")))
    optimizer.register_step_post_hook(heard_past_step(lambda *_: calls.append("after")))
    with heard_by_none(optimizer) as (before, after):
        assert not step_has_listeners(optimizer)
        for hook in (*before, *after):
            hook(optimizer)
    assert calls == ["before", "after"]
    optimizer.step()
    assert calls[2:] == ["before", "quiet", "after"]


def test_all_are_copied():
    sources = [torch.randn(3, requires_grad=True), torch.randn(()), torch.randn(2, 0)]
    targets = [torch.empty_like(each) for each in sources]
    copy_all(targets, sources)
    assert all(torch.equal(one, other) for one, other in zip(targets, sources, strict=True))
    assert not any(each.requires_grad for each in targets)
