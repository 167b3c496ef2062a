"""Many updates in one turn of Lightning's training loop.

For speed alone, off with `DESCENTLAB_PLAIN=1`; without it each batch is a turn of its own:

- `epoch_loop.advance`, set (`take_turns`): 150 to 250 µs an update;
- `batch_progress`, `_batches_that_stepped`, `optim_progress`, `optim_step_progress`,
  `_logger_connector`, `_results`, `_current_fx_name` (`Turn`): each update is counted where
  Lightning counts it, and what it logs comes where Lightning has it;
- `_should_check_val_epoch`, `val_check_batch`, `_val_check_time_interval`, `fetcher.length` and
  `fetched`: where something else than an update comes next;
- `_skip_backward`, `_every_n_train_steps`, `_train_time_interval` (`goes_forward_alone`,
  `saves_within_epochs`): what must be heard batch by batch;
- `_combined_loader`, `combined_loader._iterator` (`training_loaders`, `Turn.passes`): what gives
  batches, many at once where it can.
"""

from functools import partial
from typing import Any, Protocol

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loops.training_epoch_loop import _TrainingEpochLoop
from lightning.pytorch.plugins.precision import Precision

from . import SPEED_TRICKS
from .lightning import LeanModule


class Turn:
    """One turn of the training loop, in which several batches are trained on.

    Args:
        loop: the trainer's loop over an epoch.
        fetcher: what it draws batches from.

    Attributes:
        made: how many updates were made in it.
    """

    def __init__(self, loop: Any, fetcher: Any) -> None:
        self.made = 0
        self._loop, self._fetcher = loop, fetcher
        self._trainer: Trainer = loop.trainer
        self._module: Any = self._trainer.lightning_module
        self._progress = loop.batch_progress
        self._converts = type(self._trainer.precision_plugin) is not Precision
        self._stays = isinstance(self._module, LeanModule) and self._module._batches_stay
        self._module._current_fx_name = "training_step"

    def next(self) -> Any:
        """Return the next batch on its device, counted as begun."""
        if self.made:
            self._complete()
        batch, _, _ = next(self._fetcher)
        self._progress.is_last_batch = self._fetcher.done
        batch = self.moved(batch)
        self._progress.increment_ready()
        if self.made < 2:
            self._trainer._logger_connector.on_batch_start(batch)
        else:  # which from the third batch on does no more than this
            results = self._loop._results
            results.batch, results.batch_size, results.dataloader_idx = batch, None, None
        self._progress.increment_started()
        return batch

    def moved(self, batch: Any) -> Any:
        """Return a batch as the trainer gives it to a module: cast, and on its device."""
        if self._converts:
            batch = self._trainer.precision_plugin.convert_input(batch)
        if not self._stays:
            batch = self._module._on_before_batch_transfer(batch, dataloader_idx=0)
            batch = self._trainer.strategy.batch_to_device(batch, dataloader_idx=0)
        return batch

    def count(self) -> None:
        """Count the update of the batch that came last."""
        count_updates(self._trainer, 1)
        self._progress.increment_processed()
        self.made += 1

    @property
    def asked_to_end(self) -> bool:
        """Whether something else is to be done before the next update."""
        trainer = self._trainer
        return trainer.should_stop or trainer.received_sigterm or bool(self._loop._results)

    @property
    def passes(self) -> Any:
        """The iterator over the data of this epoch."""
        return self._fetcher.combined_loader._iterator.iterators[0]

    def count_many(self, updates: int) -> None:
        """Count updates of batches that were taken from `passes` past the trainer."""
        if self.made:
            self._complete()
        fetcher, progress = self._fetcher, self._progress
        fetcher.fetched += updates
        fetcher.done = progress.is_last_batch = fetcher.fetched >= fetcher.length
        for count in (progress.total, progress.current):
            count.ready += updates
            count.started += updates
            count.processed += updates
            count.completed += updates - 1
        self._loop._batches_that_stepped += updates - 1
        count_updates(self._trainer, updates)
        self._trainer._logger_connector.on_batch_start(None)
        self.made += updates

    def _complete(self) -> None:
        """Count the last batch as done, after which there is nothing but the next one."""
        self._progress.increment_completed()
        self._loop._batches_that_stepped += 1

    def end(self) -> None:
        """Do what is done after a batch; the loop itself does the rest."""
        trainer, loop = self._trainer, self._loop
        if loop._num_ready_batches_reached():
            loop.update_lr_schedulers("epoch", update_plateau_schedulers=False)
        trainer._logger_connector.on_batch_end()
        self._progress.increment_completed()
        trainer._logger_connector.update_train_step_metrics()


