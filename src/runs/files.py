"""Files that are never half written."""

import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import torch


@contextmanager
def replacing(path: Path, mode: str = "w", newline: str | None = None) -> Iterator[IO[Any]]:
    """Open a file beside a path, and put it in its place when it is whole and on the disk.

    Args:
        path: what is there stays as it is until then, and for good if an error is raised.
        mode: `w` for text, `wb` for bytes.
        newline: of text, as `open` takes it; "" for the csv module.

    Raises:
        OSError: if it cannot be written, naming the path.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        encoding = None if "b" in mode else "utf-8"
        beside.unlink(missing_ok=True)  # a link that lies there would be followed
        with beside.open(mode.replace("w", "x"), encoding=encoding, newline=newline) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except Exception as error:
        if failure := failure_of_the_disk(error):
            raise OSError(failure.errno, failure.strerror, str(path)) from error
        raise
    finally:
        with suppress(OSError):  # of a folder that is gone, or closed by now
            beside.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove what processes that were killed while they wrote left beside their files."""
    for path in folder.rglob(".*.[0-9]*"):
        path.unlink(missing_ok=True)


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file so that it is never half written.

    Raises:
        OSError: if it cannot be written, naming the path.
    """
    with replacing(path, "w" if isinstance(content, str) else "wb") as file:
        file.write(content)


def write_json(path: Path, content: Any) -> None:
    """Write plain values as JSON, with null for a number that is not finite, which it has not.

    Raises:
        OSError: if it cannot be written, naming the path.
    """
    write_whole(path, json.dumps(_finite(content), indent=2, allow_nan=False) + "\n")


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def save_atomically(content: Any, path: Path) -> None:
    """Save with torch, so that the path never holds half a file."""
    with replacing(path, "wb") as file:
        torch.save(content, file)


def failure_of_the_disk(error: BaseException | None) -> OSError | None:
    """Return the failure of the disk that an error comes from; PyTorch makes another one of it."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__ or error.__context__
    return error
