"""Base class of the modules: one loss, two ways to descend it, and the loss on whole sets."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, Literal

from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_warn
from lightning.pytorch.utilities.model_helpers import is_overridden
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from torchmetrics import MeanMetric, Metric, SumMetric

from ..datamodules.processes import batch_rows, check_divides
from ..datamodules.set_names import set_names
from ..errors import UsageError
from ..internals.lightning import (
    LeanModule,
    carry_updates,
    divides_loaders,
    is_attached,
    set_metrics,
    training_loader,
    with_signature,
)
from ..internals.many_updates import take_turns
from ..internals.torch import method_of
from ..optimizers import GradientDescent
from ..optimizers.resumed import configured, prefer_configured
from .chunks import ChunkDescent
from .closures import needs_closure
from .plain import is_plain
from .shared_loss import of_all_processes

NEVER = 2**62  # in how many epochs Lightning is to step a scheduler that is stepped here


class DescentModule(LeanModule, ABC):
    """Parameters, a loss on a batch and an optimizer, with automatic or manual optimization.

    Automatic means that Lightning zeroes the gradients, goes backward and steps; manual means that
    `descend` does so, in three lines that can be read and changed. Both give the same parameters,
    bit for bit, count the same `global_step` and step the scheduler at the same places.

    Args:
        optimizer: makes the optimizer from the parameters: a rule of `descentlab.optimizers` or
            any `torch.optim` class.
        lr_scheduler: makes the scheduler from the optimizer; stepped at the end of every epoch.
            `ReduceLROnPlateau` watches `loss/val`, or `loss/train` where nothing is held out.
        manual_optimization: whether the update is written out in `descend`.
        compile: whether many updates at a time are one function, compiled by torch.compile, where
            a rule of `descentlab.optimizers` makes them; equal within rounding.
    """

    #: how the losses of several batches make the loss of a set
    reduction: ClassVar[Literal["mean", "sum"]] = "mean"
    #: what the loss is, for the figures: to be given anew by a class that has a `loss` of its own
    quantity: ClassVar[str] = "loss"
    #: that under several processes a training step gives the loss of the whole batch
    gives_whole_loss: ClassVar[bool] = True
    #: False to let the gradients of all steps add up
    zeroes_gradients = True

    def __init__(
        self,
        optimizer: OptimizerCallable = GradientDescent,
        lr_scheduler: LRSchedulerCallable | None = None,
        manual_optimization: bool = False,
        compile: bool = False,
    ) -> None:
        super().__init__()
        self.compiles = compile
        self.automatic_optimization = not manual_optimization
        self._make_optimizer = optimizer
        self._make_scheduler = lr_scheduler
        self._configured: dict[str, Any] | None = None  # as `configured` returns it
        self._set_metrics: dict[str, Metric] = {}
        self._validated = False  # whether, in a fit, a validation was made
        self._last_watched: Tensor | None = None
        self.save_hyperparameters(logger=False)
        for name in [name for name, value in self.hparams.items() if not is_plain(value)]:
            del self.hparams[name]  # a checkpoint holds plain types alone

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy has; it makes metrics of its own where it measures."""
        return {**super().__getstate__(), "_set_metrics": {}}

    @abstractmethod
    def loss(self, batch: Any) -> Tensor:
        """Return the loss of one batch, a tensor without dimensions."""

    def largest_curvature(self, batch: Any) -> float | None:
        r"""Return the largest eigenvalue of the loss's Hessian on a batch, where it is known.

        Gradient descent with a constant step is stable on a quadratic for a learning rate below
        :math:`2 / \lambda_{max}`.
        """
        return None

    def closed_gradient(self, batch: Any) -> Tensor | None:
        """Return the gradient of the loss on a batch by a formula, as one row, where it is known.

        The parameters follow each other in it. `GradientAudit` looks at it, unless a class further
        down has another `loss` or `forward`.
        """
        return None

    def minimiser(self, batch: Any) -> Tensor | None:
        """Return the parameters of the least loss on a batch, one behind the other, where known."""
        return None

    @with_signature
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return the loss of the batch; under manual optimization make the update too.

        Under several processes it is the loss of the whole batch, see `of_all_processes`.
        Where nothing looks at single updates, many are made without it: see `ChunkDescent`.
        """
        loss = self.loss(batch)
        if self.trainer.world_size > 1:
            loss = of_all_processes(loss, batch, self.reduction)
        if not self.automatic_optimization:
            self.descend(loss)
            self.step_schedulers()
        return loss

    def descend(self, loss: Tensor) -> None:
        """Make one update by hand: zero the gradients, go backward, step."""
        optimizer: Any = self.optimizers()
        if self.zeroes_gradients:
            optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()

    def descends_as_written(self) -> bool:
        """Return whether `descend`, and all that it calls, is what this class has."""
        return all(
            method_of(self, name) is method_of(DescentModule, name)
            for name in ("descend", "manual_backward", "backward", "optimizers")
        )

    def step_schedulers(self) -> None:
        """Step the schedulers at an epoch's end, which Lightning does in automatic runs alone."""
        if self.trainer.is_last_batch:
            for scheduler in self._schedulers():
                if not isinstance(scheduler, ReduceLROnPlateau):
                    scheduler.step()

    def optimizer_zero_grad(self, *args: Any) -> None:
        """Zero the gradients in automatic runs, where they are to be zeroed."""
        if self.zeroes_gradients:
            super().optimizer_zero_grad(*args)

    def on_validation_model_zero_grad(self) -> None:
        """Free the gradients' memory during validation, unless they are to add up."""
        if self.zeroes_gradients:
            super().on_validation_model_zero_grad()

    def on_fit_start(self) -> None:
        """Forget the optimizer of an earlier fit.

        Raises:
            UsageError: if updates are to be compiled, and made one by one; if the scheduler
                watches what is never measured; if gradients are to be accumulated that cannot be.
        """
        super().on_fit_start()
        self._validated, self._last_watched = False, None
        self._check_plateau()
        self._check_accumulation()
        chunk: Any = getattr(self.trainer.datamodule, "chunk", "auto")  # type: ignore[attr-defined]
        self.check_chunk(chunk)
        if divides_loaders(self.trainer):
            check_divides(training_loader(self.trainer), self.trainer.world_size)
        if chunk != 1:
            take_turns(self.trainer, ChunkDescent(self, DescentModule, chunk))

    def check_chunk(self, chunk: int | Literal["auto"]) -> None:
        """Refuse to compile where updates are to be made one by one.

        Raises:
            UsageError: saying what to leave out.
        """
        if self.compiles and chunk == 1:
            raise UsageError(
                "model.compile = true compiles many updates at once, and data.chunk is 1: leave "
                "data.chunk out"
            )

    def on_train_epoch_end(self) -> None:
        """Step a scheduler that watches a metric, so that a checkpoint of this epoch has it.

        It is stepped where the metric was measured since the last time, and else waits.
        """
        for scheduler in self._schedulers():
            if isinstance(scheduler, ReduceLROnPlateau):
                value = self._watched(scheduler)
                if value is not None:
                    scheduler.step(value)

    def _schedulers(self) -> list[LRScheduler | ReduceLROnPlateau]:
        return [config.scheduler for config in self.trainer.lr_scheduler_configs]

    def _watched(self, scheduler: ReduceLROnPlateau) -> Tensor | None:
        """Return the metric of a scheduler; None if it was not measured since the last time."""
        default = "loss/val" if "val" in self._set_names() else "loss/train"
        name, logged = getattr(scheduler, "monitor", default), self.trainer.callback_metrics
        value, last = logged.get(name), self._last_watched
        if value is None and (self._validated or not self.trainer.enable_validation):
            raise UsageError(
                f"lr_scheduler.monitor = {name} is not logged: give one of "
                f"{', '.join(sorted(logged)) or 'those that a validation measures'}"
            )
        self._last_watched = value
        # Lightning may hand out another view of the same value
        stale = value is not None and last is not None and value.data_ptr() == last.data_ptr()
        return None if stale else value

    def _check_plateau(self) -> None:
        """Refuse a scheduler that watches what no validation will measure."""
        for scheduler in self._schedulers():
            watches = isinstance(scheduler, ReduceLROnPlateau) and not hasattr(scheduler, "monitor")
            if watches and not self.trainer.enable_validation:
                raise UsageError(
                    "ReduceLROnPlateau watches the loss that a validation measures, and there is "
                    "none: give data for it and trainer.limit_val_batches above 0, or another "
                    "lr_scheduler"
                )

    def _check_accumulation(self) -> None:
        """Refuse to accumulate where a step measures the loss anew: it has the last batch alone."""
        batches = self.trainer.accumulate_grad_batches
        for optimizer in self.trainer.optimizers:
            if batches > 1 and needs_closure(optimizer):
                raise UsageError(
                    f"trainer.accumulate_grad_batches = {batches}: {type(optimizer).__name__} "
                    "measures the loss anew within a step, and would add up gradients of the last "
                    "batch alone: leave it out, or give a larger data.batch_size"
                )

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Make the optimizer, and the scheduler if one was given."""
        optimizer, scheduler = self.optimizer_and_scheduler()
        self._configured = configured(optimizer, scheduler)
        if scheduler is None:
            return optimizer
        if not self.automatic_optimization:
            return [optimizer], [scheduler]
        # Lightning would step a plateau's scheduler after the checkpoints of the epoch
        frequency = NEVER if isinstance(scheduler, ReduceLROnPlateau) else 1
        return {
            "optimizer": optimizer,
            "lr_scheduler": {
                "scheduler": scheduler,
                "monitor": "loss/train",
                "frequency": frequency,
            },
        }

    def optimizer_and_scheduler(
        self,
    ) -> tuple[Optimizer, LRScheduler | ReduceLROnPlateau | None]:
        """Make the optimizer and the scheduler, if one was given, as they are configured."""
        optimizer = self._make_optimizer(self.parameters())
        if self._make_scheduler is None:
            return optimizer, None
        scheduler = self._make_scheduler(optimizer)
        for group in optimizer.param_groups:  # ReduceLROnPlateau does not keep where it began
            group.setdefault("initial_lr", group["lr"])
        return optimizer, scheduler

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what the optimizer and its scheduler were made with."""
        if self._configured is not None:
            checkpoint["configured"] = self._configured

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Let what is configured win over what was saved, where training goes on.

        Raises:
            UsageError: if the checkpoint is of another optimizer.
        """
        if not is_attached(self):
            self._warn_of_another_optimizer(checkpoint)
            return
        # Lightning converts after loading: float64 parameters would have passed through float32
        self.trainer.precision_plugin.convert_module(self)
        same = checkpoint["state_dict"].keys() == self.state_dict().keys()
        one = len(checkpoint.get("optimizer_states", [])) == 1
        if self.trainer.state.fn != TrainerFn.FITTING:
            return
        carry_updates(checkpoint, self.automatic_optimization)
        if same and one:
            self._prefer_configured(checkpoint)

    def _warn_of_another_optimizer(self, checkpoint: dict[str, Any]) -> None:
        """Say that a module made anew from a checkpoint would train otherwise than it did."""
        before = checkpoint.get("configured")
        if before is None or before == configured(*self.optimizer_and_scheduler()):
            return
        values = ", ".join(f"{name}={value}" for name, value in before["hyperparameters"].items())
        scheduler = f" and {before['scheduler']}" * (before["scheduler"] != "none")
        rank_zero_warn(
            f"{type(self).__name__} was trained by {before['optimizer']}({values}){scheduler}, and "
            "is made with another optimizer or scheduler: to train it as before, give them to "
            "load_from_checkpoint(…, optimizer=…, lr_scheduler=…)"
        )

    def _prefer_configured(self, checkpoint: dict[str, Any]) -> None:
        if "configured" not in checkpoint:
            if is_overridden("configure_optimizers", self, DescentModule):
                return
            raise UsageError(
                "the checkpoint does not say what its optimizer was made with: call "
                f"super().on_save_checkpoint(checkpoint) in {type(self).__name__}, or begin a new "
                "run"
            )
        notes = prefer_configured(checkpoint, *self.optimizer_and_scheduler())
        for note in notes if self.trainer.is_global_zero else ():
            print(note)

    def _set_names(self) -> list[str]:
        return set_names("val", self.trainer.val_dataloaders)

    def on_validation_start(self) -> None:
        """Refuse data of which several processes would count some rows twice."""
        check_divides(self.trainer.val_dataloaders, self.trainer.world_size)

    def on_test_start(self) -> None:
        """Refuse data of which several processes would count some rows twice."""
        check_divides(self.trainer.test_dataloaders, self.trainer.world_size)

    @with_signature
    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Add a batch to the loss of its set: the training or the validation set.

        Sets are named by the keys of a dict of loaders; those of a list are `val`, `val_1`, ….
        """
        self.measure(self._set_names()[dataloader_idx], batch)

    def test_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Add a batch to the loss of the test set; several are named as in `validation_step`."""
        self.measure(set_names("test", self.trainer.test_dataloaders)[dataloader_idx], batch)

    def measure(self, name: str, batch: Any) -> None:
        """Add a batch to the metrics of a set; a mean weighs it by its rows.

        Under several processes a batch may be without rows, which adds nothing.
        """
        kind = SumMetric if self.reduction == "sum" else MeanMetric
        # a loss that is no number makes that of its set none: by default it would be left out
        metric = self.metric(f"loss/{name}", partial(kind, nan_strategy=math.nan))
        rows = batch_rows(batch)
        loss = self.loss(batch) if rows else 0.0
        if self.reduction == "sum":
            metric.update(loss)
        else:
            metric.update(loss, rows)

    def metric(self, tag: str, kind: Callable[[], Metric]) -> Metric:
        """Return the metric of a tag, made at its first use."""
        if tag not in self._set_metrics:
            self._set_metrics[tag] = kind().to(self.device)
        return self._set_metrics[tag]

    def on_validation_epoch_end(self) -> None:
        """Log the losses of the sets."""
        self._validated = not self.trainer.sanity_checking
        self._log_metrics()

    def on_test_epoch_end(self) -> None:
        """Log the loss of the test set."""
        self._log_metrics()

    def computed_metrics(self) -> dict[str, Tensor]:
        """Return the metrics of the sets that were measured, by tag, and begin them anew."""
        measured = {tag: each for tag, each in self._set_metrics.items() if each.update_called}
        values = {tag: metric.compute() for tag, metric in measured.items()}
        for metric in measured.values():
            metric.reset()
        return values

    def _log_metrics(self) -> None:
        values = self.computed_metrics()
        if self.trainer.state.fn != TrainerFn.FITTING:
            self.log_dict(values, batch_size=1)
            return
        set_metrics(self, values)
        row = {tag: float(value) for tag, value in values.items()}
        if not self.trainer.sanity_checking:  # that is before any update, in no epoch
            row["epoch"] = self.current_epoch
        for logger in self.loggers:
            logger.log_metrics(row, step=self.global_step)
