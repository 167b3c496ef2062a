"""Growth of time and memory with rows, columns, members of a sweep, and parameters."""

import math
import tempfile
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn

from descentlab.modules import DescentModule
from descentlab.optimizers import GradientDescent

from .fits import quietly
from .measure import Row, in_turn, peak_memory, seconds_of
from .unroll import slope

LEARNING_RATE = 1e-3
BATCH_SIZE = 32
LARGE_BATCH = 4096  # where rows are many
EPOCHS = 3  # the first is left out, in which much is done for the first time
ROUNDS = 3
LONG = 20  # seconds, that a fit takes of which there is one round
SEEN = 10**6  # bytes: less is lost in what the process holds and uses again
_LARGEST = 10**8  # numbers that an epoch over parameters goes through


class EpochEnds(Callback):
    """Note the time at the end of every epoch."""

    at: ClassVar[list[float]] = []

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note it."""
        self.at.append(perf_counter())


class Bowl(DescentModule):
    """A loss of as many parameters as are asked for, and of no data: the mean of their squares."""

    def __init__(self, size: int, optimizer: OptimizerCallable = GradientDescent) -> None:
        super().__init__(optimizer)
        self.theta = nn.Parameter(torch.ones(size))

    def loss(self, batch: object) -> Tensor:
        """Return the mean of the squares, whatever the batch."""
        return (self.theta**2).mean()


class Contest(NamedTuple):
    """What is timed at one size: both return the seconds at the ends of epochs."""

    fit: Callable[[], Sequence[float]]
    loop: Callable[[], Sequence[float]]
    units: float  # that an epoch has of what is timed, of a fit
    loop_units: float  # and of a loop


def scale(quick: bool) -> list[Row]:
    """Time a fit beside a plain loop at sizes from small to large, and measure what both hold.

    Returns:
        A row for each size. The facts of the last one of a kind are the slopes of log time and log
        memory over log size from the size before, of the fit, and its peaks of memory from 1 MB on.
    """
    kinds = {
        "rows": ("s an epoch", (10**3, 10**4, 10**5, 10**6, 10**7, 10**8), _rows),
        "columns": ("s an update", (1, 10, 100, 1000, 10**4), _columns),
        "members": ("s an update", (1, 10, 100, 1000, 10**4, 10**5), _members),
        "parameters": ("s an update", (2, 100, 10**4, 10**6, 10**8), _parameters),
    }
    return [
        row
        for kind, (unit, sizes, contest) in kinds.items()
        for row in grown(kind, unit, sizes[:3] if quick else sizes, contest, 1 if quick else ROUNDS)
    ]


def grown(
    kind: str,
    unit: str,
    sizes: Sequence[int],
    contest: Callable[[int, Path], Contest],
    rounds: int,
) -> list[Row]:
    """Return a row for each size, with what grew in the facts of the last one."""
    found, peaks = [], []
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            fit, loop, units, loop_units = contest(size, Path(folder))
            held = _held_now()
            long = seconds_of(fit) > LONG
            peaks.append(peak_memory() - held)
            contenders = {
                "ours": lambda fit=fit, units=units: _shortest(fit()) / units,
                "plain loop": lambda loop=loop, units=loop_units: _shortest(loop()) / units,
            }
            seconds = in_turn(contenders, 1 if long else rounds, warm_up=False)
        found.append(Row.of(f"{size:,} {kind}", unit, seconds.pop("ours"), seconds))
    times, facts = [row.ours.median for row in found], found[-1].facts
    facts[f"slope of log time over log {kind}"] = slope(sizes[-2:], times[-2:])
    seen = {size: peak for size, peak in zip(sizes, peaks, strict=True) if peak >= SEEN}
    for size, peak in seen.items():
        facts[f"memory of {size:,} {kind}, in MB,"] = peak / 1e6
    if {*sizes[-2:]} <= seen.keys():
        facts[f"slope of log memory over log {kind}"] = slope(sizes[-2:], peaks[-2:])
    return found


def _held_now() -> int:
    """Return how much memory this process holds, and have its peak counted from there on."""
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        clear.write_text("5", encoding="ascii")
    return peak_memory()


def _shortest(ends: Sequence[float]) -> float:
    """Return the shortest time from one end to the next."""
    return min(after - before for before, after in pairwise(ends))


def _fit(folder: Path, *words: str) -> Callable[[], list[float]]:
    more = [
        f"--trainer.max_epochs={EPOCHS}",
        "--trainer.accelerator=cpu",
        f"--trainer.callbacks+={EpochEnds.__module__}.{EpochEnds.__name__}",
        f"--trainer.logger.save_dir={folder}",
        "--figures=none",
    ]

    def fit() -> list[float]:
        EpochEnds.at.clear()
        quietly(["fit", *words, *more])
        return EpochEnds.at.copy()

    return fit


def _regression(folder: Path, rows: int, columns: int, batch: int) -> tuple[list[str], "Line"]:
    """Return flags for rows that are written to files, and a plain loop over these files."""
    draws = np.random.default_rng(0)
    x = draws.standard_normal((rows, columns), dtype=np.float32)
    y = x.mean(axis=1) + draws.standard_normal(rows, dtype=np.float32)
    x_path, y_path = folder / "x.npy", folder / "y.npy"
    np.save(x_path, x)
    np.save(y_path, y)
    flags = [f"--data.x_path={x_path}", f"--data.y_path={y_path}", f"--data.batch_size={batch}"]
    return flags, Line(x_path, y_path, batch)


class Line:
    """A plain loop over the rows of two mapped files, 8 in 10 of them, in an order of each epoch.

    It keeps the loss of each update, and at each epoch's end those of both sets.
    """

    def __init__(self, x: Path, y: Path, batch: int) -> None:
        self.x, self.y = (torch.from_numpy(np.load(path, mmap_mode="c")) for path in (x, y))
        self.batch = batch
        self.losses: list[float] = []

    def __call__(self, momentum: float = 0.0) -> list[float]:
        """Return the time at the end of each epoch."""
        order, tenth = torch.randperm(len(self.x)), len(self.x) // 10
        train, val = order[2 * tenth :], order[:tenth]
        line = [
            torch.zeros(self.x.shape[1], requires_grad=True),
            torch.zeros((), requires_grad=True),
        ]
        optimizer = torch.optim.SGD(line, lr=LEARNING_RATE, momentum=momentum)
        self.losses, ends = [], []
        for _ in range(EPOCHS):
            for rows in torch.split(train[torch.randperm(len(train))], self.batch):
                optimizer.zero_grad()
                loss = self._loss(line, rows)
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                self.losses.append(loss.item())
            with torch.no_grad():
                self.losses += [float(self._loss(line, rows)) for rows in (train, val)]
            ends.append(perf_counter())
        return ends

    def _loss(self, line: Sequence[Tensor], rows: Tensor) -> Tensor:
        return ((self.x[rows] @ line[0] + line[1] - self.y[rows]) ** 2).mean()


def _rows(size: int, folder: Path) -> Contest:
    flags, loop = _regression(folder, size, 1, LARGE_BATCH)
    fit = _fit(folder, "--config=linear_regression/your_data", *flags)
    return Contest(fit, loop, 1, 1)


def _columns(size: int, folder: Path) -> Contest:
    flags, loop = _regression(folder, 80 * BATCH_SIZE, size, BATCH_SIZE)
    fit = _fit(folder, "--config=linear_regression/your_data", *flags)
    return Contest(fit, loop, 64, 64)


def _members(size: int, folder: Path) -> Contest:
    """Time members of a sweep at once, and one of them by a loop, as often as there are members."""
    flags, loop = _regression(folder, 25 * BATCH_SIZE * 5 // 4, 1, BATCH_SIZE)
    momenta = 10 ** (int(math.log10(size)) // 2)
    rates = size // momenta
    config = folder / "sweep.yaml"
    config.write_text(
        "model:\n  class_path: Sweep\n  init_args:\n    module: LinearRegression\n"
        "    optimizer: descentlab.optimizers.Momentum\n    grid:\n"
        f"      lr: {[LEARNING_RATE * (1 + k / rates) for k in range(rates)]}\n"
        f"      momentum: {[0.9 * k / momenta for k in range(momenta)]}\n"
        "data:\n  class_path: RegressionData\n",
        encoding="utf-8",
    )
    fit = _fit(folder, f"--config={config}", *flags)
    return Contest(fit, lambda: loop(momentum=0.9), 25, 25 / size)


def _parameters(size: int, folder: Path) -> Contest:
    updates = max(2, min(25, _LARGEST // size))
    config = folder / "bowl.yaml"
    config.write_text(
        f"model:\n  class_path: {Bowl.__module__}.Bowl\n  init_args:\n    size: {size}\n"
        f"data:\n  class_path: descentlab.datamodules.Steps\n  init_args:\n    n: {updates}\n",
        encoding="utf-8",
    )

    def loop() -> list[float]:
        theta = torch.ones(size, requires_grad=True)
        optimizer = torch.optim.SGD([theta], lr=LEARNING_RATE)
        losses, ends = [], []
        for _ in range(EPOCHS):
            for _ in range(updates):
                optimizer.zero_grad()
                loss = (theta**2).mean()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                losses.append(loss.item())
            with torch.no_grad():
                losses.append(float((theta**2).mean()))
            ends.append(perf_counter())
        return ends

    return Contest(_fit(folder, f"--config={config}"), loop, updates, updates)
