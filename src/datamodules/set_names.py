"""What the sets of several loaders are called."""

from collections.abc import Mapping
from typing import Any


def set_names(name: str, loaders: Any) -> list[str]:
    """Return what the sets of some loaders are called."""
    if isinstance(loaders, Mapping):
        return list(loaders)
    number = len(loaders) if isinstance(loaders, (list, tuple)) else 1
    return [name, *(f"{name}_{index}" for index in range(1, number))]
