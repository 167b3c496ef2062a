"""The parameters of every epoch, and the file that they are stacked in."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module
from torch.nn.parameter import UninitializedParameter

from ..errors import UsageError
from .files import save_atomically
from .reading import read_plain

Values = dict[str, Tensor]

#: under which name the file holds the numbers of the epochs
EPOCH = "epoch"
#: and under which a parameter that has that name itself
_PARAMETER_EPOCH = "epoch (parameter)"
KEPT_ELSEWHERE = "the best and the last parameters are in best.ckpt and last.ckpt"


class ParameterHistory:
    """Keep copies of a module's parameters, one for each epoch, up to a number of megabytes.

    Args:
        limit_mb: how many megabytes are kept at most; 0 for none.

    Attributes:
        epochs: the parameters by epoch, by name.
    """

    def __init__(self, limit_mb: float) -> None:
        self.limit_mb = limit_mb
        self.epochs: dict[int, Values] = {}
        self._bytes = 0.0

    def add(self, epoch: int, module: Module) -> bool:
        """Keep the parameters of an epoch; return False at the first one that is too much."""
        if self._bytes > self.limit_mb * 1e6:
            return True
        values = {
            name: parameter.detach().to("cpu", copy=True)
            for name, parameter in module.named_parameters()
            if not isinstance(parameter, UninitializedParameter)
        }
        self._bytes += _size(values)
        if self._bytes <= self.limit_mb * 1e6:
            self.epochs[epoch] = values
        return epoch in self.epochs

    def forget_from(self, epoch: int) -> None:
        """Drop an epoch and those after it, which are run again."""
        self.epochs = {number: kept for number, kept in self.epochs.items() if number < epoch}
        self._bytes = sum(map(_size, self.epochs.values()))

    def write(self, path: Path) -> None:
        """Write `epoch`, and by name the values stacked over the epochs.

        Values that are not there, or not of one shape, in all epochs are a list, None where there
        is none.
        """
        content: dict[str, Any] = {EPOCH: torch.tensor(list(self.epochs))}
        for name in dict.fromkeys(name for values in self.epochs.values() for name in values):
            rows = [values.get(name) for values in self.epochs.values()]
            kinds = {None if row is None else (row.shape, row.dtype, row.layout) for row in rows}
            key = _PARAMETER_EPOCH if name == EPOCH else name
            content[key] = rows if len(kinds) > 1 or None in kinds else torch.stack(rows)  # type: ignore[arg-type]  # none is None there
        save_atomically(content, path)

    def read(self, path: Path) -> None:
        """Take over the epochs of a file."""
        for epoch, values in read_history(path).items():
            self.epochs[epoch] = values
        self._bytes = sum(map(_size, self.epochs.values()))


def read_history(path: Path) -> dict[int, Values]:
    """Return the parameters by epoch, by name, that a `parameters.pt` holds.

    Raises:
        UsageError: if it is damaged, or holds something else.
    """
    content = read_plain(path, f"is damaged: {KEPT_ELSEWHERE}")
    if not _is_history(content):
        raise UsageError(f"{path} holds no parameters of epochs: {KEPT_ELSEWHERE}")
    epochs: dict[int, Values] = {epoch: {} for epoch in content[EPOCH].tolist()}
    for key, rows in content.items():
        if key == EPOCH:
            continue
        name = EPOCH if key == _PARAMETER_EPOCH else key
        for values, row in zip(epochs.values(), rows, strict=True):
            if row is not None:
                values[name] = row
    return epochs


def _is_history(content: Any) -> bool:
    """Return whether there are numbers of epochs, and for each name as many tensors as epochs."""
    if not isinstance(content, Mapping) or not isinstance(content.get(EPOCH), Tensor):
        return False
    epochs = content[EPOCH]
    if epochs.ndim != 1 or epochs.is_floating_point() or len(set(epochs.tolist())) < len(epochs):
        return False
    return all(
        isinstance(name, str) and _is_stack(rows) and len(rows) == len(epochs)
        for name, rows in content.items()
    )


def _is_stack(rows: Any) -> bool:
    """Return whether a value has one tensor, or none, for each epoch."""
    if isinstance(rows, list):
        return all(row is None or isinstance(row, Tensor) for row in rows)
    return isinstance(rows, Tensor) and rows.ndim > 0


def _size(values: Values) -> int:
    return sum(value.nbytes for value in values.values())
