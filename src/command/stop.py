"""How a command ends before its time: at Ctrl-C, SIGTERM or SIGHUP, with one sentence."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from .exception_messages import in_one_sentence
from .several_processes import local_rank, speaks

#: seconds that Python gets to hear a signal, before who waits in a library is ended without it
PATIENCE = 1.0


class Stop:
    """What signals ask for: to stop between two updates, with all that was finished written.

    A KeyboardInterrupt may strike anywhere, also within a library, which then waits for ever, or
    takes it for an error of its own; so the first Ctrl-C of a run that is training is treated as
    SIGTERM is by Lightning: it ends after the batch. A second one, and one before or after
    training, ends the process where it is, as SIGTERM does then: every file is whole whenever it
    ends. A closed terminal (SIGHUP) counts as SIGTERM.

    Args:
        ends_process: whether these end the process; if not, Ctrl-C is raised as a
            KeyboardInterrupt, and SIGTERM outside of training is left to whom it belongs.

    Attributes:
        interrupted: whether Ctrl-C was pressed.
        evaluating: whether nothing is trained, and there is nothing to write first: Lightning
            listens to SIGTERM in an evaluation too.
        places: says where what is finished is, and how it goes on.
        abandon: takes away what was made for a run that never began.
    """

    def __init__(self, ends_process: bool = False) -> None:
        self.ends_process = ends_process
        self._process = os.getpid()
        self._heard = 0.0
        self.interrupted = False
        self.evaluating = False
        self.places: Callable[[], list[str]] = list
        self.abandon: Callable[[], object] = list

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Listen inside, and give the signals back their meaning afterwards.

        To a process that is there for the command alone they mean this to its end.
        """
        handler = signal.getsignal(signal.SIGINT)
        others = callable(handler) and handler is not signal.default_int_handler
        if (
            others and not self.ends_process
        ) or threading.current_thread() is not threading.main_thread():
            yield  # who calls this listens already; and only the main thread may set handlers
            return
        before = {number: signal.signal(number, own) for number, own in self._handlers()}
        if self.ends_process:
            self._hear_in_libraries(list(before))
        try:
            yield
        finally:
            for number, earlier in before.items():
                if not self.ends_process:
                    signal.signal(number, earlier)

    def _handlers(self) -> Iterator[tuple[int, Callable[[int, FrameType | None], None]]]:
        """Yield what is listened to, and how; what is ignored, as under nohup, stays so."""
        yield signal.SIGINT, self._interrupt
        if hasattr(signal, "SIGHUP") and self._is_free(signal.SIGHUP):
            yield signal.SIGHUP, self._hang_up
        if self.ends_process and local_rank() == 0 and self._is_free(signal.SIGTERM):
            yield signal.SIGTERM, self._terminate

    def _is_free(self, number: int) -> bool:
        handler = signal.getsignal(number)
        return handler == signal.SIG_DFL or (self.ends_process and callable(handler))

    def _hear_in_libraries(self, numbers: list[int]) -> None:
        """Answer a signal also while a library waits, for another node it may be, for ever.

        Python calls no handler then; what it writes down of a signal is read by a thread.
        """
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        os.register_at_fork(after_in_child=lambda: signal.set_wakeup_fd(-1))
        threading.Thread(target=self._listen, args=(reading, numbers), daemon=True).start()

    def _listen(self, reading: int, numbers: list[int]) -> None:
        while number := os.read(reading, 1):
            asked = time.monotonic()
            if number[0] in numbers:
                time.sleep(PATIENCE)
                if self._heard < asked - PATIENCE and not self._is_awaited():
                    self.interrupted = self.interrupted or number[0] == signal.SIGINT
                    self._leave()

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self._heard = time.monotonic()
        again, self.interrupted = self.interrupted, True
        if again or not self._is_awaited():
            if self.ends_process:
                self._leave()
            raise KeyboardInterrupt
        if speaks():
            os.write(2, b"\nstopping after this batch; press Ctrl-C again to stop at once\n")
        signal.raise_signal(signal.SIGTERM)

    def _hang_up(self, number: int, frame: FrameType | None) -> None:
        signal.raise_signal(signal.SIGTERM)

    def _terminate(self, number: int, frame: FrameType | None) -> None:
        self._heard = time.monotonic()
        if not self._is_awaited():
            self._leave()

    def _is_awaited(self) -> bool:
        """Return whether Lightning listens to SIGTERM, and ends the training at it.

        Its handler calls ours, too.
        """
        handler = signal.getsignal(signal.SIGTERM)
        return not self.evaluating and callable(handler) and handler != self._terminate

    def _leave(self) -> None:
        """End the process; `sys.stderr` may be in the middle of a line, and is left alone."""
        status = self._status()
        try:
            if os.getpid() == self._process:  # not one that a loader has forked
                self._last_words()
        finally:
            os._exit(status)

    def _last_words(self) -> None:
        self.abandon()
        try:
            text = self._sentence(self.places())
        except OSError:  # the working folder is gone
            text = self._sentence([])
        if speaks():
            os.write(2, f"\ndescentlab: error: {text}\n".encode())

    def report(self, error: BaseException) -> int:
        """Say that the run was stopped, and return the exit status.

        Args:
            error: what ended it; its notes are the run's folder and how it goes on.
        """
        text = self._sentence(getattr(error, "__notes__", []))
        return say_and_fail(text, self._status())

    def _sentence(self, places: list[str]) -> str:
        word = "interrupted" if self.interrupted else "terminated"
        if not places:
            return f"{word} before the command was finished"
        return f"{word}: what was finished before is in {'; '.join(places)}"

    def _status(self) -> int:
        if not speaks():
            return 0  # with any other status, the process that started this one would be killed
        return 128 + (signal.SIGINT if self.interrupted else signal.SIGTERM)


def say_and_fail(message: object, status: int) -> int:
    """Say what went wrong as the last line on stderr, and return the exit status."""
    if speaks():
        print(f"descentlab: error: {in_one_sentence(message)}", file=sys.stderr)
    return status
