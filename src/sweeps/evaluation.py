"""Metrics of the members of a sweep: last and best parameters of each, on whole sets."""

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from torch import Tensor, nn

from ..datamodules.set_names import set_names
from ..errors import UsageError
from ..modules.descent_module import DescentModule
from ..runs.evaluation import hold_to_rows_of, keeping_results, plain_trainer
from ..runs.files import replacing, write_json
from ..runs.folder import Run
from ..runs.reading import read_checkpoint
from .data import seeded
from .members import DAMAGED, Members, Plan
from .record import FEW_PARAMETERS, ranked, rows_of
from .store import is_of, read_group, under_way

#: models that are measured side by side: each has metrics of its own
AT_ONCE = 128
#: rows of a table that is shown
MOST_SHOWN = 20


class MemberEvaluation:
    """Measure every member of a sweep with its last and its best parameters.

    Each is measured as in a run of its own, by the module's own metrics.

    Args:
        kind: `validate` or `test`.
        plan: what was configured for the sweep.
        draw: makes the module with a seed, in a trainer: see `Sweep.draw`.
        data: where the sets come from.
        trainer: runs the loops; a plain one on the same accelerator where it is left out.
    """

    def __init__(
        self,
        kind: str,
        plan: Plan,
        draw: Callable[[int, Trainer], DescentModule],
        data: LightningDataModule | None,
        trainer: Trainer | None = None,
    ) -> None:
        self.kind, self.plan, self.draw, self.data = kind, plan, draw, data
        self.trainer = trainer or plain_trainer()

    def of_run(self, run: Run, epoch: int | None = None) -> str:
        """Measure all members of a run; write `sweep_test.csv` and `test.json` into its folder.

        Returns:
            A table of the members with the least losses.

        Raises:
            UsageError: if the run holds no results of this sweep, or an epoch is asked for.
            RunError: if what was measured cannot be written.
        """
        if epoch is not None:
            raise UsageError(
                f"--epoch {epoch}: of the members of a sweep the last and the best parameters are "
                "kept: leave --epoch out"
            )
        hold_to_rows_of(run, self.data)
        members, groups = results_in(run, self.plan)
        measured = {
            member: columns
            for group in groups
            for member, columns in self._measured(members, group).items()
        }
        rows = [{**row, **measured.get(row["member"], {})} for row in rows_of(members, groups)]
        json_path = run.folder / f"{self.kind}.json"
        csv_path = run.folder / f"sweep_{self.kind}.csv"
        with keeping_results(run):
            write_json(json_path, {"members": rows})
            write_rows([_flat(row) for row in rows], csv_path)
        shown = [_flat(row) for row in ranked(rows)]
        columns = [*members.names, *_columns(shown)]
        return f"{table(shown, ['member', *columns])}\n\nwritten to {json_path} and {csv_path}"

    def of_checkpoint(self, path: Path) -> str:
        """Refuse a single checkpoint: it holds the members of one group, and their last parameters.

        Raises:
            UsageError: always.
        """
        raise UsageError(
            f"--ckpt_path {path}: the members of a sweep are measured by its folder: give --run DIR"
        )

    def _measured(
        self, members: Members, group: Mapping[str, Any]
    ) -> dict[int, dict[str, dict[str, Any] | None]]:
        """Return the metrics of the last and the best parameters of a group's members."""
        found: dict[int, dict[str, dict[str, Any] | None]] = {}
        kept: dict[int, list[tuple[int, str, int, dict[str, Tensor]]]] = {}  # by seed
        record = group["record"]
        for row, member in enumerate(group["members"]):
            found[member] = {"last": None, "best": None}
            of_seed = kept.setdefault(members.values(member)["seed"], [])
            if int(record["diverged"][row]) < 0:
                of_seed.append((member, "last", group["epoch"], _row(group["last"], row)))
            if (best := int(record["best_epoch"][row])) >= 0:
                of_seed.append((member, "best", best, _row(record["best"], row)))
        for seed, wanted in kept.items():
            metrics = self._metrics(seed, [parameters for *_, parameters in wanted])
            for (member, kind, epoch, parameters), values in zip(wanted, metrics, strict=True):
                found[member][kind] = {"epoch": epoch, **values, **_if_few(parameters)}
        return found

    def _metrics(
        self, seed: int, parameters: Sequence[Mapping[str, Tensor]]
    ) -> list[dict[str, float]]:
        """Return the metrics of models with the same seed, several in one loop over the data."""
        metrics: list[dict[str, float]] = []
        for first in range(0, len(parameters), AT_ONCE):
            some = parameters[first : first + AT_ONCE]
            models = _Models(lambda trainer: self.draw(seed, trainer), some)
            with seeded(seed):
                getattr(self.trainer, self.kind)(models, datamodule=self.data, verbose=False)
            metrics += models.metrics
        return metrics


