"""Gradient descent that can be checked, as a PyTorch Lightning training pipeline.

The functions are imported when they are asked for: they need torch, which takes seconds.

Example:
    >>> import descentlab
    >>> run = descentlab.fit("toy/wavy", lr=0.07, start=-5)  # doctest: +SKIP
    >>> run.plot()  # doctest: +SKIP
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"
__all__ = ["RunError", "UsageError", "compare", "fit", "load"]


def __getattr__(name: str) -> Any:
    """Import one of the public names."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = ".errors" if name.endswith("Error") else ".api"
    return getattr(import_module(home, __name__), name)


def __dir__() -> list[str]:
    """Return the names, those not imported yet with them, for completion."""
    return sorted({*globals(), *__all__} - {"Any", "import_module"})
