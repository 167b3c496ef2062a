"""Runs of the public commands, in this process: each once, however many entries ask for it."""

import contextlib
import csv
import io
import json
import shlex
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..command.process import run
from ..drawing.graphs import edges, nodes
from ..errors import RunError
from ..runs.folder import Run

#: the instruments of `fit` that an entry does without, unless it asks for one
COSTLY = ("learning_curves", "trajectory", "fit_picture", "graph_export", "accelerator_timer")


@dataclass(frozen=True)
class Finished:
    """A command that has ended, and the folder that holds what it wrote.

    Args:
        folder: the run's folder.
        status: the exit status.
        message: what it wrote to the standard error.
    """

    folder: Path
    status: int
    message: str

    @property
    def run(self) -> Run:
        """The places inside the folder."""
        return Run(self.folder)

    def json(self, name: str) -> dict[str, Any]:
        """Return the content of `facts.json`, `summary.json`, `test.json` or another one."""
        content: dict[str, Any] = json.loads((self.folder / name).read_text(encoding="utf-8"))
        return content

    def parameters(self) -> dict[str, Tensor]:
        """Return the parameters after every epoch, stacked along the first axis."""
        stacked: dict[str, Tensor] = torch.load(
            self.run.checkpoints / "parameters.pt", weights_only=True
        )
        stacked.pop("epoch")
        return stacked

    def losses(self) -> list[float]:
        """Return the loss of every update, in order."""
        return [float(row["loss"]) for row in self.rows(self.run.batch_losses)]

    def set_losses(self, name: str) -> list[float]:
        """Return the loss on a set (`train` or `val`), before any update and after every epoch."""
        rows = self.rows(self.folder / "metrics.csv")
        return [float(row[f"loss/{name}"]) for row in rows if row.get(f"loss/{name}")]

    def table(self) -> list[dict[str, float]]:
        """Return the rows of `derivatives.csv`."""
        rows = self.rows(self.folder / "derivatives.csv")
        return [{name: float(value) for name, value in row.items()} for row in rows]

    def graph(self, name: str) -> str:
        """Return the DOT text of a graph that was drawn."""
        return (self.run.graphs / f"{name}.dot").read_text(encoding="utf-8")

    @staticmethod
    def rows(path: Path) -> list[dict[str, str]]:
        """Return the rows of a CSV file, by the names of its columns."""
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))


class Runs:
    """Run public commands, and remember what has been run.

    They run on the CPU, where every machine gives the same figures, unless a flag says otherwise.

    Args:
        folder: where the runs' folders are made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._finished: dict[tuple[str, ...], Finished] = {}

    def typed(self, words: Sequence[str]) -> str:
        """Return a command as one would type it."""
        return shlex.join(["descentlab", *(word.removeprefix(f"{self.folder}/") for word in words)])

    def __call__(self, words: Sequence[str], keep: Sequence[str], fails: bool) -> Finished:
        """Run a command, or return what it left when it was run before; see `Row.fit`."""
        key = (*words, "keeping", *keep)
        if key not in self._finished:
            self._finished[key] = self._run(words, keep, f"run_{len(self._finished)}")
        finished = self._finished[key]
        if (finished.status != 0) is not fails:
            status, message = finished.status, finished.message
            raise RunError(f"{self.typed(words)} ended with status {status}: {message}")
        return finished

    def _run(self, shown: Sequence[str], keep: Sequence[str], name: str) -> Finished:
        words = [*shown, "--trainer.logger.save_dir", str(self.folder)]
        words += ["--trainer.logger.name", "runs", "--trainer.logger.version", name]
        if "--trainer.accelerator" not in shown:
            words += ["--trainer.accelerator", "cpu"]
        if shown[0] == "fit":
            words += ["--progress", "null"]
            words += [word for off in COSTLY if off not in keep for word in (f"--{off}", "null")]
        errors = io.StringIO()
        with (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(errors),
            warnings.catch_warnings(),
        ):
            status = run(words)
        message = errors.getvalue().strip().rsplit("\n", 1)[-1]
        return Finished(self.folder / "runs" / name, status, message)


def _counted(names: Counter[str]) -> str:
    return ", ".join(
        f"{name} ({count})" if count > 1 else name for name, count in sorted(names.items())
    )


def node_text(dot: str) -> str:
    """Return the names of a graph's nodes in alphabetical order, each with how many there are.

    Args:
        dot: what `descentlab.drawing.graphs.computational_graph` returned.
    """
    return _counted(nodes(dot))


def edge_text(dot: str) -> str:
    """Return a graph's edges in alphabetical order, each with how many there are.

    Args:
        dot: what `descentlab.drawing.graphs.computational_graph` returned.
    """
    return _counted(Counter({f"{a} → {b}": count for (a, b), count in edges(dot).items()}))
