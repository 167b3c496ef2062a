"""Base class of demonstrations: facts, and the graphs recorded on the way."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Demonstration(ABC):
    """Something that autograd or a tensor does, run in a few lines and reported as plain values.

    A new demonstration is a frozen dataclass with `facts`; what can be changed is a field.
    """

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """Run it, and return what was seen: numbers, texts, None, and lists or dicts of them."""

    def graphs(self) -> dict[str, str]:
        """Return the graphs that it draws, as DOT text by name; none, unless a class says so."""
        return {}


def refusal(action: Callable[[], object]) -> str:
    """Return what torch says when it refuses an action: the error's type and message.

    Args:
        action: what is tried.

    Returns:
        Such as `RuntimeError: …`; `none` if nothing was refused.

    Example:
        >>> refusal(lambda: 1)
        'none'
    """
    try:
        action()
    except RuntimeError as error:
        return f"{type(error).__name__}: {error}"
    return "none"
