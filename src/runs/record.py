"""What a run's folder says of the run, read as plain values, without torch."""

import csv
import json
import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from ..errors import UsageError
from .paths import Run

#: begins the line of a config.yaml that holds the command
COMMAND = "# descentlab "
#: how a run ended whose loss is above that before any update
WORSE = "ended worse"

#: a metric's values: the number of updates before each, and the values
Curve = tuple[list[int], list[float]]


class Record:
    """The record of a run, each file read when it is first asked for.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.run = Run(folder)

    @cached_property
    def config(self) -> dict[str, Any]:
        """The resolved configuration."""
        return _yaml(self.run.config)

    @property
    def earlier(self) -> list[dict[str, Any]]:
        """The configurations that the run had before it went on, the first one first."""
        return [_yaml(path) for path in self.configs[:-1]]

    @property
    def configs(self) -> list[Path]:
        """The files of the configuration: of a run that went on the earlier ones first."""
        earlier = sorted(self.run.folder.glob("config.[0-9]*.yaml"), key=_number)
        return [*earlier, self.run.config]

    @cached_property
    def commands(self) -> list[list[str]]:
        """The words of the commands that began the run and went on with it, as far as known."""
        lines = [line for file in self.configs for line in _text(file).split("\n")[:9]]
        return [shlex.split(line[2:]) for line in lines if line.startswith(COMMAND)]

    @cached_property
    def summary(self) -> dict[str, Any]:
        """What the fit found; empty where it did not come to its end."""
        return _json(self.run.summary)

    @cached_property
    def test(self) -> dict[str, Any]:
        """What a test found, for the last and the best parameters.

        It is empty where there was none, or where the run went on since.
        """
        found = _json(self.run.folder / "test.json")
        last = found.get("last")
        if isinstance(last, Mapping):
            went_on = last.get("epoch", math.inf) < max(self.epochs.values(), default=0)
        else:
            went_on = self._members_went_on(found.get("members") or [])
        return {} if went_on else found

    def _members_went_on(self, tested: Sequence[Mapping[str, Any]]) -> bool:
        """Return whether members of a sweep were trained on since a test."""
        with _sound(self.run.folder / "sweep.csv") as rows:
            made = [int(row["updates"]) for row in rows if row.get("updates")]
        return max(made, default=0) > max((each.get("updates") or 0 for each in tested), default=0)

    @property
    def is_sweep(self) -> bool:
        """Whether the run trained many members at once."""
        return (self.run.folder / "sweep.csv").is_file()

    @cached_property
    def batch_losses(self) -> list[tuple[int, str]]:
        """The step and the loss of every update, the loss to its last bit as it is written."""
        with _sound(self.run.batch_losses) as rows:
            return [(int(row["step"]), str(float(row["loss"]))) for row in rows]

    @cached_property
    def curves(self) -> dict[str, Curve]:
        """The metrics by name, each with its values and the number of updates before each."""
        found: dict[str, Curve] = {}
        with _sound(self.run.metrics) as rows:
            for row in rows:
                for name in row.keys() - {"epoch", "step"}:
                    if row[name] and row.get("step"):
                        steps, values = found.setdefault(name, ([], []))
                        steps.append(int(row["step"]))
                        values.append(float(row[name]))
        return found

    @cached_property
    def epochs(self) -> dict[int, int]:
        """The epoch that ended at a number of updates."""
        with _sound(self.run.metrics) as rows:
            return {int(row["step"]): int(row["epoch"]) for row in rows if row.get("epoch")}

    @property
    def losses(self) -> dict[str, str]:
        """The name of the metric for the training and for the validation loss."""
        known = self.run.config.is_file()  # a run from Python has none
        given = self.config.get("learning_curves") if known else None
        given = given.get("init_args") if isinstance(given, Mapping) else None
        names = {key: f"loss/{key}" for key in ("train", "val")}
        return names | {key: str(given[key]) for key in names if given and key in given}

    def best(self, name: str) -> tuple[float, int] | None:
        """Return the least value of a metric after any update, and its epoch; None without one."""
        steps, values = self.curves.get(name, ([], []))
        pairs = zip(values, steps, strict=True)
        good = [(value, step) for value, step in pairs if step and math.isfinite(value)]
        if not good:
            return None
        value, step = min(good)
        return value, self.epochs.get(step, 0)

    @property
    def best_loss(self) -> float | None:
        """The least validation loss, or training loss without one; of a sweep its best member's."""
        if self.is_sweep:
            found: float | None = self.summary.get("best", {}).get("best_loss")
            return found
        best = self.best(self.losses["val"]) or self.best(self.losses["train"])
        return best[0] if best else None

    @property
    def updates(self) -> int:
        """How many updates were made, as far as was written."""
        kept = [step + 1 for step, _ in self.batch_losses[-1:]]
        return max([*kept, *self.epochs, int(self.summary.get("steps", 0))])

    @property
    def late(self) -> str:
        """When the last losses were measured, of how many updates; "" at the end, or not known."""
        at = (self.summary.get("last") or {}).get("step") if self.is_summed_up else None
        return "" if at in (None, self.updates) else f"after update {at} of {self.updates}"

    @property
    def is_summed_up(self) -> bool:
        """Whether the summary is of all updates: not of a run that broke off, or went on since."""
        return bool(self.summary) and self.summary.get("steps", 0) >= self.updates

    def ended(self) -> str:
        """Return in a few words how the run ended."""
        if self.is_sweep and "members" in self.summary:
            members, diverged = (self.summary[key] for key in ("members", "diverged"))
            return f"{members} members" + (f", {diverged} diverged" if diverged else "")
        wrong = [step for step, loss in self.batch_losses[-64:] if not math.isfinite(float(loss))]
        if wrong:
            return f"diverged at step {wrong[0]}"
        if self.is_summed_up:
            return WORSE if self._ended_higher() else "finished"
        return f"unfinished, {len(set(self.epochs.values()))} epochs"

    def _ended_higher(self) -> bool:
        """Return whether the training loss, or else that of validation, ended above its start."""
        start, last = (self.summary.get(when) or {} for when in ("start", "last"))
        name = "train" if last.get("train") is not None else "val"
        before, after = start.get(name), last.get(name)
        return before is not None and after is not None and bool(after > before)

    def changed(self) -> dict[str, str]:
        """Return the flags that were given beside the config that the run is named after."""
        flags: dict[str, str] = {}
        for words in self.commands:
            for flag, value in _flags(words):
                if flag == "config" and self._is_named_after(value):
                    continue
                same = flag == "config" and flag in flags
                flags[flag] = f"{flags[flag]} {value}" if same else value
        return {flag: value for flag, value in flags.items() if flag != "resume"}

    def _is_named_after(self, config: str) -> bool:
        stem = Path(config).with_suffix("").parts
        parent = self.run.folder.absolute().parent.parts
        return parent[-len(stem) :] == stem or parent[-1] == stem[-1]


