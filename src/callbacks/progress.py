"""One progress bar for a whole fit."""

import time
from collections.abc import Mapping
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from torch import Tensor
from tqdm import tqdm

from ..internals.lightning import call_again, pass_over
from .batch_loss import loss_of
from .instrument import Instrument


class Progress(Instrument, ProgressBar):
    """Count epochs in one bar, with the losses beside it, redrawn at intervals of time.

    A bar for every epoch and every validation costs more than the updates of a small problem, so
    there is one for all of them. A fit of one epoch counts its updates.

    Args:
        every: seconds between two drawings.
    """

    def __init__(self, every: float = 0.2) -> None:
        super().__init__()
        self.every = every
        self._enabled = True
        self._by_update = False
        self._bar: tqdm[Any] | None = None
        self._due = 0.0

    def disable(self) -> None:
        """Draw nothing; Lightning calls this on all processes but the first."""
        self._enabled = False

    def enable(self) -> None:
        """Draw again."""
        self._enabled = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the bar."""
        epochs = trainer.max_epochs or -1
        by_update = epochs <= 1
        total = trainer.estimated_stepping_batches if by_update else epochs
        self._by_update = by_update
        self._bar = tqdm(
            total=None if total in (float("inf"), -1) else int(total),
            initial=trainer.global_step if by_update else trainer.current_epoch,
            unit="update" if by_update else "epoch",
            dynamic_ncols=True,
            disable=not self._enabled,
        )
        (call_again if by_update else pass_over)(self, "on_train_batch_end")

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Redraw a bar that counts updates, if it is time."""
        if self._by_update and time.monotonic() >= self._due:
            loss = loss_of(trainer, outputs)
            extra = {} if loss is None else {"loss": float(loss)}
            self._draw(trainer, trainer.current_epoch, extra)

    def on_updates(
        self, trainer: Trainer, pl_module: LightningModule, losses: Tensor, batch: Any
    ) -> None:
        """Redraw after many updates that were made at once, if it is time."""
        self.on_train_batch_end(trainer, pl_module, losses[-1], batch, 0)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Redraw, if it is time."""
        if time.monotonic() >= self._due:
            self._draw(trainer, trainer.current_epoch + 1)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the end."""
        if self._bar is not None:
            self._draw(trainer, trainer.current_epoch)
            self._bar.close()
            self._bar = None

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Leave the bar as it is, so that a message starts on a line of its own."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _draw(
        self, trainer: Trainer, epochs: int, extra: Mapping[str, float] | None = None
    ) -> None:
        if self._bar is None or self._bar.disable:
            return
        self._due = time.monotonic() + self.every
        self._bar.n = trainer.global_step if self._by_update else epochs
        losses = {k: float(v) for k, v in trainer.callback_metrics.items() if k.startswith("loss/")}
        self._bar.set_postfix({**losses, **(extra or {})}, refresh=False)
        self._bar.refresh()
