"""A run: one training, and the folder that holds all of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Run:
    """The places inside a run's folder.

    Args:
        folder: the run's folder, `logs/<experiment>/version_N`.
    """

    folder: Path

    @classmethod
    def of(cls, trainer: Any) -> "Run":
        """Return the run of a Trainer: its logger's folder, or its root folder without a logger."""
        return cls(Path(trainer.log_dir or trainer.default_root_dir))

    @property
    def config(self) -> Path:
        """The resolved configuration that made the run."""
        return self.folder / "config.yaml"

    @property
    def checkpoints(self) -> Path:
        """Where `best.ckpt`, `last.ckpt` and `parameters.pt` are."""
        return self.folder / "checkpoints"

    @property
    def last(self) -> Path:
        """The checkpoint of the last finished epoch."""
        return self.checkpoints / "last.ckpt"

    @property
    def figures(self) -> Path:
        """Where the learning curves are."""
        return self.folder / "figures"

    @property
    def graphs(self) -> Path:
        """Where the computational graph is."""
        return self.folder / "graphs"

    @property
    def batch_losses(self) -> Path:
        """The loss of every update: epoch, step, loss."""
        return self.folder / "batch_losses.csv"

    @property
    def metrics(self) -> Path:
        """The table of what was measured at epochs' ends."""
        return self.folder / "metrics.csv"

    @property
    def split(self) -> Path:
        """The row indices of the training, validation and test sets."""
        return self.folder / "split.pt"

    @property
    def summary(self) -> Path:
        """What `fit` found, for scripts."""
        return self.folder / "summary.json"

    @property
    def report(self) -> Path:
        """What the run asked and found, with its pictures, as one page."""
        return self.folder / "report.html"

    @property
    def timing(self) -> Path:
        """Time per step and per epoch."""
        return self.folder / "timing.json"
