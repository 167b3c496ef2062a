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
ONE_BY_ONE, DEFAULT = "the fit without, batch by batch", "the fit without, by default"

NO_FIGURES = tuple(
    f"--{name}=null" for name in ("learning_curves", "fit_picture", "graph_export", "progress")
)

#: what each takes beside `every`
INSTRUMENTS: dict[str, tuple[str, ...]] = {
    "Parity": ("--trainer.callbacks.reference=torch.optim.SGD",),
    "Stability": (),
    "GradientStatistics": (),
    "GradientAudit": (),
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
        A row for each instrument that measures at every 100th update, and at every one.
    """
    problem = Problem.of(UPDATES_PER_EPOCH)
    rounds = {100: 2, 1: 1} if quick else {100: 7, 1: 3}
    with tempfile.TemporaryDirectory() as folder:
        return [
            row
            for every, count in rounds.items()
            for row in _rows(problem, Path(folder) / str(every), every, count)
        ]


def _rows(problem: Problem, folder: Path, every: int, rounds: int) -> list[Row]:
    ways = {
        f"{name}, at every {'100th ' if every > 1 else ''}update": (
            ADD.format(name),
            f"--trainer.callbacks.every={every}",
            *flags,
        )
        for name, flags in INSTRUMENTS.items()
        if (name, every) != ("GradientAudit", 1)  # some 15 evaluations of the loss each
    }
    against = {ONE_BY_ONE: ("--data.chunk=1",), DEFAULT: ()}
    contenders = {
        name: _update(Fits(problem, folder / name, ADD.format(_path()), *flags, *NO_FIGURES))
        for name, flags in {**against, **ways}.items()
    }
    seconds = in_turn(contenders, rounds, warm_up=False)  # of each the first epoch is left out
    others = {name: seconds[name] for name in against}
    return [Row.of(way, "s an update", seconds[way], others) for way in ways]


def _path() -> str:
    return f"{EpochEnds.__module__}.{EpochEnds.__name__}"


def _update(fit: Fits, epochs: int = 4) -> Callable[[], float]:
    """Return what fits, and returns the processor time of an update."""

    def timed() -> float:
        EpochEnds.at.clear()
        fit.run(epochs)
        return min(b - a for a, b in pairwise(EpochEnds.at)) / UPDATES_PER_EPOCH

    return timed
