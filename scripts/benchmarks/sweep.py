"""The cost of 256 members of a sweep, beside one ordinary run and beside optax under vmap."""

import csv
import importlib.util
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from .fits import Fits
from .loops import LEARNING_RATE, Problem, optax_scan
from .measure import Row, in_turn, marginal, seconds_of

MEMBERS = 256
PER_EPOCH = 25
RATES = [LEARNING_RATE * (1 + member / MEMBERS) for member in range(MEMBERS)]


class SweepFits(Fits):
    """The same fits, for a grid of learning rates; the first one is that of the ordinary run."""

    def words(self, epochs: int) -> list[str]:
        """Return the command line of a sweep into a folder of its own."""
        config = self.folder / "sweep.yaml"
        config.write_text(
            "model:\n  class_path: Sweep\n  init_args:\n    module: LinearRegression\n"
            "    optimizer: descentlab.optimizers.GradientDescent\n"
            f"    grid:\n      lr: {RATES}\n"
            "data:\n  class_path: RegressionData\n",
            encoding="utf-8",
        )
        fit, _, *flags = super().words(epochs)
        return [fit, f"--config={config}", *(f for f in flags if not f.startswith("--model."))]


def sweep(quick: bool) -> list[Row]:
    """Compare a sweep with one ordinary run, and with 256 of these one after the other.

    Returns:
        A row for the cost of an update, one for whole runs, both of all members and of each.
    """
    epochs, rounds = (20, 2) if quick else (100, 5)
    problem = Problem.of(PER_EPOCH)
    with tempfile.TemporaryDirectory() as folder:
        ours, single = (
            SweepFits(problem, Path(folder) / "sweep"),
            Fits(problem, Path(folder) / "one"),
        )
        check(ours, single)
        runs: dict[str, Callable[[int], Any]] = {"sweep": ours.run, "one run": single.run}
        if importlib.util.find_spec("optax") is not None:
            runs["optax, vmap and lax.scan"] = optax_scan(problem, RATES)
            runs["optax, vmap and lax.scan"](2)
        timed = {
            name: lambda run=run: marginal(run, epochs, PER_EPOCH) for name, run in runs.items()
        }
        updates = in_turn(timed, rounds, warm_up=False)
        whole = {
            name: lambda run=run: seconds_of(lambda: run(2 * epochs)) for name, run in runs.items()
        }
        wholes = in_turn(whole, rounds, warm_up=False)
    return [
        *_rows("an update", "s an update", updates),
        *_rows(f"a whole command, {2 * epochs} epochs", "s", wholes),
    ]


def _rows(name: str, unit: str, seconds: dict[str, list[float]]) -> list[Row]:
    """Return the comparison of all members at once, and of each with a run of its own."""
    ours = seconds.pop("sweep")
    title = f"{name}, {MEMBERS} members"
    each = [time / MEMBERS for time in ours]
    return [
        Row.of(f"{title} at once", unit, ours, seconds),
        Row.of(f"{title}, per member", unit, each, {"one run": seconds["one run"]}),
    ]


def check(ours: SweepFits, single: Fits) -> None:
    """Make sure that the first member ends where the ordinary run does.

    Raises:
        RuntimeError: if it does not.
    """
    with (ours.run(3).folder / "sweep.csv").open(encoding="utf-8") as file:
        first = next(csv.DictReader(file))
    found = [float(first["last.slope[0]"]), float(first["last.bias"])]
    try:
        torch.testing.assert_close(found, single(3).final(), rtol=1e-5, atol=1e-7)
    except AssertionError as error:
        raise RuntimeError(f"a member differs from a run of its own: {error}") from None