class Maker(Protocol):
    """What makes the updates of a turn."""

    def updates(self, most: int) -> int:
        """Return how many updates to make in this turn; below 2 leaves it to Lightning."""

    def make(self, turn: Turn, updates: int) -> None:
        """Make up to so many updates; none leaves the turn to Lightning."""


def take_turns(trainer: Trainer, maker: Maker) -> None:
    """Have a fit make many updates in one turn where what makes them says so."""
    loop = trainer.fit_loop.epoch_loop
    if SPEED_TRICKS and type(loop) is _TrainingEpochLoop:
        loop.advance = partial(_advance, loop, maker)  # type: ignore[method-assign]  # no other place


def _advance(loop: Any, maker: Maker, fetcher: Any) -> None:
    most = _ahead(loop, fetcher)
    if loop.restarting and loop._should_check_val_fx(fetcher):
        most = 1  # a validation that was stopped, or is due, which Lightning sees to
    updates = maker.updates(most)
    if updates > 1:
        loop.val_loop.restarting = False
        turn = Turn(loop, fetcher)
        try:
            maker.make(turn, updates)
        finally:
            turn._module._current_fx_name = None
        if turn.made:
            turn.end()
            return
    type(loop).advance(loop, fetcher)


def _ahead(loop: Any, fetcher: Any) -> int:
    """Return how many updates there are before anything else is to be done."""
    trainer, progress = loop.trainer, loop.batch_progress
    timed = trainer._val_check_time_interval is not None  # 0 s is after each batch
    if trainer.should_stop or fetcher.length is None or timed:
        return 1
    ends = [fetcher.length - fetcher.fetched, trainer.num_training_batches - progress.current.ready]
    if loop.max_steps >= 0:
        ends.append(loop.max_steps - loop.global_step)
    if loop._should_check_val_epoch() and trainer.val_check_batch != float("inf"):
        whole = trainer.check_val_every_n_epoch is None
        done = progress.total.ready if whole else progress.current.ready
        ends.append(trainer.val_check_batch - done % trainer.val_check_batch)
    return int(min(ends))


def count_updates(trainer: Trainer, updates: int) -> None:
    """Advance `global_step`, and count as Lightning does for each step of an optimizer."""
    loop = trainer.fit_loop.epoch_loop
    if not trainer.lightning_module.automatic_optimization:
        by_hand = loop.manual_optimization.optim_step_progress
        for count in (by_hand.total, by_hand.current):
            count.increment_by(updates)
        return
    optimizer = loop.automatic_optimization.optim_progress.optimizer
    for progress in (optimizer.step, optimizer.zero_grad):
        for count in (progress.total, progress.current):
            count.increment_by(updates)


def goes_forward_alone(trainer: Trainer) -> bool:
    """Return whether a callback has Lightning leave out the updates, as weight averaging may."""
    return trainer.fit_loop.epoch_loop.automatic_optimization._skip_backward


def training_loaders(trainer: Trainer) -> list[Any]:
    """Return the loaders that a fit draws its batches from."""
    loader = trainer.fit_loop._combined_loader
    return [] if loader is None else list(loader.flattened)


def saves_within_epochs(callback: Callback) -> bool:
    """Return whether a callback may do something at the end of a batch, as far as is known."""
    return (
        type(callback) is not ModelCheckpoint
        or callback._every_n_train_steps >= 1
        or callback._train_time_interval is not None
    )
