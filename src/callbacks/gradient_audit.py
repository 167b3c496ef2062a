"""The gradient of a run's loss, held against other ways to it."""

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor
from torch.nn import Module
from torchmetrics import Metric

from ..errors import RunError, UsageError
from ..internals.lightning import LossReached, look_on, same_draws
from ..internals.random_state import drawing
from ..runs.files import write_json, write_whole
from ..runs.folder import run_to_write
from ..verify.gradients import Audit, WrongEntry, audit
from .fresh_metrics import is_new
from .instrument import UpdateInstrument, whole_number

_HEADING = "step,verdict,slopes,parameter,index,backward,difference,allowed,forward,closed"


class GradientAudit(UpdateInstrument):
    """Hold the gradient of the loss against other ways to it, on a copy in double precision.

    They are central differences; forward mode, where each operation has one; and the closed form,
    where the module has `closed_gradient(batch)`, as `ToyObjective`, `LinearDynamics` and
    `LinearRegression` have, for all that is trained.

    At the first batch of every so many updates the module is copied and made float64, and its
    training step is asked for the loss of the batch: what it returns, or under manual optimization
    what it first gives to `manual_backward`. `descentlab.verify.gradients.audit` says what is
    compared, and how far apart the two may be. Random numbers are the same in each evaluation,
    buffers are put back in between, and nothing is logged. The run is left alone, bit for bit, the
    global random state too.

    An entry at which they differ is named. Kinks (ReLU, abs, max) are never taken for errors. Of a
    loss that is another at each evaluation nothing is compared ("not deterministic"), nor of one
    that is NaN or infinite ("not finite"). Complex and frozen
    parameters are left out. A loss that cannot be computed on the copy is not looked at, and a
    warning says so.

    Written: `gradient_audit.csv` in the run's folder, a row for each audit and, where entries are
    wrong, for each of them; and `gradient_audit.json`, with the first that was wrong, how many
    audits compared nothing, the ways of the last one that did, and why forward mode was none of
    them, where it was not. Both at the end of an epoch, and where a run ends early.

    Args:
        every: how many updates there are from one audit to the next; one takes some 140 evaluations
            of the loss, 500 of one that is not smooth, 1000 at most where something is wrong.
        on_difference: "record" warns at the first wrong entry and trains on; "raise" ends the run.

    Attributes:
        found: the step (updates made before) and the audit, of each.

    Raises:
        UsageError: `every` is no whole number from 1 on, `on_difference` is another word, or there
            are several processes.
        RunError: at the first wrong entry, with `on_difference="raise"`.
    """

    def __init__(
        self, every: int = 1000, on_difference: Literal["record", "raise"] = "record"
    ) -> None:
        if on_difference not in ("record", "raise"):
            raise UsageError(f"on_difference is 'record' or 'raise', not {on_difference!r}")
        self.every, self.on_difference = whole_number(every, "updates"), on_difference
        self._begin()

    def _begin(self) -> None:
        self.found: list[tuple[int, Audit]] = []
        self._folder: Path | None = None
        self._off, self._next, self._written = False, 0, 0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Begin anew, unless the trainer goes on."""
        super().setup(trainer, pl_module, stage)
        if stage == "fit" and trainer.world_size > 1:
            raise UsageError("GradientAudit looks at one process: give --trainer.devices 1")
        if stage == "fit" and is_new(trainer):
            self._begin()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note where to write."""
        run = run_to_write(trainer)
        self._folder = None if run is None else run.folder
        self._written = 0  # rows: an earlier fit's may be damaged, or of later steps

    def updates_unheard(self, trainer: Trainer) -> int:
        """Return how many updates there are before the next audit."""
        return self.every if self._off else max(0, self._next - trainer.global_step)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Audit, where it is time."""
        step = trainer.global_step
        if self._off or step < self._next:
            return
        self._next = (step // self.every + 1) * self.every
        try:
            with same_draws():
                audited = audit_of(pl_module, batch, batch_idx, step)
        except Exception as error:  # whatever a step of somebody's raises on a copy
            self._off = True
            why = " ".join(str(error).split())[:200]
            rank_zero_warn(f"GradientAudit looks at nothing: {type(error).__name__}: {why}")
            return
        new = bool(audited.wrong) and not any(each.wrong for _, each in self.found)
        self.found.append((step, audited))
        if new:
            said = f"the gradient is wrong at step {step}, {audited.wrong[0]}"
            if self.on_difference == "raise":
                raise RunError(said)
            rank_zero_warn(said)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write what was found."""
        self._write()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Write what was found, of a run that ends before its time."""
        self._write()

    def _write(self) -> None:
        if self._folder is None or self._written == len(self.found):
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        lines = [line for step, each in self.found for line in _lines(step, each)]
        table = "\n".join([_HEADING, *lines]) + "\n"
        write_whole(self._folder / "gradient_audit.csv", table)
        wrong = [{"step": s, **asdict(each.wrong[0])} for s, each in self.found if each.wrong]
        compared = [each for _, each in self.found if each.slopes]
        last = compared[-1] if compared else None
        report = {
            "audits": len(self.found),
            "first": wrong[0] if wrong else None,
            "compared_nothing": len(self.found) - len(compared),
            "ways": last.ways if last else [],
            "no_forward": last.no_forward if last else "",
        }
        write_json(self._folder / "gradient_audit.json", report)
        self._written = len(self.found)

    def state_dict(self) -> dict[str, Any]:
        """Return what was found so far."""
        return {"found": [[step, asdict(each)] for step, each in self.found], "next": self._next}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the audits of an earlier run."""
        self._next = state_dict["next"]
        self.found = [
            (step, Audit(**{**each, "wrong": tuple(WrongEntry(**w) for w in each["wrong"])}))
            for step, each in state_dict["found"]
        ]


