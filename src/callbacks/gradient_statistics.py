"""The norms of the gradients, and how far each update moves its parameters."""

import csv
import math
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from ..errors import UsageError
from ..runs.files import replacing
from ..runs.folder import goes_on, log_series, run_to_write
from ..runs.joined import damaged, read_table
from .fresh_metrics import is_new
from .instrument import Instrument

_MOST_COPIES, _MOST_ELEMENTS = 1024, 2**16  # steps and elements, before norms are taken
_HEADING = ("step", "parameter", "gradient_norm", "update_ratio")


class GradientStatistics(Instrument):
    r"""Keep the norm of the gradient and the update-to-weight ratio of every parameter.

    .. math:: \lVert g_t \rVert_2, \qquad
        \frac{\lVert \theta_{t+1} - \theta_t \rVert_2}{\lVert \theta_t \rVert_2}

    of each step of each optimizer. The gradient is what the optimizer steps with: accumulated,
    clipped and unscaled; of one that takes several gradients a step (LBFGS) it is the last. The
    step is the number of updates made before, `trainer.global_step`. The ratio is infinite where
    the parameter was 0 and moved, NaN where it was 0 and stayed. A parameter without a gradient has
    a ratio alone, and a frozen one has no row. Optimization may be automatic or manual, and
    optimizers may be several; the run is left alone, bit for bit.

    Written, once an epoch and with every checkpoint: `gradient_statistics.csv` (step, parameter,
    gradient_norm, update_ratio) in the run's folder, a row for each parameter, and one without a
    name for all parameters of the optimizer together; in TensorBoard, in one section,
    `gradient/norm`, `gradient/norm/NAME` and `gradient/update_ratio/NAME`.

    Args:
        every: how many steps of an optimizer there are from one measurement to the next.

    Raises:
        UsageError: `every` is below 1.
    """

    def __init__(self, every: int = 1) -> None:
        if every < 1:
            raise UsageError(f"every = {every} is below 1: give the number of steps, 1 or more")
        self.every = every
        self._begin()

    def _begin(self) -> None:
        self._counts: dict[int, int] = {}  # steps of each optimizer, by its place
        self._copies: list[_Step] = []
        self._norms: list[_Norms] = []
        self._elements = self._measured = 0
        self._handles: list[RemovableHandle] = []
        self._path: Path | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Begin anew, unless the trainer goes on."""
        if stage == "fit" and is_new(trainer):
            self._begin()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin the file, and listen to the optimizers' steps."""
        run = run_to_write(trainer)
        if run is None:
            return
        self._open(run.folder / "gradient_statistics.csv", trainer)
        self._names = {id(p): name for name, p in pl_module.named_parameters()}
        for place, optimizer in enumerate(trainer.optimizers):
            before, after = self._listeners(trainer, place)
            self._handles.append(optimizer.register_step_pre_hook(before))
            self._handles.append(optimizer.register_step_post_hook(after))

    def _open(self, path: Path, trainer: Trainer) -> None:
        """Write the heading, and the rows in the file that are of this run and of steps before."""
        path.parent.mkdir(parents=True, exist_ok=True)
        _, *rows = (read_table(path) if goes_on(trainer) or path == self._path else []) or [[]]
        self._path = path
        try:
            kept = [row for row in rows if int(row[0]) < trainer.global_step]
        except (ValueError, IndexError) as error:
            raise damaged(path, error) from error
        with replacing(path, newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([_HEADING, *kept])

    def _listeners(
        self, trainer: Trainer, place: int
    ) -> tuple[Callable[..., None], Callable[..., None]]:
        """Return what is called before and after each step of an optimizer."""
        parameters: list[Tensor] = []
        starts: list[Tensor] = []

        def before(optimizer: Optimizer, *_: Any) -> None:
            nonlocal parameters, starts
            parameters, starts = [], []
            if self._counts.get(place, 0) % self.every == 0:
                each = [p for group in optimizer.param_groups for p in group["params"]]
                parameters = [p for p in each if p.requires_grad]
                starts = [p.data.clone() for p in parameters]

        def after(*_: Any) -> None:
            self._counts[place] = self._counts.get(place, 0) + 1
            if parameters:
                self._keep(trainer.global_step, parameters, starts)

        return before, after

    def _keep(self, step: int, parameters: list[Tensor], starts: list[Tensor]) -> None:
        """Keep copies of gradients and parameters; of many or large ones the norms alone."""
        ends = [p.data.clone() for p in parameters]
        slopes = [None if (g := p.grad) is None else g.detach().clone() for p in parameters]
        self._copies.append((self._measured, step, parameters, starts, ends, slopes))
        self._measured += 1
        self._elements += sum(map(Tensor.numel, starts))
        if self._elements > _MOST_ELEMENTS or len(self._copies) >= _MOST_COPIES:
            self._take_norms()

    def _take_norms(self) -> None:
        """Take the norms of what was kept, of all steps of a parameter at once."""
        kept: dict[str, list[_Copy]] = {}
        for order, step, parameters, starts, ends, slopes in self._copies:
            for parameter, start, end, slope in zip(parameters, starts, ends, slopes, strict=True):
                name = self._names.get(id(parameter))
                if name is None:  # not the module's, but an optimizer's all the same
                    name = self._names.setdefault(id(parameter), f"unnamed_{len(self._names)}")
                kept.setdefault(name, []).append(_Copy(order, step, start, end, slope))
        self._copies.clear()
        self._elements = 0
        for name, many in kept.items():
            before = _stacked([copy.start for copy in many])
            after = _stacked([copy.end for copy in many])
            given = [copy.slope for copy in many if copy.slope is not None]
            norms = _norm(_stacked(given)) if given else before.new_empty(0)
            keys = [(copy.order, copy.step, copy.slope is not None) for copy in many]
            self._norms.append((name, keys, norms, _norm(after - before), _norm(before)))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write what was measured."""
        self._write(trainer)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Write what was measured, so that a run which goes on from here has it."""
        self._write(trainer)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Write what was measured, of a run that ends before its time."""
        self._write(trainer)
        self._leave()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Listen no more."""
        self._leave()

    def _leave(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _write(self, trainer: Trainer) -> None:
        self._take_norms()
        rows = list(self._rows())
        self._norms.clear()
        if not rows or self._path is None:
            return
        with self._path.open("a", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)
        series: dict[str, list[tuple[int, float]]] = {}
        for step, name, slope, ratio in rows:
            end = f"/{name}" if name else ""
            if slope is not None:
                series.setdefault(f"gradient/norm{end}", []).append((step, slope))
            if name:
                series.setdefault(f"gradient/update_ratio{end}", []).append((step, ratio))
        for tag, points in series.items():
            # one write for each stretch of steps without a gap
            for _, stretch in groupby(enumerate(points), key=lambda each: each[1][0] - each[0]):
                many = [point for _, point in stretch]
                log_series(trainer, tag, [value for _, value in many], many[0][0])

    def _rows(self) -> Iterator[tuple[int, str, float | None, float]]:
        """Yield what is written: of each measurement all together, and each parameter."""
        found: list[tuple[int, int, str, float | None, float, float]] = []
        for name, keys, slopes, moves, sizes in self._norms:
            left = iter(slopes.tolist())
            for key, move, size in zip(keys, moves.tolist(), sizes.tolist(), strict=True):
                order, step, has_slope = key
                found.append((order, step, name, next(left) if has_slope else None, move, size))
        for _, group in groupby(sorted(found, key=lambda row: row[:3]), key=lambda row: row[0]):
            rows = list(group)
            given = [slope for _, _, _, slope, _, _ in rows if slope is not None]
            move = math.hypot(*(each for *_, each, _ in rows))
            size = math.hypot(*(each for *_, each in rows))
            yield rows[0][1], "", math.hypot(*given) if given else None, _ratio(move, size)
            for _, step, name, slope, move, size in rows:
                yield step, name, slope, _ratio(move, size)

    def state_dict(self) -> dict[str, Any]:
        """Return how many steps each optimizer made."""
        return {"counts": dict(self._counts)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting."""
        self._counts = dict(state_dict["counts"])


class _Copy(NamedTuple):
    """One parameter at one step."""

    order: int
    step: int
    start: Tensor
    end: Tensor
    slope: Tensor | None


#: order and step, the parameters, and copies of each before and after it and of its gradient
_Step = tuple[int, int, list[Tensor], list[Tensor], list[Tensor], list[Tensor | None]]


#: of one parameter: its name; order, step and whether it had a gradient; and the norms of the
#: gradients, the updates and the parameter
_Norms = tuple[str, list[tuple[int, int, bool]], Tensor, Tensor, Tensor]


def _stacked(copies: list[Tensor]) -> Tensor:
    """Return copies one below the other, as rows in double precision, where the device has it."""
    rows = torch.stack([copy.to_dense() for copy in copies])
    if rows.device.type != "mps":
        rows = rows.to(torch.promote_types(rows.dtype, torch.float64))
    return rows.reshape(len(copies), copies[0].numel())


def _norm(rows: Tensor) -> Tensor:
    norms: Tensor = torch.linalg.vector_norm(rows, dim=1)
    return norms


def _ratio(move: float, size: float) -> float:
    if size == 0:
        return math.inf if move > 0 else math.nan
    return move / size
