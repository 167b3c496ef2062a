"""Train, load and compare runs from Python, with the configs and files of the command line."""

from pathlib import Path
from typing import Any

from ..comparison.compare import Comparison, records_of
from ..errors import UsageError
from ..runs.names import folder_of, is_run
from .quiet import obey
from .run import FittedRun
from .settings import words_of


def fit(*configs: str | Path, **settings: Any) -> FittedRun:
    """Train as `descentlab fit` does, and return the run.

    The run is that of the command, bit for bit: its folder, files and figures. No table, tip or
    progress bar is printed, and random generators, default dtype, environment, warnings, signals
    and matplotlib's settings are afterwards what they were.

    Args:
        *configs: names of shipped configs, or paths; a later one overrides an earlier one.
        **settings: flags. A keyword is the last part of a flag of the configs: `lr` is
            `--model.optimizer.lr`. Of several flags that end so it is the one of fewest parts, if
            one has the fewest. Any flag can be given in full, as
            `**{"model.optimizer.lr": 0.07}`. A value is a number, a text, a list, a class, None.

    Returns:
        The run; what it measured is read from its folder.

    Raises:
        UsageError: what was asked for is wrong; the sentence is that of the command line.
        RunError: the run could not be completed.
        KeyboardInterrupt: it was interrupted; it says where what was finished is.

    Example:
        >>> fit("toy/wavy", lr=0.07, start=-5).frame  # doctest: +SKIP
    """
    command = obey(words_of([str(each) for each in configs], settings))
    return FittedRun(command.folder)


def load(run: str | Path) -> FittedRun:
    """Return a run that was trained before, here or on the command line.

    Args:
        run: its folder, or in short `toy/wavy/3`, or `last`.

    Raises:
        UsageError: there is no such run.
    """
    folder = folder_of(str(run))
    if not is_run(folder):
        raise UsageError(f"{run} is no run: give one that `descentlab runs` lists")
    return FittedRun(folder)


def compare(*runs: FittedRun | str | Path, out: str | Path | None = None) -> Comparison:
    """Put runs side by side, as `descentlab compare` does.

    Args:
        *runs: two or more; the first is what the others are held against.
        out: a folder for `compare.html` and `compare.png`; nothing is written without it.

    Returns:
        The comparison: printed it is the text of the command, and `plot()` is its figure.

    Raises:
        UsageError: a run is missing, or given twice.
    """
    names = [str(each.place if isinstance(each, FittedRun) else each) for each in runs]
    records = records_of(names, None if out is None else Path(out))
    found = Comparison(records)
    if out is not None:
        Path(out).mkdir(parents=True, exist_ok=True)
        found.write(Path(out))
    return found
