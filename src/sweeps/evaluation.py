"""What the members of a sweep are worth: each one's last and best parameters on whole sets."""

import csv
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch import LightningDataModule, Trainer
from torch import Tensor

from ..datamodules import ResumableData
from ..errors import UsageError
from ..runs.folder import Run
from .data import SeedData, named
from .record import FEW_PARAMETERS, ranked, rows_of
from .store import read

if TYPE_CHECKING:
    from .sweep import Sweep

#: rows of a table that is shown
MOST_SHOWN = 20


class MemberEvaluation:
    """Measure every member of a run with its last and its best parameters.

    Each is measured as in a run of its own, by the module's own metrics.

    Args:
        sweep: as configured for the run.
        run: where its results are.
        kind: `validate` or `test`.
        trainer: runs the loop over the data.
        data: where the sets come from.

    Raises:
        UsageError: if the run holds no results of this sweep.
    """

    def __init__(
        self,
        sweep: "Sweep",
        run: Run,
        kind: str,
        trainer: Trainer,
        data: LightningDataModule | None,
    ) -> None:
        self.sweep, self.run, self.kind = sweep, run, kind
        self.trainer, self.data = trainer, data
        self._groups = groups_of(run, sweep)
        self._measured: dict[int, dict[str, dict[str, Any] | None]] = {}

    def report(self) -> str:
        """Measure all members, write `sweep_test.csv` and `test.json`, and return a table."""
        getattr(self.trainer, self.kind)(self.sweep, datamodule=self.data, verbose=False)
        known = rows_of(self.sweep.members, self._groups)
        rows = [{**row, **self._measured.get(row["member"], {})} for row in known]
        json_path = self.run.folder / f"{self.kind}.json"
        csv_path = self.run.folder / f"sweep_{self.kind}.csv"
        try:
            json_path.write_text(json.dumps({"members": _no_nan(rows)}, indent=2) + "\n")
            write_rows([_flat(row) for row in rows], csv_path)
        except OSError as error:
            raise UsageError(
                f"--run {self.run.folder}: the results cannot be written there "
                f"({error.strerror}): make the folder writable, or copy it"
            ) from error
        shown = [_flat(row) for row in ranked(rows)]
        return f"{table(shown, self._columns(shown))}\n\nwritten to {json_path} and {csv_path}"

    def _columns(self, rows: Sequence[Mapping[str, Any]]) -> list[str]:
        """Return the columns of the table that is shown: of the metrics the first."""
        names = [*self.sweep.members.names, "seed", "status", "best_epoch", "best_loss"]
        tags = [name for row in rows for name in row if name.startswith(("last.", "best."))]
        sets = [name for name in dict.fromkeys(tags) if name.split(".")[1].startswith("loss")]
        return ["member", *names, *sets]

    def measure(self) -> None:
        """Measure each member; called when the trainer has set all up."""
        for group in self._groups:
            seeds = [self.sweep.members.values(member)["seed"] for member in group["members"]]
            for seed in dict.fromkeys(seeds):
                rows = [row for row, each in enumerate(seeds) if each == seed]
                self._measure_seed(seed, group, rows)

    def _measure_seed(self, seed: int, group: Mapping[str, Any], rows: Sequence[int]) -> None:
        sets = self._sets(seed)
        module = self.sweep.draw(seed).to(self.sweep.device)
        record = group["record"]
        for row in rows:
            best, diverged = int(record["best_epoch"][row]), int(record["diverged"][row])
            member = group["members"][row]
            last = None if diverged >= 0 else _row(group["last"], row)
            self._measured[member] = {
                "last": last and {"epoch": group["epoch"], **self._values(module, last, sets)},
                "best": {"epoch": best, **self._values(module, _row(record["best"], row), sets)}
                if best >= 0
                else None,
            }

    def _sets(self, seed: int) -> dict[str, Any]:
        """Return the loaders of a seed, by the name of their set."""
        data, device = self.data, self.sweep.device
        if isinstance(data, ResumableData) and data.seed != seed:
            return SeedData(data, [seed], self.kind, device).sets(self.kind)[0]
        if self.kind == "test":
            return {"test": self.trainer.test_dataloaders}
        return named(self.trainer.val_dataloaders)

    def _values(
        self, module: Any, parameters: Mapping[str, Tensor], sets: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return the metrics of one member, as its own run's, with its parameters if few."""
        for name, parameter in module.named_parameters():
            parameter.data = parameters[name].to(module.device)
        with torch.inference_mode():
            for name, loader in sets.items():
                for batch in loader:
                    module.measure(
                        name, self.sweep.transfer_batch_to_device(batch, module.device, 0)
                    )
        metrics = {}
        for tag, metric in module._set_metrics.items():
            metrics[tag.removesuffix("/test")] = float(metric.compute())
            metric.reset()
        if sum(p.numel() for p in parameters.values()) > FEW_PARAMETERS:
            return metrics
        return {**metrics, "parameters": {name: p.tolist() for name, p in parameters.items()}}


def groups_of(run: Run, sweep: "Sweep") -> list[dict[str, Any]]:
    """Return what a run holds of the members of every group that was begun.

    Raises:
        UsageError: if there is nothing, or it is of another sweep.
    """
    path = run.checkpoints / "last.ckpt"
    if not path.is_file():
        raise UsageError(
            f"--run {run.folder}: there is no checkpoints/last.ckpt: no epoch was finished"
        )
    checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    saved = sweep.saved_in(checkpoint)
    last = {name.removeprefix("module."): value for name, value in checkpoint["state_dict"].items()}
    finished = [read(run.checkpoints, number) for number in range(saved["group"])]
    return [*finished, {**saved, "last": last}]


def write_rows(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write rows as CSV, with all columns that any of them has; what is not known is empty."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Return the first rows as lines of text, with the number of those left out."""
    shown = [[_text(row.get(name)) for name in columns] for row in rows[:MOST_SHOWN]]
    widths = [max(len(name), *(len(line[i]) for line in shown)) for i, name in enumerate(columns)]
    lines = [columns, *shown]
    text = "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        for line in lines
    )
    left = len(rows) - len(shown)
    return f"\n{text}" + (f"\n… and {left} more" if left else "")


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _row(parameters: Mapping[str, Tensor], row: int) -> dict[str, Tensor]:
    return {name: values[row] for name, values in parameters.items()}


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with the metrics of the last and the best parameters in columns of their own."""
    flat = {name: value for name, value in row.items() if name not in ("last", "best")}
    for kind in ("last", "best"):
        for name, value in (row.get(kind) or {}).items():
            if name not in ("epoch", "parameters"):
                flat[f"{kind}.{name}"] = value
    return flat


def _no_nan(value: Any) -> Any:
    """Return plain types that JSON has: None for what is not finite."""
    if isinstance(value, Mapping):
        return {key: _no_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_no_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
