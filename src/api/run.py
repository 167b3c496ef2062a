"""A run as an object of Python: its tables as frames, its figures, its test."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.image import imread

from ..callbacks import Trajectory
from ..comparison.tables import aligned, figures
from ..drawing.axes import START
from ..drawing.batch_losses import batch_loss_figure
from ..drawing.curves import learning_curve_figure
from ..drawing.figure import Figure
from ..errors import UsageError
from ..runs.evaluation import hold_to_rows_of
from ..runs.names import short_name
from ..runs.paths import Run
from ..runs.reading import read_checkpoint
from ..runs.record import Record
from .quiet import QuietCLI, obey


class FittedRun:
    """A run that was trained; all is read from its folder when it is asked for.

    Args:
        folder: of the run.

    Attributes:
        folder: the whole path of it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()

    @property
    def place(self) -> Path:
        """The folder as it is named from the working folder."""
        return Path(os.path.relpath(self.folder))

    @property
    def _record(self) -> Record:
        return Record(self.place)

    def __repr__(self) -> str:
        """Return how the run ended, with its losses and parameters."""
        record = self._record
        if record.is_sweep:
            return f"{short_name(self.place)}: {record.ended()}"
        rows = [row for row in figures([record]) if row[0] != "seconds"]
        return aligned(["run", short_name(self.place)], rows)

    @property
    def config(self) -> dict[str, Any]:
        """Every setting that made the run."""
        return self._record.config

    @property
    def summary(self) -> dict[str, Any]:
        """What the fit found: `least`, `start` and `last` losses, `parameters`, `seconds`, …."""
        return self._record.summary

    @property
    def parameters(self) -> dict[str, Any]:
        """The last parameters by name, as numbers or nested lists."""
        found: dict[str, Any] = self.summary.get("parameters", {})
        return found

    @property
    def frame(self) -> pd.DataFrame:
        """The losses and metrics by epoch, the first row, `<NA>`, before any update.

        `frame.loc[17]` is what was measured at the end of epoch 17, as figures and messages count
        them, and `step` in it the number of updates made until then. Of a sweep it has a row for
        each member, by its number.
        """
        if self._record.is_sweep:
            return _table(self.place / "sweep.csv").set_index("member")
        frame = _table(Run(self.place).metrics)
        places = [name for name in ("epoch", "step") if name in frame]
        if frame.duplicated(places).any():  # a module that logs one metric after another
            frame = frame.groupby(places, dropna=False, sort=False).first().reset_index()
        return frame.astype({"epoch": "Int64"}).set_index("epoch") if "epoch" in frame else frame

    @property
    def updates(self) -> pd.DataFrame:
        """The epoch and the loss of each update, by its step; the loss before it is made."""
        return _table(Run(self.place).batch_losses).set_index("step")

    def test(self, epoch: int | None = None) -> pd.DataFrame:
        """Measure the run on its test set, as `descentlab test --run` does.

        Args:
            epoch: the parameters after this epoch are measured too; epochs count from 0.

        Returns:
            The metrics, a column each for the last and the best parameters; of a sweep a row for
            each member.

        Raises:
            UsageError: the run has nothing to be measured.
        """
        words = ["test", "--run", str(self.place)]
        obey([*words, *(() if epoch is None else ("--epoch", str(epoch)))])
        if self._record.is_sweep:
            return _table(self.place / "sweep_test.csv").set_index("member")
        columns = json.loads((self.place / "test.json").read_text(encoding="utf-8"))
        return pd.DataFrame(columns).drop(index="parameters", errors="ignore").astype(float)

    def plot(self, picture: str | None = None) -> Figure:
        """Return a figure of the run.

        Args:
            picture: `epoch_losses`, `batch_losses`, `trajectory`, or another of the run's
                `figures/`, which is shown as it was drawn. Where it is left out it is the
                trajectory, if the run has one, or else the first of these.

        Raises:
            UsageError: the run has no such figure.
        """
        there = sorted(path.stem for path in Run(self.place).figures.glob("*.png"))
        first = [name for name in ("trajectory", "epoch_losses") if name in there] + there
        name = picture or (first[0] if first else "epoch_losses")
        if name not in there:
            have = f"it has {', '.join(there)}" if there else "it has none"
            raise UsageError(f"{short_name(self.place)} has no figure {name}: {have}")
        draw = _DRAWN.get(name)
        return draw(self.place) if draw else _as_drawn(Run(self.place).figures / f"{name}.png")


def _table(path: Path) -> pd.DataFrame:
    """Read a table of a run, each number to its last bit.

    Raises:
        UsageError: there is none.
    """
    if not path.is_file():
        raise UsageError(f"{path} is missing: the run wrote no such table")
    return pd.read_csv(path)


def _epoch_losses(folder: Path) -> Figure:
    record = Record(folder)
    names = [name for name in record.losses.values() if name in record.curves]
    steps = sorted({step for name in names for step in record.curves[name][0]})
    values = [dict(zip(*record.curves[name], strict=True)) for name in names]
    epochs = [record.epochs.get(step, START) for step in steps]
    curves = {
        name: [each.get(step) for step in steps] for name, each in zip(names, values, strict=True)
    }
    return learning_curve_figure(epochs, curves)


def _batch_losses(folder: Path) -> Figure:
    losses = Record(folder).batch_losses
    return batch_loss_figure([float(loss) for _, loss in losses], first_step=losses[0][0])


class _Drawing(QuietCLI):
    """The command line as far as model and data are made, for the path that a run kept."""

    drawn: Figure | None = None

    def validate(self, **kwargs: Any) -> None:
        """Draw the path over the loss of the model on its data."""
        run = Run(Path(self.config[self.subcommand].run))
        hold_to_rows_of(run, self.datamodule)
        self.trainer.validate(self.model, datamodule=self.datamodule, verbose=False)
        instrument = Trajectory()
        instrument.load_state_dict(read_checkpoint(run.last)["callbacks"]["Trajectory"])
        self.drawn = instrument.figure(self.trainer, self.model)


def _trajectory(folder: Path) -> Figure:
    made = obey(["validate", "--run", str(folder)], _Drawing)
    return getattr(made, "drawn", None) or _as_drawn(Run(folder).figures / "trajectory.png")


def _as_drawn(path: Path) -> Figure:
    """Return a figure that shows a picture, pixel by pixel."""
    image = imread(path)
    height, width = image.shape[:2]
    figure = Figure(figsize=(width / 100, height / 100), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(image)
    axes.axis("off")
    return figure


_DRAWN: Mapping[str, Callable[[Path], Figure]] = {
    "epoch_losses": _epoch_losses,
    "batch_losses": _batch_losses,
    "trajectory": _trajectory,
}
