"""A run's optimizer beside a reference, on the run's own gradients."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import OptimizerCallable
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from ..errors import RunError, UsageError
from ..internals.torch import heard_past_step
from ..runs.files import write_json
from ..runs.folder import run_to_write
from .fresh_metrics import is_new
from .given_gradients import GivenGradients
from .instrument import UpdateInstrument, whole_number
from .shadow import UNNAMED, Shadow, in_short, several_gradients


@dataclass(frozen=True)
class Departure:
    """Where a run leaves its reference for the first time.

    Attributes:
        step: how many steps of the optimizer had been made, this one included.
        parameter: its name in the module.
        index: of the entry that differs most.
        run: its value in the run.
        reference: its value beside it.
        allowed: how much rounding may make of it.
    """

    step: int
    parameter: str
    index: tuple[int, ...]
    run: float
    reference: float
    allowed: float

    @property
    def size(self) -> float:
        """How much the two differ."""
        return abs(self.run - self.reference)

    def __str__(self) -> str:
        """Return it as part of a sentence."""
        index = f"[{', '.join(map(str, self.index))}]" if self.index else ""
        return (
            f"step {self.step}, {self.parameter}{index}: {self.run:.9g} where the reference has "
            f"{self.reference:.9g} (they differ by {self.size:.2g}; rounding may make "
            f"{self.allowed:.2g})"
        )


def difference(one: Tensor, other: Tensor) -> Tensor:
    """Return by how much each entry of two tensors differs.

    It is 0 where both are NaN, or the same infinity, and infinite where one alone is.

    Example:
        >>> nan = torch.nan
        >>> difference(torch.tensor([1.0, nan, nan]), torch.tensor([3.0, nan, 0.0]))
        tensor([2., 0., inf])
    """
    same = (one == other) | (one.isnan() & other.isnan())
    apart = (one - other).abs().masked_fill(same, 0)
    return apart.nan_to_num(torch.inf, torch.inf)


class Parity(UpdateInstrument):
    r"""Step a copy of the parameters by a reference optimizer, on the run's own gradients.

    Each step of the run's optimizer is followed by one of the reference, with copies of the same
    gradients (clipped, accumulated and unscaled, as it was given them) and the same learning rate.
    Another hyperparameter is the reference's own, unless both have it and the run gives it to a
    group or changes it. Of rounding is allowed, after :math:`t` steps, with the largest entries of
    each parameter of the reference and :math:`\epsilon` the spacing of its precision at 1,

    .. math:: 4\,\epsilon\,(t + 8)\,\Bigl(\max_{s \le t}\lvert\theta_s\rvert +
        \sum_{s \le t}\lvert\theta_s - \theta_{s-1}\rvert\Bigr)

    Two entries that are both NaN do not differ; one that is NaN or infinite differs from one that
    is not by more than any bound.

    What changes the parameters between steps (a hook that clips weights, another optimizer that
    shares them) is a difference too. A run that goes on from a checkpoint without the reference's
    copies is not looked at, and a warning says so. Optimization may be automatic or manual, and
    optimizers may be several; the run is left alone, bit for bit.

    Written: `parity.json` in the run's folder, and `parity_2.json` of a second one in the trainer.

    Args:
        reference: makes the optimizer that the run is held against: a class, or a function of
            parameters (`lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9)`); where the run has
            several groups of them, it is given these.
        every: how many steps of an optimizer there are from one comparison to the next; the
            reference takes every step.
        on_difference: "record" warns at the first difference and trains on; "raise" ends the run.

    Attributes:
        steps: how many steps of optimizers were followed.
        first: where the run left the reference for the first time, or None.
        largest: the largest finite difference that was seen until then, or at all.

    Raises:
        UsageError: `every` is no whole number from 1 on, `on_difference` is another word,
            `reference` makes no optimizer of all parameters that the run trains, in its groups; or
            one of the optimizers takes several gradients a step, as LBFGS, or one that calls its
            closure twice.
        RunError: at the first difference, with `on_difference="raise"`.
    """

    def __init__(
        self,
        reference: OptimizerCallable,
        every: int = 1,
        on_difference: Literal["record", "raise"] = "record",
    ) -> None:
        self.every = whole_number(every, "steps")
        if not callable(reference):
            raise UsageError(
                f"reference = {in_short(repr(reference))} is no class and no function of "
                "parameters: give one, such as torch.optim.SGD or "
                "lambda p: torch.optim.SGD(p, lr=0.1)"
            )
        if on_difference not in ("record", "raise"):
            raise UsageError(f"on_difference is 'record' or 'raise', not {on_difference!r}")
        self.reference, self.on_difference = reference, on_difference
        self._key = f"Parity_{id(self)}"
        self._begin()

    @property
    def state_key(self) -> str:
        """What its state is kept under, of several in a trainer by their order."""
        return self._key

    def _begin(self) -> None:
        self.steps = 0
        self.first: Departure | None = None
        self.largest = 0.0
        self._shadows: list[Shadow] = []
        self._handles: list[RemovableHandle] = []
        self._path: Path | None = None
        self._saved: list[dict[str, Any]] = []

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Begin anew, unless the trainer goes on."""
        super().setup(trainer, pl_module, stage)
        others: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
        place = [each for each in others if isinstance(each, Parity)].index(self)
        self._key = f"Parity_{place + 1}" if place else "Parity"
        if stage == "fit" and is_new(trainer):
            self._begin()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Make the copies, and listen to the optimizers' steps."""
        self._path = None  # so that nothing is written where the run or the reference is refused
        self._names = {id(p): name for name, p in pl_module.named_parameters()}
        self._shadows = [Shadow(each, self.reference, self._names) for each in trainer.optimizers]
        run = run_to_write(trainer)
        self._path = None if run is None else run.folder / f"{self._key.lower()}.json"
        if self._saved:
            for shadow, saved in zip(self._shadows, self._saved, strict=True):
                shadow.load(saved)
            self._saved = []
        elif any(each.state for each in trainer.optimizers):
            self._shadows = []
            rank_zero_warn(
                "Parity looks at nothing: the run goes on from a checkpoint that has no state of "
                "the reference. Start it with Parity from the beginning"
            )
        for shadow, optimizer in zip(self._shadows, trainer.optimizers, strict=False):
            self._handles += self._follower(shadow, optimizer).listen(heard_past_step)

    def _follower(self, shadow: Shadow, optimizer: Optimizer) -> GivenGradients:
        def before() -> bool:
            shadow.grow(optimizer)
            return self.first is None

        def given(calls: int) -> None:
            if calls > 1:
                self._path = None
                raise several_gradients(optimizer)
            shadow.keep_gradients(optimizer)

        def after() -> None:
            self.steps += 1
            if self.first is None:
                shadow.note(optimizer)
                if shadow.noted % self.every == 0:
                    self._compare(shadow, optimizer)

        return GivenGradients(optimizer, before, given, after)

    @torch.no_grad()
    def _compare(self, shadow: Shadow, optimizer: Optimizer) -> None:
        shadow.catch_up()
        for parameter, copy, allowed in shadow.beside(optimizer):
            if not copy.numel() or torch.equal(parameter, copy):
                continue
            apart = difference(parameter, copy)
            size, most = float(apart.max()), float(allowed)
            self.largest = max(self.largest, float(apart.nan_to_num(0, 0).max()))
            if size > most:
                index = tuple(map(int, torch.unravel_index(apart.argmax(), apart.shape)))
                run, reference = (float(v[index].real) for v in (parameter, copy))
                name = self._names.get(id(parameter), UNNAMED)
                self.first = Departure(shadow.steps, name, index, run, reference, most)
                self._say()
                return

    def _say(self) -> None:
        said = f"the run leaves its reference at {self.first}"
        if self.on_difference == "raise":
            raise RunError(said)
        rank_zero_warn(said)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write what was found."""
        self._write()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Write what was found, of a run that ends before its time."""
        self._write()

    def _write(self) -> None:
        if self._path is None:
            return
        first = None if self.first is None else {**asdict(self.first), "size": self.first.size}
        found = {"steps": self.steps, "largest": self.largest, "first": first}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_json(self._path, found)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Listen no more."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def state_dict(self) -> dict[str, Any]:
        """Return the copies and the reference's state."""
        first = None if self.first is None else asdict(self.first)
        shadows = [shadow.state() for shadow in self._shadows]
        return {"steps": self.steps, "largest": self.largest, "first": first, "shadows": shadows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on beside the reference of an earlier run."""
        self.steps, self.largest = state_dict["steps"], state_dict["largest"]
        self.first = state_dict["first"] and Departure(**state_dict["first"])
        self._saved = state_dict["shadows"]
