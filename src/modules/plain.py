"""Which hyperparameters a checkpoint can hold."""

from collections.abc import Mapping
from typing import Any


def is_plain(value: Any) -> bool:
    """Return whether a value is of plain types alone, which are read back with `weights_only`.

    >>> is_plain({"lr": 0.1, "betas": (0.9, 0.999)}), is_plain(int)
    (True, False)
    """
    if isinstance(value, Mapping):
        return all(map(is_plain, value.values()))
    if isinstance(value, (list, tuple)):
        return all(map(is_plain, value))
    return value is None or isinstance(value, (bool, int, float, str))
