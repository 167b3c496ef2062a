"""The norms of the gradients, and how far each update moves its parameters."""

import csv
import math
import sys
from collections.abc import Iterator
from itertools import compress, groupby, repeat
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from ..internals.torch import copy_all, may_go_unheard
from ..runs.files import replacing
from ..runs.folder import goes_on, log_series, run_to_write
from ..runs.logged_before import damaged, read_table
from .fresh_metrics import is_new
from .given_gradients import GivenGradients
from .instrument import UpdateInstrument, whole_number

_MOST_COPIES, _MOST_ELEMENTS = 128, 2**16  # steps and elements, before norms are taken
_HEADING = ("step", "parameter", "gradient_norm", "update_ratio")


class GradientStatistics(UpdateInstrument):
    r"""Keep the norm of the gradient and the update-to-weight ratio of every parameter.

    .. math:: \lVert g_t \rVert_2, \qquad
        \frac{\lVert \theta_{t+1} - \theta_t \rVert_2}{\lVert \theta_t \rVert_2}

    of each step of each optimizer. The gradient is what the optimizer is given: accumulated,
    clipped and unscaled, before its step writes into it; of one that takes several gradients a step
    (LBFGS) it is the last. The step is the number of updates made before, `trainer.global_step`.
    The ratio is infinite where the parameter was 0 and moved, NaN where it was 0 and stayed. A
    parameter without a gradient has a ratio alone, and a frozen one has no row. Optimization may be
    automatic or manual, and optimizers may be several; the run is left alone, bit for bit.

    Written, once an epoch and with every checkpoint: `gradient_statistics.csv` (step, parameter,
    gradient_norm, update_ratio) in the run's folder, a row for each parameter, and one without a
    name for all parameters of the optimizer together; in TensorBoard, in one section,
    `gradient/norm`, `gradient/norm/NAME` and `gradient/update_ratio/NAME`.

    Args:
        every: how many steps of an optimizer there are from one measurement to the next.

    Raises:
        UsageError: `every` is no whole number from 1 on.
    """

    def __init__(self, every: int = 1) -> None:
        self.every = whole_number(every, "steps")
        self._begin()

    def _begin(self) -> None:
        self._counts: dict[int, int] = {}  # steps of each optimizer, by its place
        self._shelves: dict[int, _Shelf] = {}
        self._found: list[_Found] = []
        self._measured = 0
        self._handles: list[RemovableHandle] = []
        self._path: Path | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Begin anew, unless the trainer goes on."""
        super().setup(trainer, pl_module, stage)
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
            self._handles += self._listener(trainer, place, optimizer).listen(may_go_unheard)

    def updates_unheard(self, trainer: Trainer) -> int:
        """Return how many updates there are before the next that is measured."""
        return -self._counts.get(0, 0) % self.every if self._handles else sys.maxsize

    def on_updates(
        self, trainer: Trainer, pl_module: LightningModule, losses: Tensor, batch: Any
    ) -> None:
        """Count updates that were made at once; their optimizer is the only one."""
        self._counts[0] = self._counts.get(0, 0) + len(losses)

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

    def _listener(self, trainer: Trainer, place: int, optimizer: Optimizer) -> GivenGradients:
        """Return what measures the steps of an optimizer."""
        shelf: _Shelf | None = None

        def before() -> bool:
            nonlocal shelf
            due = self._counts.get(place, 0) % self.every == 0
            shelf = self._shelf(place, optimizer) if due else None
            if shelf:
                shelf.keep_starts()
            return shelf is not None

        def given(calls: int) -> None:
            if shelf:
                shelf.keep_slopes()

        def after() -> None:
            self._counts[place] = self._counts.get(place, 0) + 1
            if shelf:
                shelf.keep_ends(self._measured, trainer.global_step)
                self._measured += 1
                if shelf.is_full():
                    self._take_norms(shelf)

        return GivenGradients(optimizer, before, given, after)

    def _shelf(self, place: int, optimizer: Optimizer) -> "_Shelf | None":
        """Return room for copies of what an optimizer moves; None where that is nothing."""
        each = [p for group in optimizer.param_groups for p in group["params"]]
        parameters = [p for p in each if p.requires_grad]
        shelf = self._shelves.get(place)
        if shelf is not None and not shelf.is_for(parameters):
            self._take_norms(shelf)
            shelf = None
        if shelf is None and parameters:
            shelf = self._shelves[place] = _Shelf(parameters)
        return shelf

    def _take_norms(self, shelf: "_Shelf") -> None:
        """Take the norms of what is on a shelf, of all steps of a parameter at once."""
        count = len(shelf.steps)
        if count:
            starts, ends, slopes = ([_rows(x, count) for x in each] for each in shelf.stacks)
            moves = [end - start for start, end in zip(starts, ends, strict=True)]
            norms = (_norms(each) for each in (slopes, moves, starts))
            names = [self._name(parameter) for parameter in shelf.parameters]
            columns = (shelf.orders, shelf.steps, repeat(names), shelf.has_slope)
            self._found += zip(*columns, *norms, strict=False)
        shelf.clear()

    def _name(self, parameter: Tensor) -> str:
        """Return a parameter's name; one that is not the module's, but an optimizer's, gets one."""
        return self._names.setdefault(id(parameter), f"unnamed_{len(self._names)}")

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
        for shelf in self._shelves.values():
            self._take_norms(shelf)
        rows = list(self._rows())
        self._found.clear()
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
        for _, step, names, has_slope, slopes, moves, sizes in sorted(self._found):
            given = list(compress(slopes, has_slope))
            whole = _ratio(math.hypot(*moves), math.hypot(*sizes))
            yield step, "", math.hypot(*given) if given else None, whole
            rows = zip(names, has_slope, slopes, moves, sizes, strict=True)
            for name, has, slope, move, size in sorted(rows):
                yield step, name, slope if has else None, _ratio(move, size)

    def state_dict(self) -> dict[str, Any]:
        """Return how many steps each optimizer made."""
        return {"counts": dict(self._counts)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting."""
        self._counts = dict(state_dict["counts"])


class _Shelf:
    """Room for copies of some parameters at some steps, which is used again and again.

    Of large ones there is room for a single step, which is given back after it.
    """

    def __init__(self, parameters: list[Tensor]) -> None:
        self.parameters = parameters
        elements = sum(map(Tensor.numel, parameters))
        self.room = max(1, min(_MOST_COPIES, _MOST_ELEMENTS // max(1, elements)))
        self.stacks: list[list[Tensor]] = []
        self.given: list[bool] = []  # which have a gradient, in the step that is made
        self.clear()

    def clear(self) -> None:
        """Forget what was kept."""
        self.orders: list[int] = []
        self.steps: list[int] = []
        self.has_slope: list[list[bool]] = []
        if self.room == 1:
            self.stacks = []

    def is_for(self, parameters: list[Tensor]) -> bool:
        """Return whether it is a shelf for these parameters."""
        return list(map(id, parameters)) == list(map(id, self.parameters))

    def is_full(self) -> bool:
        """Return whether it has no room left."""
        return len(self.steps) == self.room

    def keep_starts(self) -> None:
        """Keep the parameters as they are before a step."""
        if not self.stacks:
            shapes = [(p.detach(), (self.room, *p.shape)) for p in self.parameters]
            self.stacks = [[p.new_empty(shape) for p, shape in shapes] for _ in range(3)]
            stacks = ([stack.unbind() for stack in each] for each in self.stacks)
            self.places = [list(map(list, zip(*each, strict=True))) for each in stacks]
        copy_all(self.places[0][len(self.steps)], self.parameters)

    def keep_slopes(self) -> None:
        """Keep the gradients that a step is given."""
        slopes = [p.grad for p in self.parameters]
        pairs = zip(self.places[2][len(self.steps)], slopes, strict=True)
        given = [(place, slope.to_dense()) for place, slope in pairs if slope is not None]
        if given:
            copy_all([place for place, _ in given], [slope for _, slope in given])
        self.given = [slope is not None for slope in slopes]

    def keep_ends(self, order: int, step: int) -> None:
        """Keep the parameters as they are after a step."""
        copy_all(self.places[1][len(self.steps)], self.parameters)
        self.has_slope.append(self.given)
        self.orders.append(order)
        self.steps.append(step)


#: order and step of a measurement, and of each parameter its name, whether it had a gradient, and
#: the norms of the gradient, the update and the parameter
_Found = tuple[int, int, list[str], list[bool], list[float], list[float], list[float]]


def _rows(copies: Tensor, count: int) -> Tensor:
    """Return copies as rows in double precision, where the device has it."""
    rows = copies[:count].reshape(count, copies[0].numel())
    double = torch.promote_types(rows.dtype, torch.float64)
    return rows if rows.device.type == "mps" else rows.to(double)


def _norms(many: list[Tensor]) -> list[list[float]]:
    """Return of every step the norms of all parameters."""
    columns = [torch.linalg.vector_norm(rows, dim=1) for rows in many]
    found: list[list[float]] = torch.stack(columns, dim=1).tolist()
    return found


def _ratio(move: float, size: float) -> float:
    if size == 0:
        return math.inf if move > 0 else math.nan
    return move / size
