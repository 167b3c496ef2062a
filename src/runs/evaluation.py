"""Metrics of a run's parameters: the last, the best, or those of any epoch."""

import csv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from torch import Tensor

from ..errors import RunError, UsageError
from .files import replacing, write_json
from .folder import Run, parameter_values
from .parameter_history import KEPT_ELSEWHERE, read_history
from .reading import ADVICE, loading, read_checkpoint, read_plain
from .terminal import told_apart

EVALUATIONS = ("validate", "test", "predict")


def plain_trainer(fitted: Trainer | None = None) -> Trainer:
    """Return a trainer of one process that writes and shows nothing.

    Args:
        fitted: another trainer, on whose device and in whose precision this one computes.
    """
    settings: dict[str, Any] = {}
    if fitted is not None:
        index = fitted.strategy.root_device.index
        settings = {
            "accelerator": fitted.accelerator,
            "devices": 1 if index is None else [index],
            "plugins": [fitted.precision_plugin],
        }
    return Trainer(
        **settings,
        logger=False,
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
    )


class Evaluation:
    """Validate, test or predict with stored parameters.

    Args:
        kind: `validate`, `test` or `predict`.
        module: whose parameters are replaced by the stored ones.
        data: where the sets come from.
        trainer: runs the loops; a plain one on the same accelerator where it is left out.
    """

    def __init__(
        self,
        kind: str,
        module: LightningModule,
        data: LightningDataModule | None,
        trainer: Trainer | None = None,
    ) -> None:
        self.kind = kind
        self.module = module
        self.data = data
        self.trainer = trainer or plain_trainer()

    def of_run(self, run: Run, epoch: int | None = None) -> str:
        """Evaluate the last and the best parameters of a run, and those after an epoch if asked.

        Writes `validate.json` or `test.json`, or `predictions.csv`, into the run's folder.

        Returns:
            A table, the kinds of parameters side by side.

        Raises:
            UsageError: if the run holds no such parameters.
            RunError: if what was measured cannot be written.
        """
        hold_to_rows_of(run, self.data)
        found = {name: run.checkpoints / f"{name}.ckpt" for name in ("last", "best")}
        found = {name: path for name, path in found.items() if path.is_file()}
        if not found:
            raise UsageError(
                f"--run {run.folder}: there is no checkpoints/last.ckpt: no epoch was finished"
            )
        kept = _after_epoch(run, epoch) if epoch is not None else None
        columns = {
            name: self._measured(path, _without(path, *(found.keys() - {name})))
            for name, path in found.items()
        }
        if kept is not None:
            try:
                self.module.load_state_dict(kept, strict=False)
            except RuntimeError as error:
                history = run.checkpoints / "parameters.pt"
                raise UsageError(
                    f"{history} does not fit the configured model: {KEPT_ELSEWHERE}"
                ) from error
            columns[f"epoch {epoch}"] = {"epoch": epoch, **self._loop(None)}
        with keeping_results(run):
            return self._report(columns, run.folder)

    def of_checkpoint(self, path: Path) -> str:
        """Evaluate the parameters of one checkpoint; nothing is written.

        Raises:
            UsageError: if there is no such file.
        """
        return self._table({path.name: self._measured(path)})

    def _measured(self, path: Path, advice: str = ADVICE) -> dict[str, Any]:
        """Load a checkpoint's parameters and run the loop over the data."""
        epoch = read_checkpoint(path, advice)["epoch"]
        return {"epoch": epoch, **self._loop(str(path.absolute()))}

    def _loop(self, path: str | None) -> dict[str, Any]:
        loop = getattr(self.trainer, self.kind)
        quiet = {} if self.kind == "predict" else {"verbose": False}
        with loading(path):
            found = loop(
                self.module, datamodule=self.data, ckpt_path=path, weights_only=True, **quiet
            )
        if self.kind == "predict":
            return {"predictions": torch.cat(found).tolist()}
        metrics = {tag: float(value) for tag, value in self.trainer.callback_metrics.items()}
        return {**metrics, "parameters": parameter_values(self.module)}

    def _report(self, columns: dict[str, dict[str, Any]], folder: Path) -> str:
        if self.kind == "predict":
            path = folder / "predictions.csv"
            rows = zip(*(column["predictions"] for column in columns.values()), strict=True)
            with replacing(path, newline="") as file:
                writer = csv.writer(file)
                writer.writerow(["row", *columns])
                writer.writerows([index, *values] for index, values in enumerate(rows))
            return f"predictions of {' and '.join(columns)} parameters: {path}"
        path = folder / f"{self.kind}.json"
        content = {name: _by_short_name(column) for name, column in columns.items()}
        write_json(path, content)
        return f"{self._table(columns)}\n\nwritten to {path}"

    def _table(self, columns: Mapping[str, Mapping[str, Any]]) -> str:
        if self.kind == "predict":
            return "\n".join(
                str(value) for column in columns.values() for value in column["predictions"]
            )
        tags = [tag for tag in next(iter(columns.values())) if tag != "parameters"]
        rows = {tag: [column[tag] for column in columns.values()] for tag in tags}
        lines = [f"{'':<14}" + "".join(f"{name:>12}" for name in columns)]
        lines += [
            f"{tag:<14}" + "".join(f"{value:>12}" for value in told_apart(values))
            for tag, values in rows.items()
            if not _is_the_loss(tag, rows)
        ]
        return "\n" + "\n".join(lines)


