"""What all instruments share: they cost nothing at the hooks that they do not use."""

from typing import Any, Self

from lightning.pytorch import Callback, Trainer

from ..hooks import STEP_HOOKS
from ..run import Run


class Instrument(Callback):
    """A callback that measures or draws and changes nothing, on any LightningModule.

    Lightning calls each hook of each callback, empty ones too, if it is callable: 2 to 3 µs a call,
    six calls an update. In an instrument the hooks of an update that its class leaves alone are
    therefore None.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Make an instrument without the hooks that its class does not use."""
        made = super().__new__(cls)
        for hook in STEP_HOOKS:
            if getattr(cls, hook) is getattr(Callback, hook):
                made.retire(hook)
        return made

    def retire(self, hook: str) -> None:
        """Take a hook of this object out of the updates that are still to come."""
        self.__dict__[hook] = None

    def enlist(self, hook: str) -> None:
        """Put a retired hook back."""
        self.__dict__.pop(hook, None)


def run_to_write(trainer: Trainer) -> Run | None:
    """Return the run, in the one process that writes its files; None elsewhere.

    To be called in all processes: Lightning broadcasts the folder.
    """
    run = Run.of(trainer)
    return run if recording(trainer) else None


def recording(trainer: Trainer) -> bool:
    """Return whether this process writes files: the first one of a run that is not a trial run."""
    return trainer.is_global_zero and not getattr(trainer, "fast_dev_run", False)
