"""Private interfaces of torch that the project relies on.

For speed alone, off with `DESCENTLAB_PLAIN=1`; without it all goes on as before, slower:

- `Optimizer.profile_hook_step`, with which torch wraps `step` once for each class, and whether
  anything listens to a step: `_optimizer_step_pre_hooks`, `_optimizer_step_post_hooks`, the
  `_global_optimizer_…` ones and `_profiler_enabled` (`profile_hook_step`): 15 µs an update;
- gradients set to None at once (`forget_gradients`): 10 µs an update;
- `_foreach_copy_` (`copy_all`): 3 µs for each of some small tensors;
- what `profile_hook_step` has wrapped (`step_unheard`): 9 µs a step of any optimizer.

For what no public interface gives:

- the same lists, `Tensor._backward_hooks` and `_post_accumulate_grad_hooks` (`step_has_listeners`,
  `gradients_have_listeners`): where updates must not go past `step` and `backward`; without them a
  hook would go unheard;
- the first lists again (`heard_by_none`): to leave out the hooks of who said that it looks at some
  steps alone; without it all steps go one by one beside it;
- `_opt_called` (`say_stepped`): whether an optimizer stepped, as its scheduler asks; without it a
  scheduler that begins where updates go past `step` warns;
- `TorchDispatchMode` (`allocated_bytes`): what a member of a sweep takes;
  without it a sweep is cut into groups by guess;
- `Module._parameters` and `_buffers` (`homes`): a loss, which is not a module's `forward`, with
  other tensors than its own;
- `torch._dynamo.exc` (`CompilationError`): what torch.compile raises; without it a loss that cannot
  be compiled ends the run.
"""

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch._C._autograd import _profiler_enabled
from torch._dynamo.exc import TorchDynamoException as CompilationError
from torch.nn import Module
from torch.optim import Optimizer
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks
from torch.utils._python_dispatch import TorchDispatchMode

from . import SPEED_TRICKS

__all__ = [
    "CompilationError",
    "allocated_bytes",
    "copy_all",
    "forget_gradients",
    "gradients_have_listeners",
    "heard_by_none",
    "heard_past_step",
    "homes",
    "may_go_unheard",
    "method_of",
    "profile_hook_step",
    "say_stepped",
    "step_has_listeners",
    "step_unheard",
]

Hook = TypeVar("Hook", bound=Callable[..., Any])


def step_has_listeners(optimizer: Optimizer) -> bool:
    """Return whether a hook or a profiler listens to an optimizer's step."""
    return bool(
        optimizer._optimizer_step_pre_hooks
        or optimizer._optimizer_step_post_hooks
        or _global_optimizer_pre_hooks
        or _global_optimizer_post_hooks
        or _profiler_enabled()
    )


def may_go_unheard(hook: Hook) -> Hook:
    """Mark a hook of an optimizer's step whose callback says which steps it need not hear."""
    hook.may_go_unheard = True  # type: ignore[attr-defined]
    return hook


def heard_past_step(hook: Callable[..., Any]) -> Callable[..., Any]:
    """Return a hook of an optimizer's step that may be called beside it, without its arguments."""
    marked = functools.partial(hook)
    marked.heard_past_step = True  # type: ignore[attr-defined]
    return may_go_unheard(marked)


@contextmanager
def heard_by_none(optimizer: Optimizer) -> Iterator[list[list[Callable[..., Any]]]]:
    """Leave out, for some steps, the hooks that `may_go_unheard` has marked.

    Yields:
        Those among them that `heard_past_step` has marked, before and after a step: to be called.
    """
    tables: list[Any] = [
        optimizer._optimizer_step_pre_hooks,
        optimizer._optimizer_step_post_hooks,
    ]
    kept = [dict(table) for table in tables]
    for table, hooks in zip(tables, kept, strict=True):
        for key in [key for key, hook in hooks.items() if hasattr(hook, "may_go_unheard")]:
            del table[key]
    try:
        yield [
            [hook for hook in each.values() if hasattr(hook, "heard_past_step")] for each in kept
        ]
    finally:
        for table, hooks in zip(tables, kept, strict=True):
            table.clear()
            table.update(hooks)


