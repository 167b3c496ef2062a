"""How a command ends at Ctrl-C, SIGTERM and SIGHUP: at once, whatever it does, in one sentence."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


def unfinished(word: str) -> str:
    """Return what is said of a command that leaves nothing behind.

    Args:
        word: "interrupted" or "terminated".
    """
    return f"{word} before the command was finished"


@contextmanager
def ended_by_signals(
    last: Callable[[str], str] = unfinished, for_good: bool = False
) -> Iterator[None]:
    """End the process at Ctrl-C (130), and at SIGTERM or a closed terminal (143), inside.

    Not by an exception: it may strike between two lines of a library that belong together, which
    then waits for ever, or takes it for an error of its own. A signal that is ignored, as under
    nohup, or that another listens to, is left alone. What is inside may have a `last` of its own.

    Args:
        last: given "interrupted" or "terminated", does what is left to do, and says what it did; a
            signal that comes meanwhile ends the process where it is.
        for_good: whether afterwards, too, until another handler is set: there is no moment
            between the two at which Ctrl-C is a traceback.
    """
    end = _End(last)
    before = {number: signal.getsignal(number) for number in _asking_to_stop()}
    for number in before:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in ({} if for_good else before).items():
            signal.signal(number, handler)


def _asking_to_stop() -> list[int]:
    """Return the signals that ask a process to stop, of which nothing else in it takes care."""
    if threading.current_thread() is not threading.main_thread():  # no other may set handlers
        return []
    asking = [signal.SIGINT]
    if not _is_started_by_another():
        asking += [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    return [number for number in asking if _is_free(signal.getsignal(number))]


def _is_started_by_another() -> bool:
    """Return whether another process of the command has started this one, and speaks for it."""
    return os.environ.get("LOCAL_RANK", "0") != "0"


def _is_free(handler: object) -> bool:
    return handler in (signal.default_int_handler, signal.SIG_DFL) or isinstance(handler, _End)


class _End:
    """The handler: it ends the process with a sentence."""

    def __init__(self, last: Callable[[str], str]) -> None:
        self._last = last
        self._process = os.getpid()

    def __call__(self, number: int, frame: FrameType | None) -> None:
        interrupted = number == signal.SIGINT
        status = 128 + (signal.SIGINT if interrupted else signal.SIGTERM)
        if os.getpid() != self._process or _is_started_by_another():  # or one that was forked
            os._exit(status)
        word = "interrupted" if interrupted else "terminated"
        last, self._last = self._last, unfinished
        text = unfinished(word)
        try:
            text = last(word)
        finally:
            os.write(2, f"\ndescentlab: error: {text}\n".encode())
            os._exit(status)
