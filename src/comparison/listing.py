"""The command `descentlab runs`: what was run, what was changed for it, and how it ended."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from ..errors import ShortParser, UsageError, refuse
from ..runs.names import LOGS, runs_below, short_name
from ..runs.record import Record
from ..runs.terminal import show
from .tables import aligned, explained, starred

HEAD = ("run", "begun", "changed", "ended", "best loss")


def main(words: Sequence[str]) -> int:
    """Print a line for each run, the latest at the end.

    Args:
        words: after `descentlab runs`.

    Returns:
        0; 2 for wrong use.
    """
    parser = ShortParser(
        prog="descentlab runs",
        allow_abbrev=False,
        description="List runs, the one begun or gone on with last at the end: when each was "
        "begun, what was changed against the config that it is named after, how it ended, and its "
        "least validation loss (training loss without a validation set), of which the least of "
        "each experiment has a star.",
    )
    parser.add_argument(
        "folder",
        metavar="FOLDER",
        nargs="?",
        type=Path,
        default=LOGS,
        help="of runs, at any depth, or one below logs (default: logs)",
    )
    try:
        show(listed(parser.parse_args(words).folder))
        return 0
    except (UsageError, OSError) as error:
        return refuse(error)


def listed(folder: Path) -> str:
    """Return the table of the runs below a folder, or below one of that name in `logs`.

    Raises:
        UsageError: if there is no such folder.
    """
    if not folder.exists() and (LOGS / folder).is_dir():
        folder = LOGS / folder
    if not folder.is_dir() and folder != LOGS:
        wrong = "is no folder" if folder.exists() else "there is no such folder"
        raise UsageError(f"{folder}: {wrong}: give one in which runs are")
    rows, losses = [], dict[Path, dict[int, float | None]]()
    for number, run in enumerate(runs_below(folder)):
        row, loss = _row(Record(run))
        rows.append(row)
        losses.setdefault(run.parent, {})[number] = loss
    for experiment in losses.values():
        for number, text in zip(experiment, starred([*experiment.values()]), strict=True):
            rows[number].append(text)
    if not rows:
        return f"there are no runs in {folder}: `descentlab fit --config toy/wavy.yaml` makes one"
    return explained(aligned(HEAD, rows), "* least of its experiment")


def _row(record: Record) -> tuple[list[str], float | None]:
    """Return what is said of a run, and its least loss, which is put behind it."""
    name = short_name(record.run.folder)
    since = min(path.stat().st_mtime for path in record.configs)  # a run that goes on keeps earlier
    begun = datetime.fromtimestamp(since).strftime("%Y-%m-%d %H:%M")
    try:
        changed = ", ".join(f"{flag}={value}" for flag, value in record.changed().items())
        return [name, begun, changed or "-", record.ended()], record.best_loss
    except UsageError as error:  # the others are listed all the same
        return [name, begun, "", str(error)], None
