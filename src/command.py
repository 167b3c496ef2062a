"""A command from its words to its exit status: signals, errors, and what is kept quiet."""

import logging
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.exceptions import SIGTERMException

from .cli import DescentCLI
from .errors import RunError, UsageError


def run(words: Sequence[str]) -> int:
    """Run a command and return its exit status.

    Returns:
        0; 1 for a failed run; 2 for wrong use; 130 after Ctrl-C; 143 after SIGTERM or SIGHUP.
    """
    try:
        with signals(), warnings.catch_warnings():
            _quiet()
            DescentCLI(words or ["--help"])
    except (UsageError, MisconfigurationException) as error:
        return _fail(error, 2)
    except RunError as error:
        return _fail(error, 1)
    except SIGTERMException:
        return _fail(STOPPED.format("terminated"), 128 + signal.SIGTERM)
    except KeyboardInterrupt:
        return _fail(STOPPED.format("interrupted"), 128 + signal.SIGINT)
    except SystemExit as stop:
        if isinstance(stop.__context__, KeyboardInterrupt):  # Lightning turns one into the other
            return _fail(STOPPED.format("interrupted"), 128 + signal.SIGINT)
        return stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
    return 0


STOPPED = "{}: what was finished before is in the run's folder"


@contextmanager
def signals() -> Iterator[None]:
    """Treat a closed terminal (SIGHUP) as SIGTERM, and give Ctrl-C back its meaning afterwards."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return
    interrupt = signal.getsignal(signal.SIGINT)
    hangup = signal.getsignal(signal.SIGHUP) if hasattr(signal, "SIGHUP") else signal.SIG_IGN
    if hangup == signal.SIG_DFL:  # under nohup it is ignored, and stays so
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, interrupt)
        if hangup == signal.SIG_DFL:
            signal.signal(signal.SIGHUP, hangup)


def _fail(message: object, status: int) -> int:
    print(f"descentlab: error: {' '.join(str(message).split())}", file=sys.stderr)
    return status


def _quiet() -> None:
    """Keep Lightning's notes on its own services, and known warnings, out of the output."""
    logging.getLogger("lightning.pytorch.utilities.rank_zero").setLevel(logging.WARNING)
    logging.getLogger("lightning.fabric.utilities.seed").setLevel(logging.WARNING)
    for known in (
        r"(?s).*was\s+deprecated\s+in\s+v4\.\d+",  # Lightning calls jsonargparse as it was
        r"\s*By default only one JsonargparseDeprecationWarning",
        "Detected pickle protocol",  # of a file that is refused in our own words
        ".*does not have many workers.*",
        ".*is smaller than the logging interval.*",  # our instruments keep every update
        ".*callbacks used to create the checkpoint need to be provided.*",  # a test needs none
        ".*isinstance.treespec, LeafSpec.*is deprecated.*",  # Lightning's own
    ):
        warnings.filterwarnings("ignore", message=known)
