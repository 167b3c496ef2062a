"""What a run is called: by its path, in short as `toy/wavy/3`, or `last`."""

import os
from pathlib import Path

#: where `fit` puts its runs
LOGS = Path("logs")
LAST = "last"
VERSION = "version_"


def folder_of(name: str, logs: Path = LOGS) -> Path:
    """Return the folder of a run by its name.

    Args:
        name: a path; or below `logs` the experiment and the number, `toy/wavy/3` for
            `logs/toy/wavy/version_3`; or `last` for the run below `logs` that was begun, or gone on
            with, last. What is there as a path is taken for one.
        logs: the folder of all runs.

    Returns:
        The folder; the name as a path where there is no such run.
    """
    path = Path(os.path.expanduser(name))  # a ~name that is nobody's stays as it is
    if os.path.exists(path):  # False, too, for what cannot be the name of a file
        return path
    if name == LAST:
        runs = runs_below(logs)
        return runs[-1] if runs else path
    for short in (logs / path.parent / f"{VERSION}{path.name}", logs / path):
        if os.path.isdir(short):
            return short
    return path


def short_name(folder: Path, logs: Path = LOGS) -> str:
    """Return the shortest name of a run's folder that `folder_of` takes.

    Example:
        >>> short_name(Path("logs/toy/wavy/version_3"))
        'toy/wavy/3'
        >>> short_name(Path("elsewhere/version_3"))
        'elsewhere/version_3'
    """
    if not folder.is_relative_to(logs):
        return str(folder)
    inside = folder.relative_to(logs)
    number = inside.name.removeprefix(VERSION)
    short = str(inside.parent / number) if number.isdecimal() else str(inside)
    return short if folder_of(short, logs) == folder else str(folder)


def runs_below(logs: Path) -> list[Path]:
    """Return the folders of runs below a folder, those begun or gone on with last at the end."""
    found = [path for path in logs.rglob("config.yaml") if is_run(path.parent)]
    return [path.parent for path in sorted(found, key=lambda path: (path.stat().st_mtime_ns, path))]


def is_run(folder: Path) -> bool:
    """Return whether a folder is that of a run: its configuration, and something beside it."""
    if not (folder / "config.yaml").is_file():
        return False
    return any(
        path.name in ("metrics.csv", "checkpoints") or path.name.startswith("events.out.tfevents.")
        for path in folder.iterdir()
    )