class _Models(LightningModule):
    """Models that are measured side by side, each by its own metrics.

    Args:
        draw: makes one of them, in a trainer.
        parameters: those of each, by name.
    """

    def __init__(
        self,
        draw: Callable[[Trainer], DescentModule],
        parameters: Sequence[Mapping[str, Tensor]],
    ) -> None:
        super().__init__()
        self._draw, self._values = draw, parameters
        self._each: list[DescentModule] = []
        self.metrics: list[dict[str, float]] = []

    def setup(self, stage: str) -> None:
        """Make the models; from here on the trainer converts and moves them."""
        self._each = [self._draw(self.trainer) for _ in self._values]
        for module, values in zip(self._each, self._values, strict=True):
            for name, parameter in module.named_parameters():
                if name not in values or values[name].shape != parameter.shape:
                    raise UsageError(
                        f"the sweep holds no {name} of shape {tuple(parameter.shape)}, as its "
                        "configuration has it: give the config.yaml that it was made with"
                    )
                parameter.data = values[name].clone()
        self.models = nn.ModuleList(self._each)

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Add a batch of a set to the metrics of each model."""
        self._measure(set_names("val", self.trainer.val_dataloaders)[dataloader_idx], batch)

    def test_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Add a batch of a test set to the metrics of each model."""
        self._measure(set_names("test", self.trainer.test_dataloaders)[dataloader_idx], batch)

    def _measure(self, name: str, batch: Any) -> None:
        for module in self._each:
            module.measure(name, batch)

    def on_validation_epoch_end(self) -> None:
        """Keep the metrics."""
        self._keep()

    def on_test_epoch_end(self) -> None:
        """Keep the metrics."""
        self._keep()

    def _keep(self) -> None:
        self.metrics = [
            {tag.removesuffix("/test"): float(value) for tag, value in values.items()}
            for values in (module.computed_metrics() for module in self._each)
        ]


def results_in(run: Run, plan: Plan) -> tuple[Members, list[dict[str, Any]]]:
    """Return the members of a run, and what it holds of every group that was begun.

    Raises:
        UsageError: if there is nothing, or it is of another sweep.
    """
    path = run.checkpoints / "last.ckpt"
    if not path.is_file():
        raise UsageError(
            f"--run {run.folder}: there is no checkpoints/last.ckpt: no epoch was finished"
        )
    checkpoint = read_checkpoint(path)
    try:
        members, saved = plan.saved_in(checkpoint)
        *finished, group = members.cut(saved["at_once"])[: saved["group"] + 1]
        known = under_way(saved, checkpoint["state_dict"])
        if not is_of(group, known):
            raise UsageError(DAMAGED)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error
    groups = [read_group(run.checkpoints, number, each) for number, each in enumerate(finished)]
    return members, [*groups, known]


def write_rows(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write rows as CSV, with all columns that any of them has; what is not known is empty."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with replacing(path, newline="") as file:
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


def _if_few(parameters: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the parameters as lists, if they are few enough for a table."""
    if sum(p.numel() for p in parameters.values()) > FEW_PARAMETERS:
        return {}
    return {"parameters": {name: p.tolist() for name, p in parameters.items()}}


def _columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the columns of the table that is shown: of the metrics the losses."""
    tags = [name for row in rows for name in row if name.startswith(("last.", "best."))]
    losses = [name for name in dict.fromkeys(tags) if name.split(".")[1].startswith("loss")]
    return ["seed", "status", "best_epoch", "best_loss", *losses]


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with the metrics of the last and the best parameters in columns of their own."""
    flat = {name: value for name, value in row.items() if name not in ("last", "best")}
    for kind in ("last", "best"):
        for name, value in (row.get(kind) or {}).items():
            if name not in ("epoch", "parameters"):
                flat[f"{kind}.{name}"] = value
    return flat
