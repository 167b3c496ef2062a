"""What the disk did not take of what a run draws: one sentence at the end, and status 1."""

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..errors import NotWritten, RunError
from ..internals.tensorboard import writes_events
from ..runs.logger import LOCK


@contextmanager
def naming_what_is_not_written(places: Callable[[], list[str]]) -> Iterator[None]:
    """Have a fit go on to its end without what could not be written, and fail then.

    The run is left open, so that `fit --resume` brings it to its end when there is room.

    Args:
        places: says where what is finished is, and how it goes on.

    Raises:
        RunError: naming the first file that was not written.
    """
    lost: list[str] = []
    with warnings.catch_warnings():
        warnings.filterwarnings("always", category=NotWritten)
        show = warnings.showwarning

        def keep(message: Any, category: type[Warning], *place: Any, **more: Any) -> None:
            if issubclass(category, NotWritten):
                lost.append(str(message))
            else:
                show(message, category, *place, **more)

        warnings.showwarning = keep
        yield
    if lost:
        folder, *how = places() or [""]
        with suppress(OSError):
            Path(folder, LOCK).touch()
        raise RunError("; ".join([lost[0], *how]))


@contextmanager
def threads_leave_it_to_us() -> Iterator[None]:
    """Print no traceback of the thread that writes events: its error is raised here, too."""
    others = threading.excepthook

    def say(args: threading.ExceptHookArgs) -> None:
        if not writes_events(args.thread):
            others(args)

    threading.excepthook = say
    try:
        yield
    finally:
        threading.excepthook = others
