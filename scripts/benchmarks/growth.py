"""Whether a long fit stays as it is: memory, open files and time of an epoch."""

import itertools
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from lightning.pytorch import Callback, LightningModule, Trainer

from .fits import Fits
from .loops import Problem
from .measure import Row

SCRIPTS = Path(__file__).parents[1]
UPDATES_PER_EPOCH = 1000

#: what a run may gain: bytes and files since its first fifth, and time since its second one
MOST_BYTES, MOST_FILES, MOST_TIME = 10e6, 0, 1.05

#: seconds, bytes and open files at the end of an epoch
Sample = tuple[float, int, int]

#: a process of its own, so that what it holds is the fit's alone
PROBE = """
import sys
from pathlib import Path
from benchmarks import growth
growth.long_fit(Path(sys.argv[1]), int(sys.argv[2]))
"""


class Samples(Callback):
    """Write a line at the end of every epoch: the time, the resident memory, the open files."""

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the line of an epoch."""
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        memory, files = pages * os.sysconf("SC_PAGE_SIZE"), len(os.listdir("/proc/self/fd"))
        with Path(trainer.log_dir or "", "samples.txt").open("a", encoding="ascii") as out:
            print(perf_counter(), memory, files, file=out)


def long_fit(folder: Path, epochs: int) -> None:
    """Fit a line with every callback on."""
    problem = Problem.of(UPDATES_PER_EPOCH)
    more = ("benchmarks.growth.Samples", "LearningRateMonitor", "Trajectory")
    Fits(problem, folder, *(f"--trainer.callbacks+={name}" for name in more)).run(epochs)


def growth(quick: bool) -> list[Row]:
    """Fit for 200,000 updates with every callback on, and see what grows.

    Returns:
        One row: an epoch of the last fifth beside one of the second fifth; its facts have the
        memory and the open files after the first fifth and at the end.

    Raises:
        RuntimeError: naming what grew by more than it may.
    """
    with tempfile.TemporaryDirectory() as name:
        folder, epochs = Path(name) / "fit", 20 if quick else 200
        words = [sys.executable, "-c", PROBE, str(folder), str(epochs)]
        subprocess.run(words, check=True, cwd=SCRIPTS)
        (file,) = folder.glob("runs/*/samples.txt")
        lines = [line.split() for line in file.read_text(encoding="ascii").splitlines()]
    samples = [(float(time), int(memory), int(files)) for time, memory, files in lines]
    found = [] if quick else grown(samples)
    if found:
        raise RuntimeError(f"a fit of {epochs} epochs grew: {'; '.join(found)}")
    return [row_of(samples)]


def row_of(samples: Sequence[Sample]) -> Row:
    """Return the last fifth beside the second, with what was held after the first and the last."""
    second, last = _fifths(samples)
    facts: dict[str, float] = {}
    for when, number in (("after a fifth", len(samples) // 5), ("at the end", len(samples))):
        _, memory, files = samples[number - 1]
        facts[f"memory {when}, MB"] = memory / 1e6
        facts[f"open files {when}"] = files
    title = f"{UPDATES_PER_EPOCH * len(samples):,} updates, last fifth"
    return Row.of(title, "s an epoch", last, {"second fifth": second}, facts)


def grown(samples: Sequence[Sample]) -> list[str]:
    """Return a sentence for each thing that grew by more than it may.

    Time is the median of an epoch in the last fifth over that in the second one; memory and open
    files are those at the end less those at the end of the first fifth.

    Args:
        samples: one for each epoch, ten at least.
    """
    second, last = map(statistics.median, _fifths(samples))
    (_, early, few), (_, late, many) = samples[len(samples) // 5 - 1], samples[-1]
    found = []
    if last > MOST_TIME * second:
        found.append(f"an epoch takes {last:.4g} s at the end, and {second:.4g} s early on")
    if late - early > MOST_BYTES:
        found.append(f"memory by {(late - early) / 1e6:.3g} MB since the first fifth")
    if many - few > MOST_FILES:
        found.append(f"open files by {many - few} since the first fifth")
    return found


def _fifths(samples: Sequence[Sample]) -> tuple[list[float], list[float]]:
    """Return the seconds of the epochs in the second and the last fifth."""
    times = [time for time, _, _ in samples]
    seconds = [after - before for before, after in itertools.pairwise(times)]
    fifth = len(samples) // 5
    return seconds[fifth - 1 : 2 * fifth - 1], seconds[-fifth:]
