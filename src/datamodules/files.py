"""Tensors from files, and what is refused, each with one message that names the file."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import UsageError
from .csv_table import read_csv

ROWS_AT_ONCE = 2**20


def read_tensor(path: str | Path) -> Tensor:
    """Read one tensor of real numbers from a `.pt`, `.npy` or `.csv` file.

    `.npy` files are memory-mapped, so that only the rows that are used are read; the file is never
    written to. Floats of any width, integers and booleans (as 0 and 1) are taken, in their own
    type; CSV gives float64.

    Args:
        path: the file; `~` stands for the home folder.

    Returns:
        The tensor, on the CPU.

    Raises:
        UsageError: the file is missing, a folder, empty, damaged, of another kind, or does not hold
            one tensor of real numbers.
    """
    place = Path(path).expanduser()
    readers: dict[str, Callable[[Path], Tensor]] = {
        ".pt": _read_pt,
        ".npy": _read_npy,
        ".csv": read_csv,
    }
    reader = readers.get(place.suffix.lower())
    if reader is None:
        raise UsageError(f"{place} has an unknown ending: use {', '.join(readers)}")
    if place.is_dir():
        raise UsageError(f"{place} is a folder: name a file")
    try:
        if place.stat().st_size == 0:
            raise UsageError(f"{place} is empty: save the data again")
        tensor = reader(place)
    except FileNotFoundError as error:
        raise UsageError(f"{place} does not exist: check the path") from error
    except OSError as error:
        raise UsageError(f"{place} cannot be read: {error.strerror or error}") from error
    if tensor.is_complex():
        raise UsageError(f"{place} holds complex numbers: save their real parts")
    return tensor


def regression_pair(x_path: str | Path, y_path: str | Path) -> tuple[Tensor, Tensor]:
    """Read inputs and targets of a regression.

    Args:
        x_path: the inputs: shape (N,), (N, 1) or (N, d).
        y_path: the targets: shape (N,) or (N, 1).

    Returns:
        X of shape (N, d) and y of shape (N,), in the types of their files.

    Raises:
        UsageError: a file cannot be read, a shape is another, the lengths differ, there are no
            rows, or a value is NaN or infinite.
    """
    x, y = read_tensor(x_path), read_tensor(y_path)
    x = x[:, None] if x.ndim == 1 else x
    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    if x.ndim != 2 or x.shape[1] == 0:
        raise UsageError(f"{x_path} has shape {tuple(x.shape)}: the inputs must be (N,) or (N, d)")
    if y.ndim != 1:
        raise UsageError(f"{y_path} has shape {tuple(y.shape)}: the targets must be (N,) or (N, 1)")
    if len(x) != len(y):
        raise UsageError(
            f"{x_path} has {len(x)} rows and {y_path} has {len(y)}: give as many of each"
        )
    if len(x) == 0:
        raise UsageError(f"{x_path} and {y_path} have no rows: give at least one")
    _refuse_non_finite(x_path, x)
    _refuse_non_finite(y_path, y)
    return x, y


def _read_pt(path: Path) -> Tensor:
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UsageError(
            f"{path} is damaged or holds Python objects, which are not loaded: "
            "save one tensor with torch.save"
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError, IndexError, TypeError) as error:
        raise UsageError(
            f"{path} is truncated or not a file of torch.save: save one tensor with torch.save"
        ) from error
    if not isinstance(loaded, Tensor):
        kind = type(loaded).__name__
        raise UsageError(f"{path} holds a {kind}, not a tensor: save one tensor with torch.save")
    if loaded.layout is not torch.strided or loaded.is_quantized:
        raise UsageError(f"{path} holds a sparse or quantized tensor: save it dense")
    return loaded.detach()


def _read_npy(path: Path) -> Tensor:
    try:
        # "c": copy on write. torch refuses read-only memory, and nothing here writes.
        array: NDArray[Any] = np.lib.format.open_memmap(path, mode="c")
    except (ValueError, EOFError) as error:
        raise UsageError(
            f"{path} is truncated, holds Python objects, or is not a file of numpy.save: "
            "save an array of numbers with numpy.save"
        ) from error
    if array.dtype.kind not in "fiubc":
        raise UsageError(f"{path} holds {array.dtype}, not numbers: save an array of numbers")
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        array = array.astype(np.float64)
    return torch.from_numpy(np.asarray(array, dtype=array.dtype.newbyteorder("=")))


def _refuse_non_finite(path: str | Path, tensor: Tensor) -> None:
    """Refuse NaN and infinity, looking at a bounded number of rows at once."""
    if not tensor.is_floating_point():
        return
    count, first = 0, -1
    for start in range(0, len(tensor), ROWS_AT_ONCE):
        bad = ~torch.isfinite(tensor[start : start + ROWS_AT_ONCE])
        found = int(bad.sum())
        if found and not count:
            first = start + int(bad.reshape(len(bad), -1).any(1).nonzero()[0])
        count += found
    if count:
        raise UsageError(
            f"{path} holds {count} values that are NaN or infinite, the first in row {first} "
            "(counted from 0): remove or replace them"
        )
