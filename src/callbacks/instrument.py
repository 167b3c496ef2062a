"""What all instruments share: they cost nothing at the hooks that they do not use."""

from typing import Any, Self

from lightning.pytorch import Callback

from ..internals.lightning import STEP_HOOKS


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
