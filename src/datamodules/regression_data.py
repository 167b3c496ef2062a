"""Inputs and targets of a regression: real data, a generated line, or the user's files."""

from typing import Literal

import torch
from torch import Tensor

from ..errors import UsageError
from ..runs.folder import Run
from .files import regression_pair
from .resumable import ResumableData
from .sources import Line, diabetes, noisy_line
from .splits import check_fractions, split_rows
from .tensor_loader import TensorLoader

WHOLE = (
    2**18
)  # rows in a batch of an evaluation: one batch for most data, and bounded memory for all
STANDARD_LINE = Line()


class RegressionData(ResumableData):
    """Data for a regression, split into training, validation and test sets.

    Batches are pairs (X, y) of shapes (B, d) and (B,), float64 under `--trainer.precision 64-true`
    and float32 otherwise. Training batches are shuffled; validation gives the whole training set
    and the whole validation set, the test is the whole test set, and prediction all rows in the
    order of the source.

    Args:
        source: `diabetes`, `line`, or `files`; `files` is implied by the paths.
        x_path: inputs, a `.pt`, `.npy` or `.csv` file of shape (N,), (N, 1) or (N, d).
        y_path: targets, the same kinds of file, of shape (N,) or (N, 1).
        column: the column of the diabetes data.
        line: slope, bias, noise, size and seed of the generated line.
        batch_size: rows in a training batch; more than there are gives one batch.
        split: fractions for training, validation and test; None trains on all rows, and then there
            is no held-out set: validation and test are on the training rows.
        random_state: seed of the split.
        chunk: how many batches a training step gets at once, and updates by, under manual
            optimization; the updates are the same, and what Lightning does around a step is paid
            once for all of them.

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
        column: str = "bmi",
        line: Line = STANDARD_LINE,
        batch_size: int = 32,
        split: tuple[float, float, float] | None = (0.8, 0.1, 0.1),
        random_state: int = 42,
        chunk: int = 1,
    ) -> None:
        super().__init__()
        if x_path is not None or y_path is not None:
            source = "files"
        if source == "files" and (x_path is None or y_path is None):
            missing = "x_path" if x_path is None else "y_path"
            raise UsageError(f"{missing} is missing: data from files need both x_path and y_path")
        if batch_size < 1:
            raise UsageError(f"batch_size = {batch_size} is below 1: give 1 or more")
        if split is not None:
            check_fractions(split)
        self.source = source
        self.x_path, self.y_path = x_path, y_path
        self.column = column
        self.line = line
        if chunk < 1:
            raise UsageError(f"chunk = {chunk} is below 1: give 1 or more")
        self.batch_size = batch_size
        self.chunk = chunk
        self.split = split
        self.random_state = random_state
        self._sets: dict[str, tuple[Tensor, Tensor]] = {}
        self._read: tuple[Tensor, Tensor] | None = None  # by prepare_data, until setup

    def prepare_data(self) -> None:
        """Read and look at the data once, before anything is made for a run; `setup` takes it."""
        if self._read is None and not self._sets:
            self._read = self._pair()
            self.indices = self._split_of(len(self._read[0]))

    def setup(self, stage: str) -> None:
        """Cast and split the data; in `fit`, keep the split in the run's folder.

        Args:
            stage: `fit`, `validate`, `test` or `predict`.
        """
        super().setup(stage)
        if self._sets and self._sets["train"][0].dtype != self.dtype:
            self._sets = {}  # they were cast for another trainer
        self.prepare_data()
        self._have("all" if stage == "predict" else "train")
        self.features = self._sets["train"][0].shape[1]
        if stage == "fit":
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
                chunk=self.chunk,
            )
        )

    def val_dataloader(self) -> dict[str, TensorLoader]:
        """Return the whole training set and, if there is one, the whole validation set."""
        return {name: self._whole(name) for name in ("train", "val") if name in self._sets}

    def test_dataloader(self) -> TensorLoader:
        """Return the whole test set; without a split all rows, which is no held-out set."""
        return self._whole("test" if self.split else "train")

    def predict_dataloader(self) -> TensorLoader:
        """Return all rows in the order of the source; after another stage it is read again."""
        self._have("all")
        return self._whole("all")

    def _whole(self, name: str) -> TensorLoader:
        return TensorLoader(*self._sets[name], batch_size=WHOLE)

    def _pair(self) -> tuple[Tensor, Tensor]:
        if self.x_path is not None and self.y_path is not None:
            return regression_pair(self.x_path, self.y_path)
        return noisy_line(self.line) if self.source == "line" else diabetes(self.column)

    def _split_of(self, rows: int) -> dict[str, Tensor]:
        if self.split is None:
            return {"train": torch.arange(rows)}
        return split_rows(rows, self.split, self.random_state)

    def _have(self, name: str) -> None:
        """Cast the data and give each set its rows, unless that is done.

        With a split, `all` is kept only where it is asked for. Inputs come first and then targets,
        so that the rows of a mapped file are let go in between.
        """
        if name in self._sets:
            return
        x, y = self._read or self._pair()
        self._read = None
        whole = name == "all" or not self.split
        inputs = self._parts(_cast("the inputs", x, self.dtype), whole)
        del x
        targets = self._parts(_cast("the targets", y, self.dtype), whole)
        self._sets = {name: (inputs[name], targets[name]) for name in inputs}

    def _parts(self, tensor: Tensor, whole: bool) -> dict[str, Tensor]:
        parts = {"all": tensor} if whole else {}
        for name, rows in self.indices.items():
            parts[name] = tensor[rows] if self.split else tensor
        return parts

    def _keep_split(self) -> None:
        trainer = self.trainer
        if trainer is None or not trainer.loggers or getattr(trainer, "fast_dev_run", False):
            return
        place = Run.of(trainer).split  # asks all ranks for the folder
        if trainer.is_global_zero:
            place.parent.mkdir(parents=True, exist_ok=True)
            torch.save(self.indices, place)


def _cast(name: str, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Cast without a copy where none is needed; refuse what would become infinite."""
    if tensor.dtype == torch.float64 and dtype == torch.float32:
        least, most = tensor.aminmax()
        if max(-least, most) > torch.finfo(dtype).max:
            raise UsageError(
                f"{name} hold values too large for float32: use --trainer.precision 64-true"
            )
    return tensor.to(dtype)
