"""What the instruments that are asked for cost: a fit with each beside the same fit without."""

import tempfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from time import process_time
from typing import ClassVar

from lightning.pytorch import Callback, LightningModule, Trainer

from .fits import Fits
from .loops import Problem
from .measure import Row, in_turn

UPDATES_PER_EPOCH = 1000
ADD = "--trainer.callbacks+={}"
WITHOUT = "the fit without"
CHUNKS = {"batch by batch": ("--data.chunk=1",), "by default": ()}
NO_FIGURES = tuple(
    f"--{name}=null" for name in ("learning_curves", "fit_picture", "graph_export", "progress")
)

#: what each is asked for with
INSTRUMENTS: dict[str, tuple[str, ...]] = {
    name: (ADD.format(name), "--trainer.callbacks.every=100", *flags)
    for name, flags in {
        "Parity": ("--trainer.callbacks.reference=torch.optim.SGD",),
        "Stability": (),
        "GradientStatistics": (),
        "GradientAudit": (),
    }.items()
}


class EpochEnds(Callback):
    """Note the processor time of this process at the end of every epoch."""

    at: ClassVar[list[float]] = []

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note it."""
        self.at.append(process_time())


def instruments(quick: bool) -> list[Row]:
    """Time an update of a fit with one instrument more than those by default, and without.

    Figures are left out. The time is that of the processor, of the epoch that took least of those
    after the first, so that other work on the machine has the least part in it.

    Returns:
        A row for each instrument that measures at every 100th update: where batches are trained on
        one by one with it and without, and where many are at once if nothing listens.
    """
    problem = Problem.of(UPDATES_PER_EPOCH)
    with tempfile.TemporaryDirectory() as folder:
        return [
            row
            for name, flags in CHUNKS.items()
            for row in _rows(problem, Path(folder) / name, name, flags, 2 if quick else 5)
        ]


def _rows(
    problem: Problem, folder: Path, chunks: str, flags: tuple[str, ...], rounds: int
) -> list[Row]:
    contenders = {
        name: _update(Fits(problem, folder / name, ADD.format(_path()), *flags, *more, *NO_FIGURES))
        for name, more in {WITHOUT: (), **INSTRUMENTS}.items()
    }
    seconds = in_turn(contenders, rounds, warm_up=False)  # of each the first epoch is left out
    against = {WITHOUT: seconds[WITHOUT]}
    return [
        Row.of(f"{name}, {chunks}", "s an update", seconds[name], against) for name in INSTRUMENTS
    ]


def _path() -> str:
    return f"{EpochEnds.__module__}.{EpochEnds.__name__}"


def _update(fit: Fits, epochs: int = 4) -> Callable[[], float]:
    """Return what fits, and returns the processor time of an update."""

    def timed() -> float:
        EpochEnds.at.clear()
        fit.run(epochs)
        return min(b - a for a, b in pairwise(EpochEnds.at)) / UPDATES_PER_EPOCH

    return timed
