"""The page of a run, `report.html`: what was asked, what came out, and how it is done again."""

import csv
import math
import os
import platform
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning
import torch

from .. import __version__
from ..drawing.page import code, page, paragraph, picture, section, table
from ..errors import RunError
from ..runs.files import failure_of_the_disk, write_whole
from ..runs.folder import warn_unwritten
from ..runs.hyperparameters import flat
from ..runs.paths import Run
from ..runs.record import Record

_SETS = {"train": "training loss", "val": "validation loss"}
_FIRST = ("epoch_losses", "batch_losses", "fit", "trajectory")  # pictures; others follow
#: the loss at the start; the least one with its epoch; the last one
_Losses = tuple[float | None, tuple[float, int] | None, float | None]
_MEMBERS = 20  # rows of a sweep that are shown, the best first


def versions() -> dict[str, str]:
    """Return the versions that a run is made with, for its summary."""
    return {
        "descentlab": __version__,
        "torch": torch.__version__,
        "lightning": lightning.__version__,
        "python": platform.python_version(),
    }


def write_report(run: Run) -> None:
    """Write `report.html` into a run's folder, from the files that are there; nothing is drawn.

    A report that cannot be written costs a warning only.
    """
    try:
        write_whole(run.report, report(run.folder))
    except Exception as error:  # a page is never worth a run
        warn_unwritten(f"{run.report} was not written", error)


def renew_report(run: Run) -> None:
    """Write the page anew, with what a test found, if the run has one.

    Raises:
        RunError: if it cannot be written, or a file that it is made from is damaged.
    """
    if not os.path.lexists(run.report):
        return
    try:
        write_whole(run.report, report(run.folder))
    except Exception as error:
        disk = failure_of_the_disk(error)
        why = f"{disk.filename}: {disk.strerror}" if disk and disk.filename else str(error)
        rest = f"the results are kept, and {run.report} is as it was"
        raise RunError(f"{why}: {rest}: mend that, and do it again") from error


def report(folder: Path) -> str:
    """Return the page of a run or a sweep, one file with its pictures inside.

    Raises:
        UsageError: if a file of the run is damaged.
    """
    record = Record(folder)
    parts = [*_asked(record), *_results(record), *_pictures(folder)]
    parts += [*_again(record), section("Made with", table(["what", "which"], _made_with(record)))]
    return page(f"Run {'/'.join(folder.absolute().parts[-3:])}", parts)


def _asked(record: Record) -> Iterator[str]:
    """Give the commands that made the run, and the flags beside its config."""
    if not record.run.config.is_file():  # a run from Python
        return
    if record.commands:
        yield section("What was asked", *(code(shlex.join(words)) for words in record.commands))
    flags = list(record.changed().items())
    if flags:
        yield section("Flags that were given", table(["flag", "value"], flags))
    settings = _settings(record)
    if settings:
        yield section("Settings", table(["setting", "value"], settings))


def _settings(record: Record) -> list[list[str]]:
    """Return what the model, the data and the training were set to, in short."""
    given = {name: record.config.get(name) for name in ("model", "data")}
    trainer = record.config.get("trainer")
    given["max_epochs"] = trainer.get("max_epochs") if isinstance(trainer, Mapping) else None
    found = flat({**given, "seed": record.config.get("seed_everything")})
    return [[name, text] for name, value in found.items() if len(text := str(value)) <= 200]


def _results(record: Record) -> Iterator[str]:
    """Give what was found: of a sweep its best members, of a run its losses and parameters."""
    ended = paragraph(record.ended())
    if record.is_sweep:
        yield section("The best members", ended, _members(record))
        return
    yield section("Losses", ended, _losses(record))
    for title, found in (("On the test set", _tests(record)), ("Parameters", _parameters(record))):
        if found:
            yield section(title, found)


def _losses(record: Record) -> str:
    """Return the losses at the start, the best epoch and the end."""
    losses_of = _summed_up if record.is_summed_up else _logged
    rows = []
    for name, label in _SETS.items():
        start, least, last = losses_of(record, name)
        if least or last is not None:
            best = f"{_number(least[0])} at epoch {least[1]}" if least else ""
            rows.append([label, _number(start), best, _number(last)])
    head = f"last, {record.late}" if record.late else "last"
    return table(["", "start", "best", head], rows) if rows else ""


