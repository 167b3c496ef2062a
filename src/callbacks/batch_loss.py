"""The loss of every update, in order."""

import math
from array import array
from bisect import bisect_left
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import Any, TextIO

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor
from torch.optim import LBFGS, Optimizer

from ..datamodules.processes import mean_over_processes
from ..errors import RunError
from ..optimizers import Rule
from ..optimizers.stability import predicted_rate
from ..runs.files import replacing
from ..runs.folder import goes_on, log_series, run_to_write
from ..runs.logged_before import read_losses
from .fresh_metrics import is_new
from .instrument import Instrument
from .stability import Stability

FLUSH_EVERY = 64  # updates: so long may a loss that is not finite go unseen within an epoch


class BatchLoss(Instrument):
    """Keep the loss of every update, write all once an epoch, and stop when one is not finite.

    A row is an update. Its loss is that of its batch with the parameters before the update, and
    its step the number of updates made before it, which is `trainer.global_step` then, the axis of
    `metrics.csv` and of TensorBoard. So:

    - where `accumulate_grad_batches` makes one update of several batches, their mean loss, as the
      module gave it (Lightning hands on a fraction);
    - where an optimizer calls its closure several times an update (LBFGS), the loss of the first
      call;
    - where one training step makes several updates by hand, one row with the step of the first;
    - where a training step gives no loss (`None` skips a batch), no row.

    Written: `batch_losses.csv` (epoch, step, loss) in the run's folder, and `loss/batch` in
    TensorBoard. Losses stay on their device until they are fetched, many at a time. A second fit of
    one trainer goes on with the rows of the first, a second trainer begins anew.

    Args:
        stop_if_not_finite: whether a NaN or infinite loss ends the run.

    Attributes:
        first_step: the number of updates before this fit; not 0 where it resumed.
        updates_per_epoch: how many updates the last finished epoch had.

    Raises:
        RunError: if a loss is not finite, with the step, the last finite loss and, where the
            module knows its curvature, the bound on the learning rate.
    """

    def __init__(self, stop_if_not_finite: bool = True) -> None:
        self.stop_if_not_finite = stop_if_not_finite
        self._begin()

    def _begin(self) -> None:
        self._losses = array("d")
        self._steps = array("q")
        self.first_step = 0
        self.updates_per_epoch = 0
        self._pending: list[tuple[int, Tensor]] = []  # the first step, and the losses from it on
        self._waiting = 0  # how many updates these are
        self._path: Path | None = None
        self._file: TextIO | None = None
        self._batch: Any = None
        self._told = False

    @property
    def losses(self) -> list[float]:
        """The losses of this fit so far, in order."""
        return self._losses.tolist()

    @property
    def steps(self) -> list[int]:
        """The step of each of the losses."""
        return self._steps.tolist()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Begin anew, unless the trainer goes on."""
        if stage == "fit" and is_new(trainer):
            self._begin()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the file, and see whether an update may call its closure several times."""
        self._step = trainer.global_step
        kept = bisect_left(self._steps, self._step)
        del self._losses[kept:], self._steps[kept:]
        self.first_step = self._steps[0] if self._steps else self._step
        self._written = kept
        self._accumulated: list[Tensor] = []
        self._first_call: Tensor | None = None
        if pl_module.automatic_optimization and not all(map(_calls_once, trainer.optimizers)):
            self.on_before_backward = self._keep_first_call  # type: ignore[method-assign]  # for these alone: a hook costs 3 µs an update
        run = run_to_write(trainer)
        if run is not None:
            self._file = self._open(run.batch_losses, goes_on(trainer))
        self.on_train_epoch_start(trainer, pl_module)  # not called where a run goes on in mid-epoch

    def _open(self, path: Path, goes_on: bool) -> TextIO:
        """Open the file, with the rows in it that are of this run, and of updates before."""
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = read_losses(path) if goes_on or path == self._path else []
        before = [row for row in rows if row[1] < self._step]
        self._path = path
        with replacing(path) as file:
            file.write("epoch,step,loss\n")
            file.writelines(f"{epoch},{step},{loss!r}\n" for epoch, step, loss in before)
        if before and not self._steps:  # of the process before this one
            self._steps.extend(row[1] for row in before)
            self._losses.extend(row[2] for row in before)
            self.first_step, self._written = self._steps[0], len(before)
            self.updates_per_epoch = sum(row[0] == before[-1][0] for row in before)
        return path.open("a")

    def _keep_first_call(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        if self._first_call is None:
            self._first_call = loss.detach()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note where the epoch starts."""
        self._epoch_step, self._epoch_row = trainer.global_step, len(self._losses)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keep the loss of one update, if one was made."""
        if self._first_call is not None:
            outputs, self._first_call = self._first_call, None
        loss = loss_of(trainer, outputs)
        whole = trainer.world_size == 1 or getattr(pl_module, "gives_whole_loss", False)
        if loss is not None and not whole:
            loss, _ = mean_over_processes(loss, batch)
        self._batch = batch
        if loss is not None:
            self._accumulated.append(loss.reshape(-1))
        step, self._step = self._step, trainer.global_step
        if step == self._step or not self._accumulated:
            return
        one = len(self._accumulated) == 1
        loss = self._accumulated[0] if one else torch.cat(self._accumulated).mean().reshape(1)
        self._accumulated.clear()
        self._pending.append((step, loss))
        self._waiting += 1
        if self.most_updates() < 1:
            self._fetch(trainer, pl_module)

    def on_updates(
        self, trainer: Trainer, pl_module: LightningModule, losses: Tensor, batch: Any
    ) -> None:
        """Keep the losses of many updates that were made at once, shape (updates,)."""
        step, self._step = self._step, trainer.global_step
        self._batch = batch
        self._pending.append((step, losses))
        self._waiting += len(losses)
        if self.most_updates() < 1:
            self._fetch(trainer, pl_module)

    def most_updates(self) -> int:
        """Return after how many updates the losses are looked at next."""
        return FLUSH_EVERY - self._waiting

    def _fetch(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Bring the pending losses over from their device, and look at them."""
        fresh = self._take_pending()
        if self.stop_if_not_finite and not all(map(math.isfinite, fresh)):
            self._stop(trainer, pl_module)

    def _take_pending(self) -> list[float]:
        if not self._pending:
            return []
        fetched: list[float] = torch.cat([losses for _, losses in self._pending]).tolist()
        for step, losses in self._pending:
            self._steps.extend(range(step, step + losses.numel()))
        self._pending.clear()
        self._waiting = 0
        self._losses.extend(fetched)
        return fetched

    def _stop(self, trainer: Trainer, pl_module: LightningModule) -> None:
        bad = next(i for i, loss in enumerate(self._losses) if not math.isfinite(loss))
        if bad:
            bound = _bound(trainer, pl_module, self._batch)
            before = f"the last finite loss was {self._losses[bad - 1]:.6g}{bound}"
        else:
            before = (
                "it was the first, before any update: look at the data, the start, the precision"
            )
        raise RunError(
            f"the loss at step {self._steps[bad]} (epoch {trainer.current_epoch}) is "
            f"{self._losses[bad]}: {before}"
        )

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the losses before anything is measured with the parameters that they led to."""
        self._fetch(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the epoch's losses."""
        if trainer.global_step == self._epoch_step and not pl_module.automatic_optimization:
            first = self._steps[-1] + 1 if self._steps else self._step
            self._pending += enumerate(self._accumulated, start=first)  # of updates not counted
            self._accumulated.clear()
        self._fetch(trainer, pl_module)
        self.updates_per_epoch = len(self._losses) - self._epoch_row
        if not self._losses and not self._told:
            self._told = True
            rank_zero_warn(
                f"{type(pl_module).__name__}.training_step gives no loss, so that BatchLoss has "
                "nothing to keep: return the loss, or a dict with the key 'loss'"
            )
        self._write(trainer)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Write what there is, for a run that ends before its time."""
        self._take_pending()
        self._write(trainer)
        self._close()

    def _write(self, trainer: Trainer) -> None:
        if self._file is None:
            return
        epoch = trainer.current_epoch
        new = slice(self._written, None)
        fresh = list(zip(self._steps[new], self._losses[new], strict=True))
        self._file.writelines(f"{epoch},{step},{loss!r}\n" for step, loss in fresh)
        self._file.flush()
        self._written = len(self._losses)
        # one write for each stretch of steps without a gap
        for _, rows in groupby(enumerate(fresh), key=lambda row: row[1][0] - row[0]):
            stretch = [row for _, row in rows]
            log_series(trainer, "loss/batch", [loss for _, loss in stretch], stretch[0][0])

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Close the file."""
        self._close()

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _calls_once(optimizer: Optimizer) -> bool:
    """Return whether an optimizer is known to call its closure once an update."""
    of_torch = type(optimizer).__module__.startswith("torch.optim.")
    return isinstance(optimizer, Rule) or (of_torch and not isinstance(optimizer, LBFGS))


def loss_of(trainer: Trainer, outputs: Any) -> Tensor | None:
    """Return the loss that a training step gave.

    Args:
        trainer: under automatic optimization Lightning has divided the loss by its
            `accumulate_grad_batches`, which is undone.
        outputs: what Lightning hands to callbacks.

    Returns:
        The loss, detached; None where the step gave none.
    """
    if isinstance(outputs, Mapping):
        outputs = outputs.get("loss")
    if outputs is None:
        return None
    losses = torch.as_tensor(outputs).detach()
    batches = trainer.accumulate_grad_batches
    if batches > 1 and trainer.lightning_module.automatic_optimization:
        return losses * batches
    return losses


def _bound(trainer: Trainer, pl_module: LightningModule, batch: Any) -> str:
    """Return what is known of the learning rate, to be added to the message."""
    if not trainer.optimizers:
        return ""
    optimizer = trainer.optimizers[0]
    name, rate = type(optimizer).__name__, optimizer.param_groups[0]["lr"]
    curvature = getattr(pl_module, "largest_curvature", lambda batch: None)(batch)
    part = trainer.world_size > 1  # what is at hand is a part of the batch
    bound = None if curvature is None or part else predicted_rate(optimizer, curvature)
    if bound is None:
        return f"; the learning rate is {rate:g}: try a smaller one{_measured(trainer)}"
    here, rest = "here", ""
    if trainer.num_training_batches > 1:
        here, rest = "on the last batch seen", "; other batches may need a smaller one"
    low = rate < bound
    advice = "give one below that (--model.optimizer.lr), or scale data that are large"
    if low:
        advice = "look at the data and the start for values that are too large"
    return (
        f"; the learning rate is {rate:g}, {'which is low enough, as' if low else 'and'} {name} is "
        f"stable below {bound:.6g} {here} (by the largest curvature, {curvature:.6g}): "
        f"{advice}{rest}"
    )


def _measured(trainer: Trainer) -> str:
    """Return which rate is the largest by what a `Stability` in the trainer measured last."""
    watches = (one for one in trainer.callbacks if isinstance(one, Stability))  # type: ignore[attr-defined]  # one is a property
    known = [row for watch in watches for row in watch.found if row.bound is not None]
    if not known:
        return ""
    step, largest, preconditioned, bound = known[-1]
    steepest = largest if preconditioned is None else preconditioned
    return f", below {bound:.6g} by the curvature at step {step}, {steepest:.6g}"
