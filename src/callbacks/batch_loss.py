"""The loss of every update, in order."""

import math
from collections.abc import Mapping
from typing import Any, TextIO, cast

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from ..datamodules import Chunk
from ..errors import RunError, UsageError
from ..internals.lightning import batches_trained
from ..runs.folder import log_series, run_to_write
from .instrument import Instrument

FLUSH_EVERY = 64  # updates: so long may a loss that is not finite go unseen within an epoch


class BatchLoss(Instrument):
    """Keep the loss of every update, write all once an epoch, and stop when one is not finite.

    A loss belongs to the parameters before its update: step k is the loss after k updates.
    Written: `batch_losses.csv` (epoch, step, loss) in the run's folder, and `loss/batch` in
    TensorBoard. Losses stay on their device until they are fetched, many at a time.

    Args:
        stop_if_not_finite: whether a NaN or infinite loss ends the run.

    Attributes:
        losses: the losses of this fit so far, in order.
        first_step: the number of updates before this fit; not 0 where it resumed.

    Raises:
        RunError: if a loss is not finite, with the step, the last finite loss and, where the
            module knows its curvature, the bound on the learning rate.
        UsageError: if the module's `training_step` gives no loss.
    """

    def __init__(self, stop_if_not_finite: bool = True) -> None:
        self.stop_if_not_finite = stop_if_not_finite
        self.losses: list[float] = []
        self.first_step = 0
        self._pending: list[Tensor] = []
        self._written = 0
        self._before = 0  # updates of the run that this one goes on with
        self._file: TextIO | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the file."""
        self.losses, self._pending, self._written = [], [], 0
        self.first_step = self._before or batches_trained(trainer)
        self._before = 0
        run = run_to_write(trainer)
        if run is not None:
            run.folder.mkdir(parents=True, exist_ok=True)
            self._file = run.batch_losses.open("w")
            self._file.write("epoch,step,loss\n")

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keep the loss of one update."""
        loss = losses_of(outputs)
        if loss is None:
            raise UsageError(
                f"{type(pl_module).__name__}.training_step gives no loss, so that BatchLoss has "
                "nothing to keep: return the loss, or a dict with the key 'loss'"
            )
        self._pending.append(loss.reshape(-1))
        if len(self._pending) >= FLUSH_EVERY:
            self._fetch(trainer, pl_module, batch)
        self._batch = batch

    def _fetch(self, trainer: Trainer, pl_module: LightningModule, batch: Any) -> None:
        """Bring the pending losses over from their device, and look at them."""
        if not self._pending:
            return
        fetched = torch.cat(self._pending).tolist()
        self._pending.clear()
        self.losses += fetched
        if self.stop_if_not_finite and not math.isfinite(math.fsum(fetched)):
            self._stop_if_any(trainer, pl_module, batch)

    def _stop_if_any(self, trainer: Trainer, pl_module: LightningModule, batch: Any) -> None:
        bad = next((i for i, loss in enumerate(self.losses) if not math.isfinite(loss)), None)
        if bad is None:
            return
        step = self.first_step + bad
        before = (
            f"the last finite loss was {self.losses[bad - 1]:.6g}" if bad else "it was the first"
        )
        raise RunError(
            f"the loss at step {step} (epoch {trainer.current_epoch}) is {self.losses[bad]}: "
            f"{before}{_bound(trainer, pl_module, batch)}"
        )

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the losses before anything is measured with the parameters that they led to."""
        self._fetch(trainer, pl_module, getattr(self, "_batch", None))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the epoch's losses."""
        self._fetch(trainer, pl_module, self._batch)
        self._write(trainer)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Write what there is, for a run that ends before its time."""
        if self._pending:
            self.losses += torch.cat(self._pending).tolist()
            self._pending.clear()
        self._write(trainer)
        self._close()

    def state_dict(self) -> dict[str, Any]:
        """Return the number of updates so far."""
        return {"updates": self.first_step + len(self.losses) + sum(map(len, self._pending))}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting where the run was."""
        self._before = state_dict["updates"]

    def _write(self, trainer: Trainer) -> None:
        if self._file is None:
            return
        fresh = self.losses[self._written :]
        first = self.first_step + self._written
        epoch = trainer.current_epoch
        self._file.writelines(
            f"{epoch},{step},{loss!r}\n" for step, loss in enumerate(fresh, start=first)
        )
        self._file.flush()
        self._written = len(self.losses)
        log_series(trainer, "loss/batch", fresh, first)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Close the file."""
        self._close()

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def losses_of(outputs: Any) -> Tensor | None:
    """Return the loss of a training step, or the losses of all its updates; None without one."""
    if isinstance(outputs, Mapping):
        outputs = outputs.get("losses", outputs.get("loss"))
    return cast(Tensor | None, outputs)


def _bound(trainer: Trainer, pl_module: LightningModule, batch: Any) -> str:
    """Return what is known of the learning rate, to be added to the message."""
    rate = trainer.optimizers[0].param_groups[0]["lr"]
    if isinstance(batch, Chunk):
        batch = batch.batches()[-1]
    curvature = getattr(pl_module, "largest_curvature", lambda batch: None)(batch)
    if curvature is None:
        return f"; the learning rate is {rate:g}: try a smaller one"
    return (
        f"; the learning rate is {rate:g}, and gradient descent is stable below "
        f"{2 / curvature:.6g} here (2 / largest curvature {curvature:.6g})"
    )
