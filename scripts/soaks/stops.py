"""Stops of runs of two processes: all of them end, soon, and what goes on is what was not stopped.

These are started by the command, with imports and all: nothing is forked.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .artefacts import differences
from .kills import Trial
from .problems import RUN

#: seconds within which all processes end after a signal, and after one of them was killed
SOON, AFTER_A_DEATH = 20.0, 30.0
#: seconds that a run may take to begin on a machine that does much else
STARTING = 180.0
_WORDS = (
    *("fit", "--config", "linear_regression/split.yaml", "--config", "trainer/ddp.yaml"),
    *("--data.source", "line", "--trainer.max_epochs", "40", "--best_parameters.every", "0.5"),
    *("--graph_export", "null", "--learning_curves", "null", "--progress", "null"),
    *("--trainer.logger.name", "x"),
)
_RESUME = ("fit", "--resume", RUN)
#: what is sent to whom
WAYS = (
    *(("SIGTERM", "first"), ("SIGINT", "first"), ("SIGTERM", "all"), ("SIGINT", "all")),
    *(("SIGKILL", "other"), ("SIGKILL", "first"), ("SIGKILL", "all")),
)


@dataclass(frozen=True)
class _Run:
    """A run of two processes."""

    process: subprocess.Popen[str]

    @classmethod
    def start(cls, words: tuple[str, ...], folder: Path) -> "_Run":
        command = [sys.executable, "-m", "descentlab", *words]
        with folder.with_suffix(".err").open("w") as err:
            return cls(
                subprocess.Popen(
                    command,
                    cwd=folder,
                    stdout=subprocess.DEVNULL,
                    stderr=err,
                    text=True,
                    start_new_session=True,
                )
            )

    def pids(self) -> list[int]:
        """Return the processes of the run that live, the first one first."""
        found = []
        for path in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                state, _, _, session = path.read_text().rpartition(")")[2].split()[:4]
                if int(session) == self.process.pid and state != "Z":
                    found.append(int(path.parent.name))
        return sorted(found, key=lambda pid: pid != self.process.pid)

    def send(self, number: int, to: str) -> None:
        pids = self.pids()
        chosen = {"first": pids[:1], "other": pids[1:], "all": pids}[to]
        for pid in chosen:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def ends_within(self, seconds: float) -> float | None:
        """Return after how many seconds all have ended; None, and their end, if later."""
        start = time.monotonic()
        while time.monotonic() - start < seconds:
            self.process.poll()
            if not self.pids():
                return time.monotonic() - start
            time.sleep(0.1)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        return None


class Stops:
    """Runs of two processes, each stopped once.

    Args:
        folder: where the runs go.
        seed: of what is drawn.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.seed = folder, seed
        self.expected = folder / "expected"
        self.expected.mkdir(parents=True)
        if _Run.start(_WORDS, self.expected).ends_within(STARTING) is None:
            raise RuntimeError("a run of two processes does not end by itself")

    def __call__(self, number: int) -> Trial:
        """Stop a run; let it go on, if it was stopped by a signal to all or was killed."""
        draw = random.Random(f"{self.seed} stop {number}")
        way, to = draw.choice(WAYS)
        here = self.folder / "stopped"
        shutil.rmtree(here, ignore_errors=True)
        here.mkdir()
        run = _Run.start(_WORDS, here)
        last = here / RUN / "checkpoints" / "last.ckpt"
        start = time.monotonic()
        while not last.exists() and time.monotonic() - start < STARTING:
            time.sleep(0.05)
        time.sleep(draw.uniform(0.0, 2.0))
        run.send(signal.Signals[way], to)
        limit = AFTER_A_DEATH if way == "SIGKILL" else SOON
        faults = [] if run.ends_within(limit) is not None else [f"it hung: over {limit:g} s"]
        err = here.with_suffix(".err").read_text()
        if "Traceback" in err:
            faults.append(f"a traceback: {err[-400:]}")
        if draw.random() < 0.5:
            faults += self._gone_on(here)
        return Trial("stops of two processes", [f"{way} to {to}: {fault}" for fault in faults])

    def _gone_on(self, here: Path) -> list[str]:
        if _Run.start(_RESUME, here).ends_within(STARTING) is None:
            return ["it does not end when it goes on"]
        return differences(here / RUN, self.expected / RUN)
