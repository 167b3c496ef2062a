"""Base class of the instruments: a hook that one does not use costs nothing."""

from numbers import Integral
from typing import Any, Self

from lightning.pytorch import Callback, LightningModule, Trainer

from ..errors import UsageError
from ..internals.lightning import pass_over_unused


class Instrument(Callback):
    """A callback that measures or draws and changes nothing, on any LightningModule.

    Lightning calls each hook of each callback, empty ones too: 2 to 3 µs a call, six calls an
    update. Of an instrument it passes over those that the class leaves alone.

    One that has `on_train_batch_end` may have `on_updates(trainer, pl_module, losses, batch)`
    beside it, in the same class, which is called in its place where many updates are made at once:
    with their losses, shape (updates,), and the last of the batches. Who has no such method, or
    another hook of an update, has batches trained on one by one. `most_updates()` may say how many
    there may be before the next call. One that looks at some updates alone may say by
    `updates_unheard(trainer)`, in the same class as its hooks, how many come before the next that
    it looks at: those are made at once, and it is told of them by `on_updates` alone, if it has
    one. What it has registered as a hook of an optimizer's step, marked by `may_go_unheard`, is
    not called for them; what it has made by `heard_past_step` is, where many are made at once.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Make an instrument without the hooks that its class does not use."""
        made = super().__new__(cls)
        pass_over_unused(made, Callback)
        return made


class UpdateInstrument(Instrument):
    """An instrument that looks at each update by itself, and refuses where there are none such.

    Compiled updates, and those of a sweep, are many at once.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse a module of which it would see nothing.

        Raises:
            UsageError: the module's updates are compiled, or are those of a sweep.
        """
        kind = type(self).__name__
        if stage == "fit" and getattr(pl_module, "compiles", False) is True:
            raise UsageError(
                f"{kind} looks at each update, and compiled ones are many at once: leave out "
                f"--model.compile true, or {kind}"
            )
        if stage == "fit" and getattr(pl_module, "descends_many", False) is True:
            raise UsageError(
                f"{kind} looks at one descent, and a sweep has many: leave {kind} out, or train "
                "one setting at a time"
            )


def whole_number(every: int, unit: str) -> int:
    """Return how many steps or updates there are from one look to the next.

    Raises:
        UsageError: it is no whole number, or is below 1.
    """
    if not isinstance(every, Integral):
        raise UsageError(f"every = {every!r} is no whole number: give that of {unit}, 1 or more")
    if every < 1:
        raise UsageError(f"every = {every} is below 1: give the number of {unit}, 1 or more")
    return int(every)
