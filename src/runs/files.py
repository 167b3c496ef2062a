"""Files that are never half written."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any


@contextmanager
def replacing(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a file beside a path, and put it in its place when it is whole and on the disk.

    Args:
        path: what is there stays as it is until then, and for good if an error is raised.
        mode: `w` for text, `wb` for bytes.

    Raises:
        OSError: if it cannot be written, naming the path.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open(mode) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except Exception as error:
        if failure := _of_the_disk(error):
            raise OSError(failure.errno, failure.strerror, str(path)) from error
        raise
    finally:
        with suppress(OSError):  # of a folder that is gone, or closed by now
            beside.unlink(missing_ok=True)


def _of_the_disk(error: BaseException | None) -> OSError | None:
    """Return the failure of the disk that an error comes from; PyTorch makes another one of it."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__ or error.__context__
    return error