def audit_of(module: LightningModule, batch: Any, batch_idx: int, seed: int = 0) -> Audit:
    """Audit the gradient of a module's training loss on a batch, on a copy of it.

    Args:
        module: in a fit; left as it is, but random numbers are drawn.
        batch: what its training step takes.
        batch_idx: its number.
        seed: of the entries and directions that are looked at.

    Raises:
        RuntimeError: no real parameter is trained, or the step gives no loss.
    """
    with torch.enable_grad(), _double_by_default():
        wide = _widened(module)
        look_on(wide, module)
        parameters = {
            name: p for name, p in wide.named_parameters() if p.requires_grad and not p.is_complex()
        }
        if not parameters:
            raise RuntimeError("no real parameter is trained")
        closed = _closed_form(wide, apply_to_collection(batch, Tensor, _wide))
        if closed is not None and len(closed) != sum(map(Tensor.numel, parameters.values())):
            closed = None  # some are frozen, or a class further down has more
        return audit(_Loss(wide, batch, batch_idx), parameters, seed, closed)


def _closed_form(wide: LightningModule, batch: Any) -> Tensor | None:
    """Return the gradient by the module's own formula, in one row; None where it has none."""
    for kind in type(wide).__mro__:
        if "closed_gradient" in vars(kind):
            found: Tensor | None = wide.closed_gradient(batch)  # type: ignore[operator]
            return None if found is None else found.detach().reshape(-1)
        if vars(kind).keys() & {"loss", "forward", "training_step"}:
            break  # the formula is of another loss
    return None


def _widened(module: LightningModule) -> LightningModule:
    gradients = [(p, p.grad) for p in module.parameters()]
    for p, _ in gradients:
        p.grad = None  # a copy needs none
    try:
        # what makes things, as an optimizer, is shared: it may hold what cannot be copied
        shared = [v for v in vars(module).values() if callable(v) and not isinstance(v, Module)]
        known: dict[int, Any] = {id(each): each for each in shared}
        kept = [value for part in module.modules() for value in vars(part).values()]
        for tensor in _tensors(kept):  # hidden states with a graph, which cannot be copied; masks
            if not (tensor.is_leaf and tensor.requires_grad):
                known[id(tensor)] = _wide(tensor.detach().clone())
        wide = copy.deepcopy(module, known).double()
    finally:
        for p, gradient in gradients:
            p.grad = gradient
    for part in wide.modules():
        if isinstance(part, Metric):  # which `double` leaves as it is
            part.set_dtype(torch.float64)
    return wide


def _tensors(value: Any) -> Iterator[Tensor]:
    """Yield the tensors in a value, in lists, tuples, mappings and dataclasses, too."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from _tensors(list(value.values()))
    elif is_dataclass(value) and not isinstance(value, type):
        yield from _tensors(list(vars(value).values()))
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _tensors(each)


class _Loss:
    """Computes the loss of a copy's step on a batch, the same each time."""

    def __init__(self, wide: LightningModule, batch: Any, batch_idx: int) -> None:
        self.wide, self.batch_idx = wide, batch_idx
        self.batch = apply_to_collection(batch, Tensor, _wide)
        self.buffers = [(each, each.clone()) for each in wide.buffers()]
        self.attributes = [(vars(part), dict(vars(part))) for part in wide.modules()]
        self.draws: bool | None = None  # random numbers; None before it is known

    def __call__(self) -> Tensor:
        with torch.no_grad():
            for buffer, kept in self.buffers:
                buffer.copy_(kept)
        for now, before in self.attributes:  # a step may keep something for the next one
            now.clear()
            now.update(before)
        if self.draws is None:
            given, self.draws = drawing(self._step)
        else:
            with same_draws() if self.draws else nullcontext():
                given = self._step()
        value = given["loss"] if isinstance(given, dict) else given
        if not isinstance(value, Tensor):
            raise RuntimeError("the training step gives no loss")
        return value

    def _step(self) -> Any:
        try:
            return self.wide.training_step(_apart(self.batch), self.batch_idx)
        except LossReached as reached:
            return reached.loss


def _apart(batch: Any) -> Any:
    """Return a copy of a batch, which a step may change."""
    if type(batch) in (list, tuple) and all(type(each) is Tensor for each in batch):
        return type(batch)([each.detach().clone() for each in batch])  # a third of the time
    return copy.deepcopy(batch)


def _wide(values: Tensor) -> Tensor:
    return values.double() if values.is_floating_point() else values


@contextmanager
def _double_by_default() -> Any:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _lines(step: int, found: Audit) -> list[str]:
    """Return the rows of an audit, one for each wrong entry, or one."""
    start = f"{step},{found.verdict},{found.slopes}"
    if not found.wrong:
        return [f"{start},,,,,,,"]
    return [
        f"{start},{each.parameter},{' '.join(map(str, each.index))},"
        + ",".join(
            "" if value is None else repr(value)
            for value in (each.backward, each.difference, each.allowed, each.forward, each.closed)
        )
        for each in found.wrong
    ]