@contextmanager
def keeping_results(run: Run) -> Iterator[None]:
    """Name the file that the results of a run cannot be written to, inside.

    Raises:
        RunError: if they cannot.
    """
    try:
        yield
    except OSError as error:
        raise RunError(
            f"{error.filename or run.folder}: {error.strerror}: what was measured is not kept: "
            f"mend that, or copy {run.folder}, and do it again"
        ) from error


def _without(path: Path, other: str | None = None) -> str:
    """Say how the other parameters of a run are measured, where one checkpoint is damaged."""
    return f"move it away, and {other}.ckpt alone is measured" if other else ADVICE


def hold_to_rows_of(run: Run, data: LightningDataModule | None) -> None:
    """Hand the row numbers that a run kept to data that can keep to them.

    Args:
        run: whose `split.pt` is read, where there is one.
        data: its `hold_to` is called, where it has one.

    Raises:
        UsageError: if `split.pt` is damaged, or the data are not those of the run.
    """
    hold_to = getattr(data, "hold_to", None)
    if hold_to is None or not run.split.is_file():
        return
    problem = "is damaged: which rows were trained on is not known"
    kept = read_plain(run.split, problem)
    if not isinstance(kept, Mapping):
        raise UsageError(f"{run.split} {problem}")
    hold_to(kept)


def _after_epoch(run: Run, epoch: int) -> dict[str, Tensor]:
    """Return the parameters that `parameters.pt` holds for an epoch."""
    history = run.checkpoints / "parameters.pt"
    if not history.is_file():
        raise UsageError(f"--epoch {epoch}: {history} is missing: no epochs were kept")
    epochs = read_history(history)
    if epoch not in epochs:
        first, last = min(epochs), max(epochs)
        raise UsageError(f"--epoch {epoch}: {history} holds epochs {first} to {last}")
    return epochs[epoch]


def _is_the_loss(tag: str, rows: Mapping[str, list[float]]) -> bool:
    """Return whether a metric of a set is the same number as the loss on it."""
    name, _, set_ = tag.partition("/")
    return name != "loss" and rows[tag] == rows.get(f"loss/{set_}")


def _by_short_name(column: Mapping[str, Any]) -> dict[str, Any]:
    """Name the metrics of a test by what they are alone: `mse`, not `mse/test`."""
    return {tag.removesuffix("/test"): value for tag, value in column.items()}