def profile_hook_step(func: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap `step`, as torch.optim does, in hooks and profiling; only where there are any.

    To look at none of them takes 15 µs an update, and a profiler that is off 7 of these.
    """
    whole = Optimizer.profile_hook_step(func)
    if not SPEED_TRICKS:
        return whole

    @functools.wraps(func)
    def step(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        if not step_has_listeners(self):
            return func(self, *args, **kwargs)
        if _profiler_enabled() or _global_optimizer_pre_hooks or _global_optimizer_post_hooks:
            return whole(self, *args, **kwargs)
        given: tuple[Any, dict[str, Any]] = ((self, *args), kwargs)
        for hook in self._optimizer_step_pre_hooks.values():
            changed = hook(self, *given)
            if changed is not None:
                given = _as_pair(changed)
        result = func(*given[0], **given[1])
        for listener in self._optimizer_step_post_hooks.values():
            listener(self, *given)
        return result

    return step


def _as_pair(changed: Any) -> tuple[Any, dict[str, Any]]:
    """Return the arguments to which a hook changed those of a step, as torch asks for them."""
    if isinstance(changed, tuple) and len(changed) == 2:
        return changed
    raise RuntimeError(f"a hook of step gives None or (args, kwargs), and gave {changed}")


def step_unheard(optimizer: Optimizer) -> Callable[..., Any]:
    """Return an optimizer's `step`, without hooks and profiling where there are none."""
    step = type(optimizer).step
    plain = getattr(step, "hooked", False) and "step" not in vars(optimizer)
    if not SPEED_TRICKS or not plain or step_has_listeners(optimizer):
        return optimizer.step
    return functools.partial(step.__wrapped__, optimizer)  # type: ignore[attr-defined]


def say_stepped(optimizer: Optimizer) -> None:
    """Let schedulers know that an optimizer stepped, as its own `step` does."""
    optimizer._opt_called = True  # type: ignore[attr-defined]


def copy_all(targets: list[Tensor], sources: list[Tensor]) -> None:
    """Copy some tensors into others of the same shapes, none of which shares memory with them."""
    with torch.set_grad_enabled(False):
        if SPEED_TRICKS:
            torch._foreach_copy_(targets, sources)
            return
        for target, source in zip(targets, sources, strict=True):
            target.copy_(source)


def forget_gradients(optimizer: Optimizer) -> None:
    """Set the gradients of all parameters to None, as `Optimizer.zero_grad` does."""
    if not SPEED_TRICKS:
        Optimizer.zero_grad(optimizer)
        return
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = None


def gradients_have_listeners(parameters: Iterable[Tensor]) -> bool:
    """Return whether a hook listens to the gradient of a parameter."""
    return any(
        parameter._backward_hooks or getattr(parameter, "_post_accumulate_grad_hooks", None)
        for parameter in parameters
    )


def method_of(owner: object, name: str) -> Any:
    """Return the function of a method as it was written.

    A class's own, one set on the instance, and what torch has wrapped around either (hooks, the
    count that schedulers keep of steps) are told apart by it.

    Example:
        >>> import torch
        >>> sgd = torch.optim.SGD([torch.zeros(1)])
        >>> scheduler = torch.optim.lr_scheduler.StepLR(sgd, 1)  # wraps the instance's step
        >>> method_of(sgd, "step") is method_of(torch.optim.SGD, "step")
        True
    """
    found = getattr(owner, name)
    return inspect.unwrap(getattr(found, "__func__", found))


def homes(module: Module) -> list[dict[str, Any]]:
    """Return the dictionaries in which a module and its parts keep parameters and buffers."""
    return [tensors for part in module.modules() for tensors in (part._parameters, part._buffers)]


def allocated_bytes(computation: Callable[[], Any]) -> int:
    """Return how many bytes a computation allocates, freed ones too: the most that it may hold."""
    allocations = _Allocations()
    with allocations, torch.inference_mode(False), torch.enable_grad():
        computation()
    return allocations.bytes


class _Allocations(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch has no types here
    """Count the bytes of what is made; what shares memory with an argument is not made."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes: int = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        made = function(*args, **(kwargs or {}))
        there = {storage.data_ptr() for storage in _storages([*args, *(kwargs or {}).values()])}
        for storage in _storages([made]):
            if storage.data_ptr() not in there:
                self.bytes += storage.nbytes()
        return made


def _storages(values: Iterable[Any]) -> Iterator[torch.UntypedStorage]:
    """Yield the memory of each tensor among some values, and in lists and tuples of them."""
    for value in values:
        if isinstance(value, Tensor):
            yield value.untyped_storage()
        elif isinstance(value, (tuple, list)):
            yield from _storages(value)
