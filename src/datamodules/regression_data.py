"""Inputs and targets of a regression: real data, a generated line, or the user's own."""

import sys
from collections.abc import Mapping
from typing import Any, Literal

import torch
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor

from ..errors import UsageError
from ..runs.files import save_atomically
from ..runs.folder import Run, goes_on
from .built_in_data import Line
from .csv_layout import CsvFlags
from .kept_rows import check_kept, known_of, rows_added
from .precision import cast
from .regression_rows import RegressionRows
from .regression_source import RegressionSource
from .resumable import ResumableData
from .splits import check_fractions, split_rows
from .tensor_loader import TensorLoader

WHOLE = (
    2**18
)  # rows in a batch of an evaluation: one batch for most data, and bounded memory for all
MEASURE_ALL = "--data.split null, to measure on all rows of other data"


class RegressionData(ResumableData):
    """Data for a regression, split into training, validation and test sets.

    Batches are pairs (X, y) of shapes (B, d) and (B,), float64 under `--trainer.precision 64-true`
    and float32 otherwise. Training batches are shuffled; validation gives the whole training set
    and the whole validation set, the test is the whole test set. Prediction gives all rows in the
    order of the source: (X, y) of data that are built in, and (X,) of files and tensors, which
    need no targets then; (X, y) of all where the module has `predicts_with_targets = True`.

    A run keeps a digest of its rows: who resumes or tests it with other data is told so.

    Args:
        source: `diabetes`, `line`, or `files`; `files` is implied by the paths.
        x_path: inputs, a `.pt`, `.npy`, `.csv` or `.parquet` file of shape (N,), (N, 1) or (N, d).
        y_path: targets, the same kinds of file, of shape (N,) or (N, 1).
        path: inputs and targets in one `.csv` or `.parquet` file.
        target: the column of `path` that holds the targets.
        features: the columns of `path` that are inputs, a list or names with commas between; all
            but the target where they are left out.
        header: whether a first line of numbers of a CSV file is a heading.
        index: whether the first column of a CSV file holds row labels, which are dropped.
        separator: of a CSV file: comma, semicolon, tab or space.
        decimal: the decimal sign of a CSV file.
        column: the column of the diabetes data; bmi where it is left out.
        line: slope, bias, noise, size and seed of the generated line.
        batch_size: rows in a training batch, over all processes; more than there are gives one
            batch.
        split: fractions for training, validation and test; None trains on all rows, and then there
            is no held-out set: validation and test are on the training rows.
        random_state: seed of the split.
        chunk: how many updates are made in one turn of the trainer's loop at most, where nothing
            looks at each by itself; `auto` for as many as take 0.2 s. The updates are the same.
        x: inputs as a tensor, from Python.
        y: targets as a tensor, from Python.

    Attributes:
        features: the number of columns of X; there after `setup`.
        indices: the row numbers of each set; only `train` without a split.

    Raises:
        UsageError: an argument is wrong or, in `prepare_data` or `setup`, the data are.
    """

    features: int
    indices: dict[str, Tensor]

    def __init__(
        self,
        source: Literal["diabetes", "line", "files"] = "diabetes",
        x_path: str | None = None,
        y_path: str | None = None,
        path: str | None = None,
        target: str | None = None,
        features: list[str] | str | None = None,
        header: bool | None = None,
        index: bool | None = None,
        separator: str | None = None,
        decimal: str | None = None,
        column: str | None = None,
        line: Line | None = None,
        batch_size: int = 32,
        split: tuple[float, float, float] | None = (0.8, 0.1, 0.1),
        random_state: int = 42,
        chunk: int | Literal["auto"] = "auto",
        x: Tensor | None = None,
        y: Tensor | None = None,
    ) -> None:
        super().__init__(chunk)
        if batch_size < 1:
            raise UsageError(f"batch_size = {batch_size} is below 1: give 1 or more")
        if split is not None:
            check_fractions(split)
        names = features.split(",") if isinstance(features, str) else features
        inputs = None if names is None else [name.strip() for name in names]
        csv = CsvFlags(header, index, separator, decimal)
        self.source = RegressionSource(
            source, x_path, y_path, path, target, inputs, csv, column, line, x, y
        )
        self.batch_size = batch_size
        self.split = split
        self.random_state = random_state
        self._sets: dict[str, tuple[Tensor, ...]] = {}
        self._read: RegressionRows | None = None  # by prepare_data, until setup
        self._record: dict[str, Any] = {}  # of the rows at hand
        self._kept: dict[str, Any] = {}  # of a run that goes on, or is evaluated: its `split.pt`

    def prepare_data(self) -> None:
        """Read and look at the data once, before anything is made for a run; `setup` takes it."""
        if self._read is None and not self._sets and not self._stage("predict"):
            self._read = self._told(self.source.rows(self._columns))
            self.indices = self._indices_of(self._read)

    def setup(self, stage: str) -> None:
        """Cast and split the data; in `fit`, keep the split in the run's folder.

        Args:
            stage: `fit`, `validate`, `test` or `predict`.
        """
        super().setup(stage)
        if self._sets and next(iter(self._sets.values()))[0].dtype != self.dtype:
            self._sets = {}  # they were cast for another trainer
        self._have("all" if stage == "predict" else "train")
        self.features = next(iter(self._sets.values()))[0].shape[1]
        if stage == "fit" and not (self.trainer and goes_on(self.trainer)):
            self._keep_split()  # in its own folder a run goes on with what is kept there

    def hold_to(self, kept: Mapping[str, Any]) -> None:
        """Keep to the rows and the split of a run that goes on or is evaluated.

        Args:
            kept: what its `split.pt` holds: `data`, what is known of its rows, and the row numbers
                of each set, which follow from it where they are left out.

        Raises:
            UsageError: the data at hand are others, or the split is.
        """
        check_kept(kept)
        known = kept["data"]
        if known == self._kept.get("data"):
            return
        self._kept = dict(kept)
        if known != self._record and (self._sets or self._read):
            self._sets, self._read = {}, None
            self._have("all" if self._stage("predict") else "train")

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the loader, and what is known of the rows, for a checkpoint."""
        return {**super().state_dict(), "data": self._record}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the state of the loader back, and keep to the rows of the run.

        Args:
            state_dict: what `state_dict` returned.
        """
        super().load_state_dict(state_dict)
        if state_dict.get("data"):
            self.hold_to({"data": state_dict["data"]})
        if self._stage("fit"):
            self._keep_split()

    def train_dataloader(self) -> TensorLoader:
        """Return shuffled batches; in the order of the set under `overfit_batches`."""
        overfit = getattr(self.trainer, "overfit_batches", 0) > 0
        return self.resumable(
            TensorLoader(
                *self._sets["train"],
                batch_size=self.batch_size,
                shuffle=not overfit,
                seed=self.seed,
            )
        )

    def val_dataloader(self) -> dict[str, TensorLoader]:
        """Return the whole training set and, if there is one, the whole validation set."""
        return {name: self._whole(name) for name in ("train", "val") if name in self._sets}

    def test_dataloader(self) -> TensorLoader:
        """Return the whole test set; without a split all rows, which is no held-out set."""
        return self._whole("test" if "test" in self._sets else "train")

    def predict_dataloader(self) -> TensorLoader:
        """Return all rows in the order of the source; after another stage it is read again."""
        self._have("all")
        return self._whole("all")

    def _whole(self, name: str) -> TensorLoader:
        return TensorLoader(*self._sets[name], batch_size=WHOLE)

    def _stage(self, name: str) -> bool:
        return self.trainer is not None and self.trainer.state.fn == name

    @property
    def _columns(self) -> list[str] | None:
        """The names of the columns that the run was trained on."""
        columns: list[str] | None = self._kept.get("data", {}).get("columns")
        return columns

    @property
    def labels(self) -> tuple[str, str]:
        """What the input, if there is one alone, and the target are called in pictures."""
        columns: list[str] = self._record.get("columns") or []
        x, y = self.source.labels
        return (columns[0] if len(columns) == 1 else x), y

    @staticmethod
    def _told(rows: RegressionRows) -> RegressionRows:
        for remark in rows.remarks:
            _say(remark)
        return rows

    def _indices_of(self, rows: RegressionRows) -> dict[str, Tensor]:
        """Return the row numbers of each set: those of the run, where it goes on."""
        own = known_of(rows, self.split, self.random_state)
        kept = self._kept.get("data")
        if kept is not None and (self.split is not None or self._stage("fit")):
            other = "start a new run" if self._stage("fit") else MEASURE_ALL
            added = rows_added(
                kept, own, rows, self.source.where, f"give the same data, or {other}"
            )
            if added:
                _say(
                    f"{self.source.where}: the last {added} of {own['rows']} rows are new to the "
                    "run, and are left out"
                )
            own = kept
        elif kept is not None and (kept["digest"], kept["rows"]) != (own["digest"], own["rows"]):
            _say(f"{self.source.where}: all {own['rows']} rows, which are not those of the run")
        self._record = own
        sets = {name: part for name, part in self._kept.items() if name != "data"}
        if own is kept and sets:
            return sets
        if own["split"] is None:
            return {"train": torch.arange(own["rows"])}
        return split_rows(own["rows"], tuple(own["split"]), own["random_state"])

    def _have(self, name: str) -> None:
        """Cast the data and give each set its rows, unless that is done.

        Inputs come first and then targets, so that the rows of a mapped file are let go in between.
        """
        if name in self._sets:
            return
        if name == "all":
            module = getattr(self.trainer, "lightning_module", None)
            with_targets = getattr(module, "predicts_with_targets", False)
            read = self.source.rows if with_targets else self.source.inputs
            every = self._told(read(self._columns))
            self._sets["all"] = (cast("the inputs", every.x, self.dtype),)
            if every.y is not None:
                self._sets["all"] += (cast("the targets", every.y, self.dtype),)
            return
        self.prepare_data()
        rows, self._read = self._read, None
        assert rows is not None  # prepare_data reads them
        x, y = rows.x, rows.targets
        del rows
        inputs = self._parts(cast("the inputs", x, self.dtype))
        del x
        targets = self._parts(cast("the targets", y, self.dtype))
        self._sets = {name: (inputs[name], targets[name]) for name in inputs}

    def _parts(self, tensor: Tensor) -> dict[str, Tensor]:
        """Return the rows of each set; all of them without a copy."""
        if list(self.indices) == ["train"]:
            return {"train": tensor[: len(self.indices["train"])]}
        return {name: tensor[rows] for name, rows in self.indices.items()}

    def _keep_split(self) -> None:
        trainer = self.trainer
        if trainer is None or not trainer.loggers or getattr(trainer, "fast_dev_run", False):
            return
        place = Run.of(trainer).split  # asks all ranks for the folder
        if trainer.is_global_zero:
            place.parent.mkdir(parents=True, exist_ok=True)
            save_atomically({**self.indices, "data": self._record}, place)


@rank_zero_only
def _say(line: str) -> None:
    print(line, file=sys.stderr)
