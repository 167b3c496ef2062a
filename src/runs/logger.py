"""The logger of a run: TensorBoard events and a table, in one folder of its own."""

import csv
import os
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import wraps
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter
from lightning.pytorch.utilities import rank_zero_only
from torch.utils.tensorboard.summary import hparams

from ..errors import UsageError
from ..internals.tensorboard import write_records
from .event_records import LONGEST_TAG, scalar_records
from .files import remove_leftovers, replacing
from .logged_before import LoggedBefore

#: one chart with both losses, beside TensorBoard's chart for each tag
LAYOUT = {"loss": {"training and validation": ["Multiline", ["loss/train", "loss/val"]]}}

#: which a process holds that writes into a run's folder
LOCK = ".lock"

SAVE_EVERY = 5.0  # seconds after which what was logged is on the disk, and TensorBoard shows it


def _naming_the_folder(method: Callable[..., Any]) -> Callable[..., Any]:
    """Have a failure of the disk name the run's folder, where it names no file."""

    @wraps(method)
    def named(logger: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(logger, *args, **kwargs)
        except OSError as error:
            error.filename = error.filename or logger.log_dir
            raise

    return named


class RunLogger(TensorBoardLogger):
    """Log to TensorBoard and to `metrics.csv`, in `save_dir/name/version_N`.

    The folder is taken by creating it, so two runs that start together get two folders, and a
    folder that cannot be written ends the command before training starts.

    Args:
        save_dir: the folder of all runs.
        name: the experiment; on the command line it is the name of the config.
        version: the run's number, or its folder's name; the next free number if not given.

    Attributes:
        rows: how many rows of the table were logged.
        left_open: whether the folder is that of a run that goes on, which did not come to its end.

    Raises:
        UsageError: if the folder cannot be made, or holds another run already.
    """

    def __init__(
        self, save_dir: str = "logs", name: str | None = None, version: int | str | None = None
    ) -> None:
        name = name or "run"
        for key, part in (("save_dir", save_dir), ("name", name), ("version", version)):
            if "://" in str(part):
                raise UsageError(f"{key} = {part} is an address: give a folder of this machine")
            if "\0" in str(part):
                raise UsageError(f"{key} = {part!r} has a NUL in it: give a name")
        for key, part in (("name", name), ("version", str(version))):
            if Path(part).is_absolute() or ".." in Path(part).parts:
                raise UsageError(f"{key} = {part} is outside save_dir = {save_dir}: give a name")
        super().__init__(
            os.path.expanduser(save_dir), name=name, version=version, default_hp_metric=False
        )
        self._number = version
        self._writing = False
        self._new_parents: list[Path] = []
        self._made: Path | None = None
        self._table: _Table | None = None
        self._lock: FileLock | None = None
        self._joins: tuple[Path, LoggedBefore] | None = None
        self._earlier: list[Path] = []
        self.left_open = False
        self._closing = False
        self.rows = 0
        self._next_save = 0.0

    def go_on(self, folder: Path, before: LoggedBefore) -> None:
        """Go on in the folder of a run, from what was logged before a checkpoint.

        Args:
            folder: of the run.
            before: tells what that is; `join` takes the rest away.
        """
        self._joins, self._number = (folder, before), folder.name
        self._earlier = sorted(folder.glob("events.out.tfevents.*"))
        self.left_open = (folder / LOCK).exists()

    @property
    def goes_on(self) -> bool:
        """Whether the folder is that of a run which goes on."""
        return self._joins is not None

    @property
    def root_dir(self) -> str:
        """The folder of all runs of one name."""
        return super().root_dir if self._joins is None else str(self._joins[0].parent)

    @property
    def log_dir(self) -> str:
        """The folder of the run."""
        return super().log_dir if self._joins is None else str(self._joins[0])

    def __getstate__(self) -> dict[str, Any]:
        """Be sent to another process without the lock, which is this one's."""
        return {**super().__getstate__(), "_lock": None}

    @rank_zero_only
    def take_folder(self) -> None:
        """Make the run's folder and begin its table.

        Raises:
            UsageError: if it cannot be made, holds another run already, or is being written.
        """
        if self._table is not None or self._lock is not None:
            return
        if self._joins is not None:
            self._take_lock(self._joins[0])
            return
        root = Path(self.root_dir)
        self._new_parents = [each for each in (root, *root.parents) if not each.exists()]
        try:
            root.mkdir(parents=True, exist_ok=True)
            if self._number is None:
                self._number = self._free_number()
            folder = Path(self.log_dir)
            folder.mkdir(parents=True, exist_ok=True)
            taken = any(folder.iterdir())
            self._made = None if taken else folder
            self._table = _Table(str(folder)) if not taken else None
        except OSError as error:
            raise UsageError(
                f"{self.root_dir} cannot be written ({os.strerror(error.errno or 0)}): choose "
                "another folder with --trainer.logger.save_dir"
            ) from error
        if taken:
            raise UsageError(
                f"{folder} holds another run: choose another --trainer.logger.version, or leave it "
                "out for the next free number"
            )
        self._take_lock(folder)

    def _take_lock(self, folder: Path) -> None:
        """Keep other processes out of the folder, until this one is done or dead."""
        lock = FileLock(folder / LOCK, timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            self._made = None  # but by the other one
            raise UsageError(
                f"{folder} is being written by another process: wait until that has ended"
            ) from error
        self._lock = lock

    def _free_lock(self, ended: bool) -> None:
        """Let other processes in; the file stays until the run has come to its end."""
        lock, self._lock = self._lock, None
        if lock is not None:
            if ended:
                Path(lock.lock_file).unlink(missing_ok=True)
            lock.release()

    @rank_zero_only
    def join(self) -> None:
        """Take away what was logged after the checkpoint that the run goes on from."""
        if self._joins is None or self._table is not None:
            return
        folder, before = self._joins
        remove_leftovers(folder)
        for path in self._earlier:
            before.cut_events(path)
        path = folder / ExperimentWriter.NAME_METRICS_FILE
        heading, self.rows = before.cut_table(path)
        with TemporaryDirectory() as empty:  # the writer begins by removing the table
            self._table = _Table(empty)
        self._table.log_dir, self._table.metrics_file_path = str(folder), str(path)
        self._table.metrics_keys = heading

    @rank_zero_only
    def discard(self) -> None:
        """Remove the folders that this logger made, for a run that never began."""
        if self._joins is not None:
            super().finalize("failed")
            for path in {*self._joins[0].glob("events.out.tfevents.*")}.difference(self._earlier):
                path.unlink()
            self._free_lock(ended=not self.left_open)
        elif self._table is not None:
            self.finalize("failed")
            self.abandon()

    @rank_zero_only
    def abandon(self) -> None:
        """Remove the folders that this logger made, where the process ends: nothing is closed."""
        if self._joins is None and self._made is not None:
            shutil.rmtree(self._made, ignore_errors=True)
            with suppress(OSError):  # where another run has begun
                for folder in self._new_parents:
                    folder.rmdir()

    def _free_number(self) -> int:
        taken = (
            path.name.removeprefix("version_") for path in Path(self.root_dir).glob("version_*")
        )
        number = max((int(name) + 1 for name in taken if name.isdecimal()), default=0)
        while True:
            try:
                (Path(self.root_dir) / f"version_{number}").mkdir()
            except FileExistsError:
                number += 1
            else:
                return number

    @property
    def version(self) -> int | str:
        """The run's number, or its folder's name."""
        if self._number is None:
            self.take_folder()
        return self._number if self._number is not None else 0

    @property
    @rank_zero_experiment
    @_naming_the_folder
    def experiment(self) -> Any:
        """The SummaryWriter, its charts laid out."""
        if not self._writing:
            self.take_folder()
            self._writing = True
            _leave_the_second_of(sorted(Path(self.log_dir).glob("events.out.tfevents.*")))
            super().experiment.add_custom_scalars(LAYOUT)
        return super().experiment

    @rank_zero_only
    @_naming_the_folder
    def log_metrics(self, metrics: dict[str, Any], step: int | None = None) -> None:
        """Write the metrics of a step to both places."""
        super().log_metrics({tag: value for tag, value in metrics.items() if tag != "epoch"}, step)
        if self._table is not None:
            self._table.log_metrics(metrics, step)
            self.rows += 1
        if time.monotonic() >= self._next_save:
            self.save()

    @rank_zero_only
    def log_hyperparams(  # type: ignore[override]  # another name is of no use here
        self, params: dict[str, Any], metrics: dict[str, float] | None = None
    ) -> None:
        """Write hyperparameters and what they led to for HParams, and no row of the table.

        TensorBoard's description of an experiment is left out: it takes that of one run, whose
        hyperparameters are then the only ones it shows of any run.
        """
        if metrics:
            super().log_metrics(metrics)
            _, *session = hparams(params, metrics)  # type: ignore[no-untyped-call]  # torch has no types
            for summary in session:
                self.experiment.file_writer.add_summary(summary)

    @rank_zero_only
    @_naming_the_folder
    def log_series(self, tag: str, values: Sequence[float], first_step: int) -> None:
        """Write one value a step to TensorBoard, all at once."""
        if not values:
            return
        short = len(tag.encode()) <= LONGEST_TAG
        many = np.array(values, np.float32)
        if not short or not write_records(
            self.experiment, scalar_records(tag, many, first_step, time.time())
        ):
            for step, value in enumerate(values, start=first_step):
                self.experiment.add_scalar(tag, value, step)

    @rank_zero_only
    @_naming_the_folder
    def save(self) -> None:
        """Bring both to the disk."""
        self._next_save = time.monotonic() + SAVE_EVERY
        self.experiment.flush()
        if self._table is not None:
            self._table.save()

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Bring both to the disk and close them, however the run ended."""
        # a second Ctrl-C may have come between, and what is half closed cannot be written to
        if self._writing and not self._closing:
            self._closing = True
            self.save()
            super().finalize(status)
            self._closing = self._writing = False  # what comes later is in a file of its own
        began = self._table is not None
        self._free_lock(ended=status == "success" if began else not self.left_open)


def _leave_the_second_of(files: Sequence[Path]) -> None:
    """Wait, less than a second, where one of the event files was begun in this one.

    TensorBoard reads them in the order of their names, of which all but the last number would be
    the same, and puts `.10` before `.9`.
    """
    seconds = {path.name.split(".")[3] for path in files}
    while f"{int(time.time()):010}" in seconds:
        time.sleep(0.02)


class _Table(ExperimentWriter):
    """Lightning's writer of `metrics.csv`; a new column never leaves it without its rows."""

    def _rewrite_with_new_header(self, fieldnames: list[str]) -> None:
        """Write the table anew with other columns; Lightning's own private one empties it first."""
        path = Path(self.metrics_file_path)
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        with replacing(path, newline="") as file:
            writer = csv.DictWriter(file, fieldnames)
            writer.writeheader()
            writer.writerows(rows)