def _flags(words: list[str]) -> Iterator[tuple[str, str]]:
    """Yield the flags of a command without their dashes, each with its value."""
    place = 0
    while place < len(words):
        flag, equals, value = words[place].partition("=")
        place += 1
        if not flag.startswith("-"):
            continue
        if not equals and place < len(words) and not words[place].startswith("--"):
            value, place = words[place], place + 1
        yield ("config" if flag == "-c" else flag.lstrip("-")), value


def _number(path: Path) -> int:
    number = path.name.split(".")[1]
    return int(number) if number.isdecimal() else 0


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise UsageError(f"{path} cannot be read: {reason}") from error


def _yaml(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(_text(path))
    except yaml.YAMLError as error:
        raise UsageError(f"{path} is damaged: it is no YAML") from error
    return content if isinstance(content, dict) else {}


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(_text(path))
    except ValueError as error:
        raise UsageError(f"{path} is damaged: it is no JSON") from error
    return content if isinstance(content, dict) else {}


@contextmanager
def _sound(path: Path) -> Iterator[list[dict[str, str]]]:
    """Give the whole rows of a table; what a run is writing just now may end in half a row.

    Raises:
        UsageError: if what is read from them, inside, is not there.
    """
    lines = _text(path).split("\n")[:-1] if path.is_file() else []
    rows = csv.DictReader(lines)
    try:
        yield [row for row in rows if None not in row and None not in row.values()]
    except (ValueError, KeyError) as error:
        raise UsageError(f"{path} is damaged: it holds no such table") from error
