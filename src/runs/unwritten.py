"""A picture or a page that could not be written."""

import os

from lightning.pytorch.utilities import rank_zero_warn

from ..errors import NotWritten
from .files import of_the_disk


def warn_unwritten(what: str, error: Exception) -> None:
    """Warn of a picture or a page that is not there: it is never worth a run.

    Args:
        what: it is, and that it is not there.
        error: why; where that is the disk, the warning is `NotWritten`, and names the file.
    """
    failure = of_the_disk(error)
    if failure is not None and failure.strerror:  # of the system, not a library's own
        place = f"{os.fsdecode(failure.filename)}: " if failure.filename else ""
        rank_zero_warn(f"{place}{failure.strerror}", category=NotWritten)
    else:
        rank_zero_warn(f"{what}: {error}")
