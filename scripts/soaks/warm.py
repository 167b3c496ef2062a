"""Commands as processes of their own, forked from one that has imported all: without the wait."""

import io
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import matplotlib.pyplot
import sklearn.datasets
import torch
import torch.utils.tensorboard

from descentlab.__main__ import main
from descentlab.command import process

#: what a fit imports as it goes, imported here once
WARM = (matplotlib.pyplot, sklearn.datasets, torch.utils.tensorboard, process)
#: the names of the C functions before each of which a process can be ended
WRITES = frozenset(
    (
        *("write", "writelines", "flush", "fsync", "close", "open", "replace", "rename"),
        *("unlink", "mkdir", "rmdir", "remove"),
    )
)
#: bytes that a command may ask for; more is a MemoryError
MOST_MEMORY = 12 << 30


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        status: its exit status; of one ended by a signal, the number of that, negative.
        seconds: from start to end.
        busy: seconds of them in which it computed.
        memory: the most that it held, in bytes.
        err: what it wrote to stderr.
        out: what it wrote to stdout.
    """

    status: int
    seconds: float
    busy: float
    memory: int
    err: str
    out: str

    @property
    def last_line(self) -> str:
        """The last line on stderr."""
        return self.err.rstrip("\n").rsplit("\n", 1)[-1]


class Command:
    """A command that runs in a process of its own.

    Args:
        words: the words after the command's name.
        folder: where it is called.
        at_write: the number, from 1, of the write before which it ends itself by SIGKILL.
        counts: where it writes how many writes it made, in place of ending itself.
    """

    def __init__(
        self,
        words: tuple[str, ...],
        folder: Path,
        at_write: int | None = None,
        counts: Path | None = None,
    ) -> None:
        self.err, self.out = folder.with_suffix(".err"), folder.with_suffix(".out")
        self.started = time.monotonic()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                become(words, folder, self.out, self.err)
                writes = _Writes(at_write)
                if at_write or counts:
                    sys.setprofile(writes.look)
                    threading.setprofile(writes.look)
                status = main()  # of `sys.argv`, as a shell calls it
                sys.setprofile(None)
                if counts:
                    counts.write_text(str(writes.count))
                sys.stdout.flush()
                sys.stderr.flush()
            except BaseException:
                sys.excepthook(*sys.exc_info())
                status = 99
            os._exit(status)

    def send(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        os.kill(self.pid, number)  # one that has ended is a zombie until it is waited for

    def wait(self, seconds: float) -> Ended | None:
        """Wait for its end; None, and the end of it and its children, where it takes longer."""
        while time.monotonic() - self.started < seconds:
            pid, status, used = os.wait4(self.pid, os.WNOHANG)
            if pid:
                took = time.monotonic() - self.started
                code = os.waitstatus_to_exitcode(status)
                texts = (path.read_text(errors="replace") for path in (self.err, self.out))
                busy = used.ru_utime + used.ru_stime
                return Ended(code, took, busy, 1024 * used.ru_maxrss, *texts)
            time.sleep(0.005)
        os.killpg(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        return None


def become(words: Sequence[str], folder: Path, out: Path, err: Path) -> None:
    """Make this process, which was forked, be as one that a shell has started.

    Args:
        words: the words after the command's name.
        folder: where it is called.
        out: the file that its stdout goes to.
        err: the file that its stderr goes to.
    """
    os.setsid()
    os.chdir(folder)
    sys.argv = [str(Path(sys.executable).with_name("descentlab")), *words]
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    for number, path in ((1, out), (2, err)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, number)
        os.close(file)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


class _Writes:
    """Counts the writes of this process, and ends it before one of them."""

    def __init__(self, last: int | None) -> None:
        self.count = 0
        self.last = last

    def look(self, frame: FrameType, event: str, what: Any) -> None:
        if event == "c_call" and what.__name__ in WRITES:
            self.count += 1
            if self.count == self.last:
                os.kill(os.getpid(), signal.SIGKILL)


def warm_up() -> None:
    """Have the parser made once, and what it keeps of it be there in every process."""
    with redirect_stdout(io.StringIO()):
        main(["fit", "--config", "linear_regression/split.yaml", "--print_config"])


def run(words: tuple[str, ...], folder: Path, seconds: float = 120.0) -> Ended:
    """Run a command to its end.

    Raises:
        TimeoutError: if it takes longer.
    """
    ended = Command(words, folder).wait(seconds)
    if ended is None:
        raise TimeoutError(f"{' '.join(words)} took more than {seconds:g} s")
    return ended
