"""Results of a sweep: a table of its members, figures, HParams in TensorBoard."""

import math
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard.summary import hparams, scalar

from ..callbacks.instrument import Instrument
from ..callbacks.learning_curves import quantity_of
from ..callbacks.report import versions, write_report
from ..drawing.axes import START
from ..drawing.figure import files_of
from ..errors import RunError
from ..runs.files import replacing, write_json
from ..runs.folder import Run, device_name, keep_picture, run_to_write, tensorboard, warn_unwritten
from ..runs.record import WORSE
from ..runs.terminal import called, show
from .evaluation import table, write_rows
from .figures import member_curves_figure
from .heat_map import best_loss_figure
from .record import ranked, rows_of
from .sweep import Sweep

#: what HParams has of a member
METRICS = {"best_loss": "loss/best", "last_train": "loss/train", "last_val": "loss/val"}
#: members that HParams has at most: a file for each takes a millisecond, and TensorBoard far more
MOST_HPARAMS = 1000


class SweepResults(Instrument):
    """Write `sweep.csv`, `summary.json`, `report.html`, figures, HParams; print a table.

    Written at the end, and by an exception or a signal too: `sweep.csv` has a row for each member
    (see `descentlab.sweeps.rows_of`), `figures/sweep_curves_NAME` the learning curves coloured by
    each swept value, `figures/sweep_best` the best loss over two swept values, and
    `members/NUMBER.hparams` each member's row of HParams, for `descentlab tensorboard RUN`; of more
    than 1,000 members there are none.

    Args:
        draws: whether there are figures.

    Attributes:
        silent: whether nothing is printed.
    """

    silent = False

    def __init__(self, draws: bool = True) -> None:
        self._draws, self._start = draws, 0.0
        self._run: Run | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note when training starts, and where results go."""
        self._start = time.monotonic()
        self._run = run_to_write(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: Sweep) -> None:  # type: ignore[override]
        """Write all, and print a table; with several processes the first one does."""
        run, groups = self._run, pl_module.results()
        rows = self._write(trainer, pl_module, groups)
        every_one = rows is not None and _count(rows, "diverged") == len(rows)
        if run is not None and rows is not None and not self.silent:
            self._print(pl_module, rows, run)
        if trainer.strategy.broadcast(every_one):
            raise RunError(
                f"every member diverged: {Run.of(trainer).folder / 'sweep.csv'} has after how many "
                "updates; give smaller learning rates"
            )
        if run is not None and not self.silent:
            print(f"to test them: {called()} test --run {run.folder}")

    def _print(self, sweep: Sweep, rows: Sequence[Mapping[str, Any]], run: Run) -> None:
        columns = [*sweep.members.names, "seed", "status", "best_epoch", "best_loss"]
        show(table(ranked(rows), ["member", *columns]))
        diverged, worse = (_count(rows, status) for status in ("diverged", WORSE))
        seconds = time.monotonic() - self._start
        ended = f"{diverged} diverged" + (f", {worse} {WORSE}" if worse else "")
        show(f"\n{len(rows)} members in {seconds:.1f} s, {ended}: {run.folder}")
        if len(rows) > MOST_HPARAMS:
            show(f"TensorBoard's HParams have none of more than {MOST_HPARAMS}; sweep.csv has all")

    def on_exception(
        self,
        trainer: Trainer,
        pl_module: Sweep,  # type: ignore[override]
        exception: BaseException,
    ) -> None:
        """Write what there is, for a run that ends before its time."""
        self._write(trainer, pl_module, None)

    def _write(
        self, trainer: Trainer, sweep: Sweep, groups: Sequence[Mapping[str, Any]] | None
    ) -> list[dict[str, Any]] | None:
        """Write what is known of groups; None for what this process knows alone."""
        run, self._run = self._run, None
        if run is None:
            return None
        groups = sweep.results(together=False) if groups is None else groups
        rows = rows_of(sweep.members, groups)
        run.folder.mkdir(parents=True, exist_ok=True)
        write_rows(rows, run.folder / "sweep.csv")
        report = self._summary(trainer, sweep, rows)
        write_json(run.summary, report)
        try:
            if self._draws:
                self._draw(trainer, sweep, groups, rows, run)
        except Exception as error:  # a picture is never worth a run
            warn_unwritten("The figures of the sweep were not drawn", error)
        write_report(run)
        if tensorboard(trainer) is not None and len(rows) <= MOST_HPARAMS:
            for row in rows:
                _hparams(run, sweep.members.names, row)
        return rows

    def _summary(
        self, trainer: Trainer, sweep: Sweep, rows: Sequence[Mapping[str, Any]]
    ) -> dict[str, Any]:
        best = ranked(rows)[0]
        seed = os.environ.get("PL_GLOBAL_SEED")
        return {
            "members": len(rows),
            "diverged": _count(rows, "diverged"),
            "worse_than_start": _count(rows, WORSE),
            "best": {k: v for k, v in best.items() if not isinstance(v, float) or math.isfinite(v)},
            "steps": trainer.global_step,
            "seconds": round(time.monotonic() - self._start, 3),
            "seed": None if seed is None else int(seed),
            "device": device_name(sweep.device),
            "versions": versions(),
        }

    def _draw(
        self,
        trainer: Trainer,
        sweep: Sweep,
        groups: Sequence[Mapping[str, Any]],
        rows: Sequence[Mapping[str, Any]],
        run: Run,
    ) -> None:
        names = sweep.members.names
        curves = curves_of(groups)
        figures = {}
        if curves:
            quantity = quantity_of(trainer, sweep.module)
            for name in names:
                figure = member_curves_figure(rows, curves, name, names, quantity)
                figures[f"sweep_curves_{name}"] = figure
        if len(names) == 2 and any(row.get("best_loss") is not None for row in rows):
            figures["sweep_best"] = best_loss_figure(rows, names[0], names[1])
        for label, figure in figures.items():
            keep_picture(trainer, run.figures / label, files_of(figure))


def _count(rows: Sequence[Mapping[str, Any]], status: str) -> int:
    return sum(row["status"] == status for row in rows)


def curves_of(
    groups: Sequence[Mapping[str, Any]],
) -> dict[str, dict[int, tuple[list[int], list[float]]]]:
    """Return the learning curves: for each set, the epochs and the losses of each member.

    They begin at `START` with the loss before any update, where that is known.
    """
    curves: dict[str, dict[int, tuple[list[int], list[float]]]] = {}
    for group in groups:
        record = group["record"]
        for index, name in enumerate(record["sets"]):
            columns, epochs = record["losses"][:, index], record["epochs"]
            if name in record["start"]:
                columns = torch.cat([record["start"][name][None], columns])
                epochs = [START, *epochs]
            for member, losses in zip(group["members"], columns.T.tolist(), strict=True):
                curves.setdefault(name, {})[member] = (epochs, losses)
    return curves


def _above_start(row: Mapping[str, Any], name: str) -> bool:
    """Return whether a metric of a member that went astray is above where the member began.

    In TensorBoard's parallel coordinates one such value would leave no room for all others.
    """
    if row["status"] not in ("diverged", WORSE):
        return False
    start = row.get("start_val" if name == "last_val" else "start_train")
    if name == "best_loss":
        start = row.get("start_val", start)
    return start is None or row[name] > start


def _hparams(run: Run, names: Sequence[str], row: Mapping[str, Any]) -> None:
    """Write a member's row of HParams: an event file, which `descentlab tensorboard` shows.

    It is not named as TensorBoard's are: of more than 40 runs TensorBoard shows none at first. Nor
    does it hold the time: two sweeps that are alike have files that are.
    """
    metrics = {
        tag: float(row[name])
        for name, tag in METRICS.items()
        if row.get(name) is not None and math.isfinite(row[name]) and not _above_start(row, name)
    }
    values = {name: row[name] for name in (*names, "seed")} | {"status": row["status"]}
    folder = run.folder / "members"
    folder.mkdir(parents=True, exist_ok=True)
    summaries = [*hparams(values, metrics)[1:]]  # type: ignore[no-untyped-call]  # torch has no types
    summaries += [scalar(tag, x) for tag, x in metrics.items()]  # type: ignore[no-untyped-call]
    with replacing(folder / f"{row['member']:05}.hparams", "wb") as file:
        writer = RecordWriter(file)
        for event in (
            Event(file_version="brain.Event:2"),
            *(Event(step=0, summary=summary) for summary in summaries),
        ):
            writer.write(event.SerializeToString())
