"""Kills at random: a run that is stopped, goes on, and must leave what one never stopped leaves."""

import random
import re
import shutil
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from .artefacts import differences
from .problems import PROBLEMS, RARE, RUN, words_of
from .warm import Command, Ended, run

#: what ends a run: a signal at a random moment, two Ctrl-C, or SIGKILL before a random write
WAYS = ("SIGKILL", "SIGTERM", "SIGINT", "SIGINT twice", "before a write")
#: how often in a row a run is stopped
TIMES = (1, 1, 1, 2, 3)
#: exit statuses, which say that a signal was answered, or came too late
ANSWERS = {"SIGTERM": (143,), "SIGINT": (130,), "SIGINT twice": (130,)}
#: seconds after which a command that was told to stop, or to go on, counts as hanging
LONGEST = 120.0
RESUME = ("fit", "--resume", RUN)


@dataclass(frozen=True)
class Reference:
    """A run that was never stopped.

    Attributes:
        folder: of the run.
        seconds: that it took.
        writes: that it made.
    """

    folder: Path
    seconds: float
    writes: int


@dataclass(frozen=True)
class Trial:
    """What came of one case.

    Attributes:
        name: of the kind of case, for the counts.
        faults: a line for each thing that should not be.
        count: how many kills, or inputs, it stands for.
    """

    name: str
    faults: list[str]
    count: int = 1


class Kills:
    """Runs of each kind, stopped again and again.

    Args:
        folder: where the runs go.
        seed: of what is drawn.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.seed = folder, seed
        self._references: dict[str, Reference] = {}

    def __call__(self, number: int) -> Trial:
        """Stop a run at random, let it go on to its end, and compare all that it left."""
        draw = random.Random(f"{self.seed} kill {number}")
        weights = [RARE.get(name, 1.0) for name in PROBLEMS]
        (name,) = draw.choices(list(PROBLEMS), weights)
        reference = self._reference(name)
        here = self.folder / "stopped"
        shutil.rmtree(here, ignore_errors=True)
        here.mkdir(parents=True)
        words, ways, faults = words_of(name), [], []
        for _ in range(draw.choice(TIMES)):
            way = draw.choice(WAYS)
            faults += _stop(words, here, way, draw, reference)
            ways.append(way)
            if not (here / RUN / "checkpoints" / "last.ckpt").is_file():
                break
            words = RESUME
        faults += finished(here, reference)
        said = f"{name}, {' then '.join(ways)}"
        return Trial(f"kills of {name}", [f"{said}: {fault}" for fault in faults], len(ways))

    def _reference(self, name: str) -> Reference:
        if name not in self._references:
            here = self.folder / re.sub(r"\W", "_", name)
            here.mkdir(parents=True)
            writes = self.folder / "writes"
            for _ in range(2):  # the first one may compile
                shutil.rmtree(here / "logs", ignore_errors=True)
                ended = run(words_of(name), here)
                if ended.status:
                    raise RuntimeError(f"a run of {name} fails by itself: {ended.err}")
            counted = self.folder / "counted"
            counted.mkdir(exist_ok=True)
            shutil.rmtree(counted / "logs", ignore_errors=True)
            Command(words_of(name), counted, counts=writes).wait(LONGEST)
            faults = differences(counted / RUN, here / RUN)
            if faults:
                raise RuntimeError(f"two runs of {name} differ: {'; '.join(faults)}")
            self._references[name] = Reference(here / RUN, ended.seconds, int(writes.read_text()))
        return self._references[name]


def _stop(
    words: tuple[str, ...], here: Path, way: str, draw: random.Random, reference: Reference
) -> list[str]:
    """Run a command and stop it; return what was wrong about how it ended."""
    if way == "before a write":
        last = draw.randint(1, reference.writes)
        ended = Command(words, here, at_write=last).wait(LONGEST)
        return ["it hung"] if ended is None else []
    command = Command(words, here)
    time.sleep(draw.uniform(0.2, 1.0) * reference.seconds)
    number = signal.Signals[way.split()[0]]
    command.send(number)
    if way.endswith("twice"):
        time.sleep(draw.uniform(0.0, 0.1))
        command.send(number)
    ended = command.wait(LONGEST)
    if ended is None:
        return ["it hung"]
    return answered(ended, ANSWERS[way]) if way in ANSWERS else []


def answered(ended: Ended, statuses: tuple[int, ...]) -> list[str]:
    """Return what is wrong about how a command ended that a signal may have come too late for."""
    if "Traceback" in ended.err or "--traceback" in ended.err:
        return [f"a traceback: {ended.err[-300:]}"]
    if ended.status in statuses and not ended.last_line.startswith("descentlab: error: "):
        return [f"the last line is {ended.last_line!r}"]
    late = 0, 2, -signal.SIGTERM, -signal.SIGINT  # 2: nothing was left to train
    return [] if ended.status in (*statuses, *late) else [f"status {ended.status}: {ended.err}"]


def finished(here: Path, reference: Reference) -> list[str]:
    """Let a stopped run go on to its end, and return in what it differs from one never stopped."""
    if not (here / RUN / "config.yaml").is_file():
        return []  # it had not begun
    ended = run(RESUME, here)
    if "Traceback" in ended.err or "--traceback" in ended.err:
        return [f"a traceback: {ended.err[-300:]}"]
    if "nothing is finished from which it could go on" in ended.last_line:
        return []  # no epoch was
    if ended.status and "nothing is left to train" not in ended.last_line:
        return [f"it does not go on: {ended.last_line}"]
    return differences(here / RUN, reference.folder)
