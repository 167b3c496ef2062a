"""Runs of shipped configs through the command line, in process, and what is held against them."""

import csv
import io
import itertools
import json
import os
from collections.abc import Iterable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from descentlab.__main__ import main

#: no pictures and no bar, for the runs that are only compared
QUICK = tuple(
    word
    for off in ("graph_export", "learning_curves", "trajectory", "fit_picture", "progress")
    for word in (f"--{off}", "null")
)
DOUBLE = ("--trainer.precision", "64-true")


@dataclass(frozen=True)
class Outcome:
    """What one `fit` left behind."""

    status: int
    folder: Path
    stderr: str

    def theta(self, name: str = "theta") -> Tensor:
        """Return a parameter after every epoch, stacked."""
        return self._load("parameters.pt")[name]

    def checkpoint(self, name: str) -> dict[str, Any]:
        return self._load(f"{name}.ckpt")

    def _load(self, name: str) -> dict[str, Any]:
        return torch.load(self.folder / "checkpoints" / name, weights_only=True)

    @property
    def batch_rows(self) -> list[tuple[int, int, float]]:
        """Epoch, step and loss of every update, as written."""
        with (self.folder / "batch_losses.csv").open(newline="") as file:
            rows = csv.DictReader(file)
            return [(int(row["epoch"]), int(row["step"]), float(row["loss"])) for row in rows]

    @property
    def losses(self) -> list[float]:
        return [loss for _, _, loss in self.batch_rows]

    def curve(self, name: str) -> list[float]:
        """Return a metric at the end of every epoch."""
        with (self.folder / "metrics.csv").open(newline="") as file:
            return [float(row[name]) for row in csv.DictReader(file) if row["epoch"]]

    @property
    def summary(self) -> dict[str, Any]:
        return json.loads((self.folder / "summary.json").read_text())


def fit(config: str, root: Path, *flags: str, status: int = 0) -> Outcome:
    """Run `descentlab fit --config CONFIG` with its folder in a new place under `root`."""
    place = next(root / f"run_{n}" for n in itertools.count() if not (root / f"run_{n}").exists())
    words = ["fit", "--config", config, "--trainer.logger.save_dir", str(place)]
    found, errors = _run([*words, "--trainer.accelerator", "cpu", *flags])
    assert found == status, errors
    return Outcome(found, place / config / "version_0", errors)


def test_of(outcome: Outcome) -> dict[str, Any]:
    """Run `descentlab test --run FOLDER`; return what it wrote."""
    status, errors = _run(["test", "--run", str(outcome.folder), "--trainer.accelerator", "cpu"])
    assert status == 0, errors
    return json.loads((outcome.folder / "test.json").read_text())


test_of.__test__ = False


def _run(words: list[str]) -> tuple[int, str]:
    errors = io.StringIO()
    quiet = {"JSONARGPARSE_DEPRECATION_WARNINGS": "off"}  # those are about calls of Lightning's
    outputs = redirect_stdout(io.StringIO()), redirect_stderr(errors)
    with mock.patch.dict(os.environ, quiet), outputs[0], outputs[1]:
        return main(words), errors.getvalue()


def as_printed(found: float | Iterable[float] | Tensor, *texts: str) -> bool:
    """Tell whether numbers agree with printed ones to half a unit of the last printed digit."""
    numbers = torch.as_tensor(found, dtype=torch.float64).flatten().tolist()
    assert len(numbers) == len(texts)
    return all(
        abs(Decimal(number) - Decimal(text)) <= Decimal((0, (5,), _exponent(text) - 1))
        for number, text in zip(numbers, texts, strict=True)
    )


def _exponent(text: str) -> int:
    exponent = Decimal(text).as_tuple().exponent
    assert isinstance(exponent, int)
    return exponent


def close(
    found: Tensor | Sequence[float],
    true: Tensor | Sequence[float],
    tolerance: float,
    scale: Tensor | float | None = None,
) -> bool:
    """Tell whether all elements agree, relative to the true ones or to a scale that is given."""
    a, b = (torch.as_tensor(each, dtype=torch.float64) for each in (found, true))
    assert a.shape == b.shape, (a.shape, b.shape)
    allowed = tolerance * (b.abs() if scale is None else torch.as_tensor(scale))
    return bool(((a - b).abs() <= allowed).all())
