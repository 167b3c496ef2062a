"""What the instruments that are asked for cost: a fit with each beside the same fit without."""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from .fits import Fits
from .loops import Problem
from .measure import Row, in_turn, marginal

UPDATES_PER_EPOCH = 1000
ADD = "--trainer.callbacks+={}"
WITHOUT = "the fit without"

#: what each takes beside `every`
INSTRUMENTS: dict[str, tuple[str, ...]] = {
    "Parity": ("--trainer.callbacks.reference=torch.optim.SGD",),
    "Stability": (),
    "GradientStatistics": (),
}


def instruments(quick: bool) -> list[Row]:
    """Time an update of a fit with every default instrument on, with one more and without.

    Returns:
        A row for each instrument that measures at every 100th update, and at every one.
    """
    problem = Problem.of(UPDATES_PER_EPOCH)
    ways = {
        f"{name}, at every {'100th ' if every > 1 else ''}update": (
            ADD.format(name),
            f"--trainer.callbacks.every={every}",
            *flags,
        )
        for every in (100, 1)
        for name, flags in INSTRUMENTS.items()
    }
    with tempfile.TemporaryDirectory() as folder:
        fits = {
            name: Fits(problem, Path(folder) / name, *flags)
            for name, flags in {WITHOUT: (), **ways}.items()
        }
        epochs, rounds = (1, 2) if quick else (2, 9)

        def timed(fit: Fits) -> Callable[[], float]:
            return partial(marginal, fit.run, epochs, UPDATES_PER_EPOCH)

        seconds = in_turn({name: timed(fit) for name, fit in fits.items()}, rounds)
    against = {WITHOUT: seconds[WITHOUT]}
    return [Row.of(way, "s an update", seconds[way], against) for way in ways]
