"""The gradients that an optimizer is given, whatever it makes of them within its step."""

import functools
import inspect
from collections.abc import Callable
from types import FrameType
from typing import Any

from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

#: of a step, its optimizer included
_Arguments = tuple[tuple[Any, ...], dict[str, Any]]


class GivenGradients:
    """Tells of the steps of an optimizer, and of the moment when `p.grad` is what one steps with.

    An optimizer may write into `p.grad` within its step, so that what is there afterwards is not
    what it was given. Without a closure that is what is there before the step. With one it is what
    is there when the closure has returned, in which Lightning's automatic optimization unscales and
    clips. It is there after the step where a fused one unscales by itself (`grad_scale`), and where
    many updates are made in one turn, whose steps write into no gradient.

    A step that calls the one of the class above is a single step, although torch calls the hooks of
    both. One that a gradient scaler has an optimizer leave out (`found_inf`) is none.

    Args:
        optimizer: whose steps are listened to.
        before: called before each step; returns whether its gradients are wanted.
        given: called when they are there, with how many times the closure was called in the step;
            once for each of them, and where none was called before, with 0 before the step, too.
        after: called after each step.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        before: Callable[[], bool],
        given: Callable[[int], None],
        after: Callable[[], None],
    ) -> None:
        self.optimizer, self.before, self.given, self.after = optimizer, before, given, after
        self._outermost: FrameType | None = None  # what calls the hooks of the step that is made
        self._calls, self._calls_closure = 0, False
        self._wanted = self._there = False

    def listen(self, mark: Callable[[Callable[..., Any]], Any]) -> list[RemovableHandle]:
        """Listen from now on, by hooks that are marked for updates that are made at once.

        A hook of the step that is registered later and changes gradients is heard too late, unless
        the step has a closure, as under Lightning.
        """
        before, after = (mark(functools.partial(each)) for each in (self._before, self._after))
        register = (
            self.optimizer.register_step_pre_hook(before),
            self.optimizer.register_step_post_hook(after),
        )
        return list(register)

    def _before(self, optimizer: Optimizer, *given: Any) -> _Arguments | None:
        here = inspect.currentframe()
        caller = here and here.f_back
        if self._is_within(caller):
            return None
        self._outermost, self._calls, self._there = caller, 0, False
        self._wanted = self.before()
        if not (self._wanted and given) or getattr(optimizer, "grad_scale", None) is not None:
            return None
        args, kwargs = given
        closure = kwargs.get("closure", args[1] if len(args) > 1 else None)
        has_closure = callable(closure)
        if not has_closure or not self._calls_closure:
            self._take()
        if not has_closure:
            return None
        heard = functools.partial(self._heard, closure)
        if "closure" in kwargs:
            return args, {**kwargs, "closure": heard}
        return (args[0], heard, *args[2:]), kwargs

    def _is_within(self, frame: FrameType | None) -> bool:
        """Return whether a step is part of the one that is made; one that failed is not made."""
        if self._outermost is None:
            return False
        while frame is not None and frame is not self._outermost:
            frame = frame.f_back
        return frame is not None

    def _heard(self, closure: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        result = closure(*args, **kwargs)
        self._calls += 1
        self._take()
        return result

    def _take(self) -> None:
        self._there = True
        self.given(self._calls)

    def _after(self, optimizer: Optimizer, *_: Any) -> None:
        here = inspect.currentframe()
        if here and here.f_back is not self._outermost:
            return
        self._outermost = None
        if self._calls:
            self._calls_closure = True
        left_out = getattr(optimizer, "found_inf", None)
        if left_out is not None and bool(left_out):
            return
        if self._wanted and not self._there:
            self._take()
        self.after()
