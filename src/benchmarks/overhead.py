"""What an update inside `fit` costs, with every default instrument on."""

import importlib.util
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from .fits import Fits
from .loops import Outputs, Problem, optax_scan, plain, stock
from .measure import Row, in_turn, marginal

CHUNK = ("--model.manual_optimization=true", "--data.chunk={}")
COMPILED = (*CHUNK, "--model.compile=true")


def overhead(quick: bool) -> list[Row]:
    """Compare an update of ours with those of loops and of a stock project, at two epoch lengths.

    Returns:
        A row for each way of ours: batch by batch, chunks, compiled chunks.
    """
    few, many = (8, 1) if quick else (40, 2)
    ways = {"chunks of 25": _with(CHUNK, 25)}
    rows = at(25, ways if quick else ways | {"compiled": _with(COMPILED, 25)}, few, quick)
    ways = {f"chunks of {size}": _with(CHUNK, size) for size in (100, 1000)}
    return rows + at(1000, ways | {"compiled": _with(COMPILED, 1000)}, many, quick)


def _with(flags: tuple[str, ...], chunk: int) -> tuple[str, ...]:
    return tuple(flag.format(chunk) for flag in flags)


def at(per_epoch: int, ways: dict[str, tuple[str, ...]], epochs: int, quick: bool) -> list[Row]:
    """Return a row for each way of ours, the first one batch by batch.

    Args:
        per_epoch: updates in an epoch.
        ways: flags that are added to the command line, by name.
        epochs: n: an update's time is that of 2n epochs less that of n.
        quick: fewer rounds, and no stock project where it takes long.
    """
    problem = Problem.of(per_epoch)
    with tempfile.TemporaryDirectory() as folder:
        ours = {
            name: Fits(problem, Path(folder) / f"{number}", *flags)
            for number, (name, flags) in enumerate({"batch by batch": (), **ways}.items())
        }
        others: dict[str, Callable[[int], Outputs]] = {
            "plain loop, DataLoader": lambda n: plain(problem, n),
            "plain loop, tensors split": lambda n: plain(problem, n, sliced=True),
        }
        if importlib.util.find_spec("optax") is not None:
            others["optax, lax.scan"] = optax_scan(problem)
        contenders: dict[str, Callable[[int], Outputs]] = {**ours, **others}
        for name, run in contenders.items():
            check(name, run(2), plain(problem, 2))
        runs: dict[str, tuple[Callable[[int], Any], int]] = {
            name: (run, epochs) for name, run in contenders.items()
        }
        if not (quick and per_epoch > 25):
            runs["stock Lightning"] = lambda n: stock(problem, n), max(1, epochs // 10)
        timed = {
            name: lambda run=run, n=n: marginal(run, n, per_epoch)
            for name, (run, n) in runs.items()
        }
        seconds = in_turn(timed, rounds=2 if quick else 5, warm_up=False)
    against = {name: times for name, times in seconds.items() if name not in ours}
    title = f"{per_epoch} updates an epoch"
    return [Row.of(f"{title}, {way}", "s an update", seconds[way], against) for way in ours]


def check(name: str, found: Outputs, expected: Outputs) -> None:
    """Make sure that a contender computes the same before it is timed.

    Raises:
        RuntimeError: if the loss of an update, or a parameter at an epoch's end, differs.
    """
    try:
        torch.testing.assert_close(found.batch_losses, expected.batch_losses, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(found.final(), expected.final(), rtol=1e-4, atol=1e-6)
    except AssertionError as error:
        raise RuntimeError(f"{name} computes something else than the plain loop: {error}") from None
