"""A command from its words to its exit status: errors, and what is kept quiet."""

import logging
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.exceptions import SIGTERMException

from ..errors import RunError, UsageError
from .cli import DescentCLI
from .exception_messages import fault, of_the_disk
from .stop import Stop, say_and_fail
from .unwritten import threads_leave_it_to_us


def run(words: Sequence[str], alone: bool = False) -> int:
    """Run a command and return its exit status.

    Args:
        words: a command and its flags; `--traceback` among them shows where it fails in the code.
        alone: whether the process is there for the command alone, and may be ended at Ctrl-C.

    Returns:
        0; 1 for a failed run; 2 for wrong use; 130 after Ctrl-C; 143 after SIGTERM or SIGHUP.
    """
    stop = Stop(ends_process=alone)
    given = [word for word in words if word != "--traceback"]
    try:
        shown = _tracebacks(len(given) < len(words))
        with stop.on_signals(), quiet(), threads_leave_it_to_us(), shown:
            DescentCLI(given or ["--help"], stop)
    except (UsageError, MisconfigurationException) as error:
        return say_and_fail(error, 2)
    except RunError as error:
        return say_and_fail(error, 1)
    except OSError as error:
        return say_and_fail(of_the_disk(error), 1)
    except Exception as error:  # whatever else goes wrong, here or in a library
        return say_and_fail(fault(error), 1)
    except (SIGTERMException, KeyboardInterrupt) as error:
        return stop.report(error)
    except SystemExit as leave:
        if isinstance(leave.__context__, KeyboardInterrupt):  # Lightning turns one into the other
            return stop.report(leave)
        return leave.code if isinstance(leave.code, int) else 0 if leave.code is None else 1
    return 0


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