def _summed_up(record: Record, name: str) -> _Losses:
    """Return the losses of a set as the summary has them."""
    found = record.summary
    start, last = ((found.get(when) or {}).get(name) for when in ("start", "last"))
    least = (found.get("least") or {}).get(name)
    return start, least and (least["loss"], least["epoch"]), last


def _logged(record: Record, name: str) -> _Losses:
    """Return the losses of a set as they were logged until the run broke off."""
    metric = record.losses[name]
    steps, values = record.curves.get(metric, ([], []))
    start = values[0] if 0 in steps[:1] else None
    return start, record.best(metric), values[-1] if values else None


def _tests(record: Record) -> str:
    """Return what a test measured, with each of the parameters that it was made with."""
    columns = {name: each for name, each in record.test.items() if isinstance(each, Mapping)}
    names = dict.fromkeys(name for column in columns.values() for name in column)
    rows = [
        [name, *(_number(column.get(name)) for column in columns.values())]
        for name in names
        if name != "parameters"
    ]
    return table(["", *columns], rows) if rows else ""


def _parameters(record: Record) -> str:
    """Return the last parameters, as far as they are few."""
    values = (record.summary.get("parameters") or {}) if record.is_summed_up else {}
    rows = [[name, text] for name, value in values.items() if len(text := _number(value)) <= 200]
    return table(["", "last"], rows) if rows else ""


def _members(record: Record) -> str:
    """Return the best members of a sweep, with what a test measured of each."""
    with (record.run.folder / "sweep.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    rows.sort(key=lambda row: float(row.get("best_loss") or math.inf))
    head = list(rows[0])[: list(rows[0]).index("seed")] if rows else []
    head += ["seed", "status", "best_epoch", "best_loss"]
    tested = {
        str(each["member"]): each.get("best") or {} for each in record.test.get("members", [])
    }
    lines = [[_number(row.get(name, "")) for name in head] for row in rows[:_MEMBERS]]
    if tested:
        head += ["loss on the test set"]
        for line in lines:
            line.append(_number(tested.get(line[0], {}).get("loss")))
    head = ["", *(name.replace("_", " ") for name in head[1:])]
    lines = [[f"member {number}", *line] for number, *line in lines]
    rest = f"… and {len(rows) - len(lines)} more, in sweep.csv"
    return table(head, lines) + (paragraph(rest) if len(lines) < len(rows) else "")


def _pictures(folder: Path) -> Iterator[str]:
    """Give the pictures of a run, as they lie in its folder; what a link leads to does not."""
    found = {path.stem: path for path in _files(folder / "figures")}
    names = [*(name for name in _FIRST if name in found), *(n for n in found if n not in _FIRST)]
    for path in [found[name] for name in names] + _files(folder / "graphs"):
        title = path.stem.replace("_", " ")
        title = f"Graph of the {title}" if path.parent.name == "graphs" else title.capitalize()
        yield section(title, picture(path.read_bytes(), title))


def _files(folder: Path) -> list[Path]:
    paths = [] if folder.is_symlink() else sorted(folder.glob("*.png"))
    return [path for path in paths if path.is_file() and not path.is_symlink()]


def _again(record: Record) -> Iterator[str]:
    config = record.run.config
    if config.is_file():
        words = ["descentlab", "fit", "--config", str(config)]
        yield section("To do it again, with every setting as it was", code(shlex.join(words)))


def _made_with(record: Record) -> Sequence[Sequence[str]]:
    summary = record.summary
    found = {name: summary.get(name) for name in ("device", "seed", "steps", "seconds")}
    found |= summary.get("versions") or {}
    return [[name, str(value)] for name, value in found.items() if value is not None]


def _number(value: Any) -> str:
    """Return a value in short, as text; nothing for None."""
    if isinstance(value, str):  # of a table
        return _number(float(value)) if _is_real(value) else value
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return f"[{', '.join(map(_number, value))}]"
    return "" if value is None else str(value)


def _is_real(text: str) -> bool:
    """Return whether a text of a table is a number that is no whole one."""
    try:
        return not math.isnan(float(text)) and not text.lstrip("-").isdecimal()
    except ValueError:
        return False
