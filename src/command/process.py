"""A command from its words to its exit status: signals, errors, and what is kept quiet."""

import logging
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.exceptions import SIGTERMException

from ..errors import RunError, UsageError
from .cli import DescentCLI
from .mistakes import fault, in_one_sentence, of_the_disk
from .together import speaks


def run(words: Sequence[str]) -> int:
    """Run a command and return its exit status.

    Args:
        words: a command and its flags; `--traceback` among them shows where it fails in the code.

    Returns:
        0; 1 for a failed run; 2 for wrong use; 130 after Ctrl-C; 143 after SIGTERM or SIGHUP.
    """
    stop = Stop()
    given = [word for word in words if word != "--traceback"]
    try:
        with stop.on_signals(), quiet(), _tracebacks(len(given) < len(words)):
            DescentCLI(given or ["--help"])
    except (UsageError, MisconfigurationException) as error:
        return _fail(error, 2)
    except RunError as error:
        return _fail(error, 1)
    except OSError as error:
        return _fail(of_the_disk(error), 1)
    except Exception as error:  # whatever else goes wrong, here or in a library
        return _fail(fault(error), 1)
    except (SIGTERMException, KeyboardInterrupt) as error:
        return stop.report(error)
    except SystemExit as leave:
        if isinstance(leave.__context__, KeyboardInterrupt):  # Lightning turns one into the other
            return stop.report(leave)
        return leave.code if isinstance(leave.code, int) else 0 if leave.code is None else 1
    return 0


class Stop:
    """What signals ask for: to stop between two updates, with all that was finished written.

    A KeyboardInterrupt may strike anywhere, also between two lines of a library that belong
    together, which then waits for ever; so the first Ctrl-C is treated as SIGTERM is by Lightning:
    the run ends after the batch. A second one ends it where it is. A closed terminal (SIGHUP)
    counts as SIGTERM.

    Attributes:
        interrupted: whether Ctrl-C was pressed.
    """

    def __init__(self) -> None:
        self.interrupted = False

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Listen inside, and give the signals back their meaning afterwards."""
        handler = signal.getsignal(signal.SIGINT)
        others = callable(handler) and handler is not signal.default_int_handler
        if others or threading.current_thread() is not threading.main_thread():
            yield  # who calls this listens already; and only the main thread may set handlers
            return
        before = {signal.SIGINT: signal.signal(signal.SIGINT, self._interrupt)}
        if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:
            # under nohup it is ignored, and stays so
            before[signal.SIGHUP] = signal.signal(signal.SIGHUP, self._hang_up)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        training = callable(signal.getsignal(signal.SIGTERM))  # by Lightning, which then listens
        if self.interrupted or not training:
            self.interrupted = True
            raise KeyboardInterrupt
        self.interrupted = True
        if speaks():
            os.write(2, b"\nstopping after this batch; press Ctrl-C again to stop at once\n")
        signal.raise_signal(signal.SIGTERM)

    def _hang_up(self, number: int, frame: FrameType | None) -> None:
        signal.raise_signal(signal.SIGTERM)

    def report(self, error: BaseException) -> int:
        """Say that the run was stopped, and return the exit status.

        Args:
            error: what ended it; its notes are the run's folder and how it goes on.
        """
        if not speaks():
            return 0  # with any other status, the process that started this one would be killed
        places = getattr(error, "__notes__", ["the run's folder"])
        number, word = (
            (signal.SIGINT, "interrupted") if self.interrupted else (signal.SIGTERM, "terminated")
        )
        return _fail(f"{word}: what was finished before is in {'; '.join(places)}", 128 + number)


def _fail(message: object, status: int) -> int:
    if speaks():
        print(f"descentlab: error: {in_one_sentence(message)}", file=sys.stderr)
    return status


@contextmanager
def _tracebacks(shown: bool) -> Iterator[None]:
    """Show the traceback of what is raised inside, if asked to."""
    try:
        yield
    except Exception:
        if shown:
            traceback.print_exc()
        raise


#: loggers of Lightning's notes on its own services
NOTES = (
    "lightning.pytorch.utilities.rank_zero",
    "lightning.fabric.utilities.seed",
    "lightning.pytorch.trainer.connectors.signal_connector",
)

#: warnings that tell a user nothing
KNOWN = (
    r"(?s).*was\s+deprecated\s+in\s+v4\.\d+",  # Lightning calls jsonargparse as it was
    r"\s*By default only one JsonargparseDeprecationWarning",
    "Detected pickle protocol",  # of a file that is refused in our own words
    ".*does not have many workers.*",
    ".*is smaller than the logging interval.*",  # our instruments keep every update
    ".*callbacks used to create the checkpoint need to be provided.*",  # a test needs none
    ".*isinstance.treespec, LeafSpec.*is deprecated.*",  # Lightning's own
    ".torch.jit.script. is deprecated",  # torch's own, for forward mode
)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Lightning's notes and known warnings out of the output, inside."""
    levels = {logging.getLogger(name): logging.getLogger(name).level for name in NOTES}
    with warnings.catch_warnings():
        for known in KNOWN:
            warnings.filterwarnings("ignore", message=known)
        for logger in levels:
            logger.setLevel(logging.WARNING)
        try:
            yield
        finally:
            for logger, level in levels.items():
                logger.setLevel(level)
