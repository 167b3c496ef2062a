"""Tensors from files, and what is refused, each with one message that names the file."""

import os
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import UsageError
from .csv_layout import CsvFlags

if TYPE_CHECKING:
    from .table import Table

TABLES = (".csv", ".parquet")
ENDINGS = (".pt", ".npy", *TABLES)
NOTHING_SAID = CsvFlags()
#: unsigned whole numbers, with which torch does not compute
WIDE = (torch.uint16, torch.uint32, torch.uint64)
SIGNED = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def read_tensor(path: str | Path, flags: CsvFlags = NOTHING_SAID) -> Tensor:
    """Read one tensor of real numbers from a `.pt`, `.npy`, `.csv` or `.parquet` file.

    `.npy` files are memory-mapped, so that only the rows that are used are read; the file is never
    written to. Floats of any width, integers and booleans (as 0 and 1) are taken, in their own
    type, unsigned ones of 16 bits and more as int64; tables give float64.

    Args:
        path: the file; `~` stands for the home folder.
        flags: what is said of a CSV file.

    Returns:
        The tensor, on the CPU.

    Raises:
        UsageError: the file is missing, a folder, empty, damaged, of another kind, or does not hold
            one tensor of real numbers; or a CSV file can be read in two ways.
    """
    found = load(path, flags)
    return found if isinstance(found, Tensor) else found.numbers()


def load(path: str | Path, flags: CsvFlags = NOTHING_SAID) -> "Tensor | Table":
    """Read a tensor or, from a `.csv` or `.parquet` file, a table.

    Args:
        path: the file; `~` stands for the home folder.
        flags: what is said of a CSV file.

    Raises:
        UsageError: see `read_tensor`.
    """
    place = Path(os.path.expanduser(path))  # a ~name that is nobody's stays as it is
    ending = place.suffix.lower()
    if ending not in ENDINGS:
        raise UsageError(f"{place} has an unknown ending: use {', '.join(ENDINGS)}")
    if place.is_dir():
        raise UsageError(f"{place} is a folder: name a file")
    try:
        if place.exists() and not place.is_file():
            raise UsageError(f"{place} is no file: name one")
        if place.stat().st_size == 0:
            raise UsageError(f"{place} is empty: save the data again")
        found = _read_table(place, flags) if ending in TABLES else _read_array(place)
    except FileNotFoundError as error:
        raise UsageError(f"{place} does not exist: check the path") from error
    except OSError as error:
        raise UsageError(f"{place} cannot be read: {error.strerror or error}") from error
    if isinstance(found, Tensor) and found.is_complex():
        raise UsageError(f"{place} holds complex numbers: save their real parts")
    if isinstance(found, Tensor) and found.dtype in WIDE:
        return _signed(found, place)
    return found


def _signed(tensor: Tensor, path: Path) -> Tensor:
    if tensor.dtype == torch.uint64:
        tensor = tensor.view(torch.int64)  # in which what is too large is negative
        if bool((tensor < 0).any()):
            raise UsageError(f"{path} holds whole numbers of 2^63 or more: save it as float64")
    return tensor.to(torch.int64)


def _read_table(path: Path, flags: CsvFlags) -> "Table":
    from .table import read_csv, read_parquet  # pandas takes half a second, only for tables

    return read_csv(path, flags) if path.suffix.lower() == ".csv" else read_parquet(path)


def _read_array(path: Path) -> Tensor:
    return _read_pt(path) if path.suffix.lower() == ".pt" else _read_npy(path)


def _read_pt(path: Path) -> Tensor:
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UsageError(
            f"{path} is damaged or holds Python objects, which are not loaded: "
            "save one tensor with torch.save"
        ) from error
    except OSError:
        raise
    except Exception as error:  # torch raises nearly anything for a file that it did not write
        raise UsageError(
            f"{path} is truncated or not a file of torch.save: save one tensor with torch.save"
        ) from error
    if not isinstance(loaded, Tensor):
        kind = type(loaded).__name__
        raise UsageError(f"{path} holds a {kind}, not a tensor: save one tensor with torch.save")
    if loaded.layout is not torch.strided or loaded.is_quantized or loaded.is_nested:
        raise UsageError(f"{path} holds a sparse, nested or quantized tensor: save it dense")
    if loaded.is_meta:
        raise UsageError(f"{path} holds a shape without numbers: save a tensor of the CPU")
    if loaded.dtype not in (*SIGNED, *WIDE, *FLOATS) and not loaded.is_complex():
        raise UsageError(f"{path} holds {loaded.dtype}: save it as float32")
    if loaded.nbytes > loaded.untyped_storage().nbytes():  # rows that are one, many times
        raise UsageError(f"{path} holds an expanded tensor: save its clone()")
    return loaded.detach()


def _read_npy(path: Path) -> Tensor:
    try:
        # "c": copy on write. torch refuses read-only memory, and nothing here writes.
        array: NDArray[Any] = np.lib.format.open_memmap(path, mode="c")
    except OSError:
        raise
    except Exception as error:  # numpy evaluates the header, which may be any text
        raise UsageError(
            f"{path} is truncated, holds Python objects, or is not a file of numpy.save: "
            "save an array of numbers with numpy.save"
        ) from error
    if array.dtype.kind not in "fiubc":
        raise UsageError(f"{path} holds {array.dtype}, not numbers: save an array of numbers")
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        array = array.astype(np.float64)
    return torch.from_numpy(np.asarray(array, dtype=array.dtype.newbyteorder("=")))
