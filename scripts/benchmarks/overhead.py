"""The cost of an update inside `fit`, with every default instrument on."""

import functools
import importlib.util
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from .fits import Fits
from .libraries import KERAS, OF_EPOCHS, SCIKIT, has_keras, keras_fit, scikit
from .loops import Outputs, Problem, optax_scan, plain, stock
from .measure import Row, in_turn, marginal

COMPILED = ("--model.compile=true",)

Run = Callable[[int], Any]
Contender = Callable[[Problem, int], Any]
LOOPS: dict[str, Contender] = {
    "plain loop, DataLoader": plain,
    "plain loop, tensors split": functools.partial(plain, sliced=True),
}


OPTAX, RECORDING = "optax, lax.scan", "optax, lax.scan, same records"
#: how many times as many epochs are run of what is so fast that its time would be lost in noise
LONGER = {"compiled": 50, OPTAX: 25, RECORDING: 25, SCIKIT: 100, "stock Lightning": 0.1}


class Listening(Callback):
    """A callback that looks at each batch, so that updates are made one by one."""

    batches: ClassVar[int] = 0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count it."""
        Listening.batches += 1


LISTENING = (f"--trainer.callbacks+={Listening.__module__}.{Listening.__name__}",)


def overhead(quick: bool) -> list[Row]:
    """Compare an update of ours with those of loops and of a stock project, at two epoch lengths.

    Returns:
        A row for each way of ours: by default, with a callback that listens, compiled.
    """
    ways = {"by default": (), "with a callback that listens": LISTENING}
    others = {**LOOPS, "stock Lightning": stock}
    rows = at(Problem.of(25), ways, others, 10 if quick else 80, quick)
    epochs = 1 if quick else 4
    rows += at(Problem.of(1000), {**ways, "compiled": COMPILED}, LOOPS, epochs, quick)
    single = Problem.of(1000, batch_size=1)
    return rows + at(single, {"by default": ()}, {**LOOPS, SCIKIT: scikit}, epochs, quick)


def at(
    problem: Problem,
    ways: Mapping[str, tuple[str, ...]],
    others: Mapping[str, Contender],
    epochs: int,
    quick: bool,
) -> list[Row]:
    """Return a row for each way of ours, with an update's time by that and by the others.

    Args:
        problem: has the rows, and how many there are in a batch.
        ways: flags that are added to the command line, by name.
        others: what it is compared with, by name; optax and Keras too where they are
            installed.
        epochs: n: an update's time is that of 2n epochs less that of n.
        quick: two rounds in place of five.
    """
    per_epoch = len(problem.indices["train"]) // problem.batch_size
    loops: dict[str, Run] = {name: functools.partial(run, problem) for name, run in others.items()}
    with tempfile.TemporaryDirectory() as folder:
        if importlib.util.find_spec("optax") is not None:
            loops[OPTAX] = optax_scan(problem)
            loops[RECORDING] = optax_scan(problem, folder=Path(folder))
        if has_keras():
            loops[KERAS] = keras_fit(problem)
        fits = {name: Fits(problem, Path(folder) / name, *flags) for name, flags in ways.items()}
        checked: dict[str, Run] = {**fits, **loops}
        for name, run in checked.items():
            if name != "stock Lightning":  # its line starts and is kept elsewhere
                check(name, run(2), plain(problem, 2))
        runs: dict[str, Run] = {**{name: fit.run for name, fit in fits.items()}, **loops}

        def timed(name: str) -> Callable[[], float]:
            count = max(1, round(epochs * LONGER.get(name, 1)))
            return lambda: marginal(runs[name], count, per_epoch)

        rounds = 2 if quick else 5
        seconds = in_turn({name: timed(name) for name in runs}, rounds, warm_up=False)
    against = {name: seconds[name] for name in loops}
    title = f"{per_epoch} updates an epoch{', of one row' if problem.batch_size == 1 else ''}"
    return [Row.of(f"{title}, {way}", "s an update", seconds[way], against) for way in fits]


def check(name: str, found: Outputs, expected: Outputs) -> None:
    """Make sure that a contender computes the same before it is timed.

    Raises:
        RuntimeError: if the loss of an update, or a parameter at an epoch's end, differs.
    """
    try:
        ours, theirs = found.batch_losses, expected.batch_losses
        if name not in OF_EPOCHS:
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(found.final(), expected.final(), rtol=1e-4, atol=1e-6)
    except AssertionError as error:
        raise RuntimeError(f"{name} computes something else than the plain loop: {error}") from None
