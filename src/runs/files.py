"""Files that are never half written."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any


@contextmanager
def replacing(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a file beside a path, and put it in its place when it is whole and on the disk.

    Args:
        path: what is there stays as it is until then, and for good if an error is raised.
        mode: `w` for text, `wb` for bytes.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open(mode) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
