"""A whole grid of hyperparameters and seeds, trained in one run."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, cast

import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.cli import OptimizerCallable
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.optim import Optimizer

from ..datamodules import ResumableData
from ..datamodules.set_names import set_names
from ..errors import UsageError
from ..internals.lightning import LeanModule, set_max_epochs, set_metrics, with_signature
from ..internals.many_updates import take_turns
from ..modules.descent_module import DescentModule
from ..runs.folder import Run
from .checks import SEEDS_TRIED, check_members, check_module, check_precision
from .data import SeedData, drawn, first_batches, members_that_fit
from .descent import GroupDescent, least_finite
from .losses import stack_seeds
from .members import DAMAGED, Plan
from .processes import Division, least_of_all, leave_members_alone, members_of_all
from .stepping import (
    MemberOptimizers,
    check_grid,
    set_hyperparameters,
    settings_of,
    steps_rows_alone,
)
from .store import Store, is_of, under_way
from .turns import SweepTurns


class Sweep(LeanModule):
    r"""Train every member of a grid at once, each as it would be in a run of its own.

    .. math::
        \theta_{m,t} = \mathrm{rule}(\theta_{m,t-1}, \nabla L(\theta_{m,t-1}, B_{s(m),t}); h_m)

    A member m is a point :math:`h_m` of the grid with a seed :math:`s(m)`, on which its initial
    parameters and its batches B depend. Parameters are stacked, (M, …), the M losses are one
    `torch.func.vmap`, and there is one backward pass and one update for all. A member whose loss is
    not finite is marked, and its parameters stay as they are from then on.

    A grid larger than memory is cut into groups, trained one after another; the trainer counts the
    epochs of all of them. Finished groups are kept beside the checkpoints, so that a run that was
    killed goes on in the group, and at the epoch, of its last checkpoint.

    Several processes (DDP) have a part of the members of each group; they exchange the least loss,
    and what a checkpoint and the table at the end hold, which are those of one process.

    Args:
        module: makes the module whose loss is descended, as in a run of its own; without `seeds`
            it may be an instance, which is copied.
        optimizer: makes the optimizer, with the hyperparameters that all members share. A rule of
            `descentlab.optimizers`, or your own, steps all members at once where it moves each
            element alone; with any other class each member has an optimizer of its own.
        grid: values for each swept hyperparameter, such as ``{lr: [0.01, 0.1], momentum: [0.9]}``.
        seeds: the seed of the run if not given.
        members_at_once: members in a group at most, those of all processes together; as many as
            half of the free memory holds, by an estimate, if not given.

    Attributes:
        members: all members.
        groups: how they are cut.
        descent: the group under way; of several processes, this one's part of it.

    Raises:
        UsageError: if the grid or the seeds are wrong, or the run is one that cannot be batched:
            in mixed precision, with a scheduler, by another strategy than DDP.
    """

    module: DescentModule
    gives_whole_loss: ClassVar[bool] = True  # the least of all members, not of a process's

    descends_many = True  # which what looks at one descent refuses
    compiles = False  # its updates

    def __init__(
        self,
        module: Callable[[], DescentModule],
        optimizer: OptimizerCallable,
        grid: dict[str, list[float]],
        seeds: list[int] | None = None,
        members_at_once: int | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        if members_at_once is not None and members_at_once < 1:
            raise UsageError(f"members_at_once = {members_at_once} is below 1: give 1 or more")
        if seeds is not None and isinstance(module, LightningModule):
            raise UsageError(
                f"seeds = {seeds}: {type(module).__name__} is made already, with one seed: give "
                "what makes it, such as its class"
            )
        example = optimizer([nn.Parameter(torch.zeros(1, 1))])
        self._kind, self._settings = type(example), settings_of(example)
        check_grid(self._kind, self._settings, grid)
        self._stacked = steps_rows_alone(self._kind, self._settings, grid)
        shared = {name: value for name, value in example.defaults.items() if name not in grid}
        self.plan = Plan((self._kind.__name__, str(shared)), grid, seeds)
        self.members = self.plan.members(0)
        self._make_module, self._make_optimizer = module, optimizer
        self._at_once, self._made_in = members_at_once, torch.get_default_dtype()

    # --- what is trained

    def draw(self, seed: int, trainer: Trainer) -> DescentModule:
        """Return the module as a run with a seed would have it before its first update."""
        return drawn(self._make_module, seed, self._made_in, trainer)

    def _draw_here(self, seed: int) -> DescentModule:
        return self.draw(seed, self.trainer).to(self.device)

    def setup(self, stage: str) -> None:
        """Resolve the seeds and, for a fit, stack the members of the first group."""
        self.members = self.plan.members(torch.initial_seed())
        if stage != "fit":
            return
        check_precision(self.trainer)
        leave_members_alone(self.trainer)
        self.most_epochs = self.trainer.max_epochs
        self.module = self.draw(self.members.seeds[0], self.trainer)
        check_module(self.module)
        if not self._stacked and self.trainer.is_global_zero:
            print(
                f"{self._kind.__name__} is no rule of descentlab.optimizers, or none that moves "
                f"each element alone: the {len(self.members)} members are stepped one by one"
            )
        batch = self._tried()
        writes = self.trainer.loggers and not getattr(self.trainer, "fast_dev_run", False)
        self._store = Store(Run.of(self.trainer).checkpoints if writes else None)
        fit = members_that_fit(self.module, batch, self.trainer.strategy.root_device)
        self._cut(self._at_once or members_of_all(fit, self.trainer))
        self._begin(0)

    def _tried(self) -> Any | None:
        """See whether members are runs of their own, where batches are known before a step."""
        data = self._datamodule
        self._alike = isinstance(data, ResumableData)
        if not isinstance(data, ResumableData):
            return None
        seeds = self.members.seeds[:SEEDS_TRIED]
        batches = first_batches(data, seeds)
        check_members(self._draw_here, seeds, batches)
        return batches[0]

    def _cut(self, at_once: int) -> None:
        """Cut the members into groups, and have the trainer count the epochs of all of them."""
        self._cut_to = min(at_once, len(self.members))
        self.groups = self.members.cut(self._cut_to)
        epochs, steps = self.most_epochs, self.trainer.max_steps
        if len(self.groups) == 1 or getattr(self.trainer, "fast_dev_run", False):
            return
        if epochs is None or epochs < 1 or steps >= 0:
            raise UsageError(
                f"{len(self.members)} members are trained {at_once} at a time, one group after "
                "another: give --trainer.max_epochs N, and no max_steps"
            )
        set_max_epochs(self.trainer, epochs * len(self.groups))

    def _begin(self, number: int) -> None:
        """Put the members of a group at their start."""
        self.number, self._division = number, Division(self.groups[number])
        group = self._division.part
        starts = [self._draw_here(seed) for seed in group.seeds]
        self.module.to(self.device)
        self.descent = GroupDescent(self.module, starts, group, self.module.reduction)
        self._seed_data: SeedData | None = None
        self._ready = False  # whether the rule has this group's hyperparameters

    def configure_optimizers(self) -> Optimizer:
        """Make the rule, with a group for each parameter, or an optimizer for each member."""
        parameters = list(self.module.parameters())
        if self._stacked:
            return self._make_optimizer([{"params": [p]} for p in parameters])
        return MemberOptimizers(parameters, self._make_one, self._values())

    def _make_one(self, parameters: Sequence[nn.Parameter], **swept: float) -> Optimizer:
        try:
            return self._kind(parameters, **{**self._settings, **swept})
        except ValueError as error:
            raise UsageError(f"{self._kind.__name__}: {error}") from error

    def _values(self) -> dict[str, Tensor]:  # of this process's members of the group under way
        return self.members.hyperparameters(self.descent.group)

    # --- training

    def on_fit_start(self) -> None:
        """Have many updates made in one turn, where nothing looks at single ones."""
        super().on_fit_start()
        chunk: Any = getattr(self._datamodule, "chunk", "auto")
        if chunk != 1:
            take_turns(self.trainer, SweepTurns(self, Sweep, chunk))

    @with_signature
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Update all members with the batch of their seed.

        Returns:
            The least loss of the members before the update.
        """
        if batch_idx == 0:
            self._next_epoch()
        if not self._alike:  # the first batch of data that are not ours
            check_members(self._draw_here, self.members.seeds, [batch])
            self._alike = True
        if not self._ready:
            self._set_hyperparameters()
        if self._own_batches and (batch_idx == 0 or not self._data().started):
            self._data().start(self.descent.epoch, batch_idx)
        least = self.update(batch, cast(LightningOptimizer, self.optimizers()).step)
        return least_of_all(least.reshape(1))[0]

    def update(self, batch: Any, step: Callable[[], Any]) -> Tensor:
        """Update all members of this process, and return the least of their losses before it.

        Args:
            batch: of the trainer, in place of which seeds have their own.
            step: moves the parameters by their gradients.
        """
        mine, dims = stack_seeds(self._data().next()) if self._own_batches else (batch, None)
        return self.descent.update(mine, dims, step, self.module.zeroes_gradients)

    def _next_epoch(self) -> None:
        if self.finished and self.number + 1 < len(self.groups):
            self._keep_finished()
            self._begin(self.number + 1)
        if self.descent.epoch < 0 and not self.descent.record.start:
            self._measure_start()
        self.descent.epoch += 1

    @torch.no_grad()
    def _measure_start(self) -> None:
        """Measure a group before its first update, where no check before training did so."""
        if not isinstance(self._datamodule, ResumableData):
            return
        for name, batches in self._data().of_sets(self.trainer.num_val_batches):
            self.descent.add_to_set(name, batches)
        self.descent.keep_start(self.descent.losses_of_sets(keep=False))

    @property
    def finished(self) -> bool:
        """Whether the group under way has had all its updates."""
        steps = self.trainer.max_steps
        return self.descent.ended == self.most_epochs or 0 <= steps <= self.global_step

    def _set_hyperparameters(self) -> None:
        rule = cast(LightningOptimizer, self.optimizers()).optimizer
        fresh = self.descent.updates == 0  # the state is of the group before
        if isinstance(rule, MemberOptimizers):
            if fresh:
                rule.begin(self._values())
        else:
            if fresh:
                rule.state.clear()
            set_hyperparameters(rule.param_groups, self._values())
        self._ready = True

    def on_train_epoch_end(self) -> None:
        """Count the epoch."""
        self.descent.end_epoch()

    def on_validation_model_zero_grad(self) -> None:
        """Free the gradients' memory during validation, unless they are to add up."""
        if self.module.zeroes_gradients:
            super().on_validation_model_zero_grad()

    # --- the losses on whole sets

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Add a batch of the training or the validation set to the losses of all members."""
        self._refuse_outside_a_fit()
        name = set_names("val", self.trainer.val_dataloaders)[dataloader_idx]
        batches = self._data().next_of(name, batch_idx) if self._own_batches else [batch]
        self.descent.add_to_set(name, batches)

    def on_validation_epoch_end(self) -> None:
        """Log the least of the members' losses."""
        counts = not self.trainer.sanity_checking  # else it is before any update, in no epoch
        losses = self.descent.losses_of_sets(keep=counts)
        if not counts and self.trainer.num_sanity_val_steps == math.inf:
            self.descent.keep_start(losses)
        least = {
            f"loss/least_{name}": least_of_all(least_finite(value))
            for name, value in losses.items()
        }
        set_metrics(self, least)
        row = {tag: float(value) for tag, value in least.items()}
        if counts:
            row["epoch"] = self.current_epoch
        for logger in self.loggers:
            logger.log_metrics(row, step=self.global_step)

    def test_step(self, batch: Any, batch_idx: int) -> None:
        """Refuse: each member is measured by itself.

        Raises:
            UsageError: always.
        """
        self._refuse_outside_a_fit()

    def _refuse_outside_a_fit(self) -> None:
        if self.trainer.state.fn != TrainerFn.FITTING:
            raise UsageError(
                "the members of a sweep are measured one by one, from the folder of their run: "
                "descentlab.sweeps.MemberEvaluation, or --run DIR"
            )

    # --- the data of each seed

    @property
    def _datamodule(self) -> LightningDataModule | None:
        return cast(LightningDataModule | None, self.trainer.datamodule)  # type: ignore[attr-defined]

    @property
    def _own_batches(self) -> bool:
        """Whether batches are not those of the trainer, which are of its seed and of its epochs."""
        data = self._datamodule
        seed = data.seed if isinstance(data, ResumableData) else torch.initial_seed()
        several = len(self.groups) > 1 or self.trainer.world_size > 1
        return several or self.members.seeds != (seed,)

    def _data(self) -> SeedData:
        if self._seed_data is None:
            seeds = self.descent.group.seeds
            self._seed_data = SeedData(self._datamodule, seeds, self.device)
        return self._seed_data

    # --- what a checkpoint holds

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what is known of the members; with several processes, of those of all of them."""
        checkpoint["sweep"] = {
            "identity": self.plan.identity(self.members),
            "at_once": self._cut_to,
            "most_epochs": self.most_epochs,
            "group": self.number,
            "finished": self.finished,
            **self.descent.as_plain(),
        }
        self._division.make_whole(checkpoint)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with the group, and at the epoch, of a checkpoint.

        Raises:
            UsageError: if it is of another sweep, or was cut into groups of other epochs.
        """
        self.members, saved = self.plan.saved_in(checkpoint)
        self._cut(saved["at_once"])
        if len(self.groups) > 1 and saved["most_epochs"] != self.most_epochs:
            raise UsageError(
                f"the checkpoint is of a sweep in {len(self.groups)} groups of "
                f"{saved['most_epochs']} epochs each, and max_epochs = {self.most_epochs}: give "
                "the same, or begin a new run"
            )
        self._begin(saved["group"])
        if not is_of(self.groups[self.number], under_way(saved, checkpoint["state_dict"])):
            raise UsageError(DAMAGED)
        self._division.make_own(checkpoint)
        stacked = {
            name.removeprefix("module."): value for name, value in checkpoint["state_dict"].items()
        }
        self.descent.go_on(checkpoint["sweep"], stacked)
        if self.trainer.is_global_zero:
            folder = Path(str(self.trainer.ckpt_path)).parent
            self._store.take_over(self.groups[: self.number], folder)

    def _keep_finished(self) -> None:
        group = self._division.gather(self.descent.result(finished=True))
        if group is not None:
            self._store.keep(self.number, group)

    def results(self, together: bool = True) -> list[dict[str, Any]]:
        """Return what is known of the members of every group so far, for `rows_of`.

        Of several processes the first knows it, and the others get an empty list.

        Args:
            together: whether all processes call this; if not, the first knows of the group under
                way what the last checkpoint holds.
        """
        alone = not together and self.trainer.world_size > 1
        own = self.descent.result(finished=self.finished)
        group = self._division.known if alone else self._division.gather(own)
        before = self.groups[: self.number] if self.trainer.is_global_zero else []
        return [*self._store.groups(before), *([] if group is None else [group])]

    def teardown(self, stage: str) -> None:
        """Give the trainer back its number of epochs."""
        if stage == "fit":
            set_max_epochs(self.trainer, self.most_epochs)
