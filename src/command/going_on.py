"""A run that goes on: where it is, and that what is configured is what is used."""

import os
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from inspect import signature
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.loggers import TensorBoardLogger

from ..callbacks import Summary
from ..errors import UsageError
from ..internals.lightning import end_in_any_case
from ..optimizers.resumed import changed
from ..runs.files import write_whole
from ..runs.folder import Run, goes_on
from ..runs.logged_before import LoggedBefore, read_losses, read_table
from ..runs.logger import RunLogger
from ..runs.reading import read_checkpoint
from ..runs.terminal import called
from ..sweeps import SweepResults


def go_on_in(run: Run, trainer: Trainer, as_before: bool) -> None:
    """Have the logger of a trainer go on in the folder of a run.

    Where the run did not come to its end, and yet nothing is left to train, it is brought to it.
    Nothing is left of one that a callback, such as EarlyStopping, has ended early.

    Args:
        run: the one that goes on.
        trainer: not yet used.
        as_before: whether no setting is another one, for which a run that ended early goes on.

    Raises:
        UsageError: if nothing is finished there from which a run could go on, or a table that it
            would add rows to is damaged.
    """
    if not run.last.is_file():
        raise UsageError(
            f"--resume {run.folder}: there is no {run.last.relative_to(run.folder)}, so that "
            "nothing is finished from which it could go on: begin a new run"
        )
    best = run.checkpoints / "best.ckpt"
    checkpoint = read_checkpoint(run.last, f"go on in a new folder with --ckpt_path {best}")
    saved = checkpoint.get("callbacks", {}).get("BestParameters", {})
    kept = saved.get("logged") if isinstance(saved, Mapping) else None
    if kept is None:
        raise UsageError(
            f"--resume {run.folder}: {run.last} was not written by best_parameters: go on in a "
            f"new folder with --ckpt_path {run.last}"
        )
    read_table(run.metrics)  # damaged ones are refused before anything is written
    read_losses(run.batch_losses)
    try:
        steps, rows = int(checkpoint["global_step"]), int(kept["rows"])
        before = LoggedBefore(steps, float(kept["time"]), rows)
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"{run.last} is damaged, in what it says of {run.metrics.name}: go on in a new folder "
            f"with --ckpt_path {best}"
        ) from error
    attached: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # one is a property
    sums_up = any(isinstance(one, Summary | SweepResults) for one in attached)
    for callback in attached:
        if isinstance(callback, SaveConfig):
            callback.ended_early = as_before and saved.get("ended_early", False)
    for logger in run_loggers(trainer):
        logger.go_on(run.folder, before)
        if logger.left_open or (sums_up and not run.summary.is_file()):
            end_in_any_case(trainer)


@contextmanager
def naming_config_of_run(words: Sequence[str], configs: Sequence[Path]) -> Iterator[None]:
    """Name the config of a run with what is wrong about its settings, or about those beside it.

    Args:
        words: of the command.
        configs: those that are read; the run's own is the first.

    Raises:
        UsageError: in place of one that does not name it.
    """
    try:
        yield
    except UsageError as error:
        of_run = {word.partition("=")[0] for word in words} & {"--run", "--resume"}
        if not of_run or not configs or str(configs[0]) in str(error):
            raise
        raise UsageError(f"{error}; the settings of the run are in {configs[0]}") from error


def run_loggers(trainer: Trainer) -> list[RunLogger]:
    """Return those of a trainer's loggers that keep a run's folder."""
    return [one for one in trainer.loggers if isinstance(one, RunLogger)]


def discard(loggers: Iterable[RunLogger]) -> None:
    """Remove the folder of a run that never came as far as its first checkpoint."""
    for logger in loggers:
        logger.discard()


def where(run: Run) -> list[str]:
    """Say where what a stopped run finished is, and how it goes on."""
    if not run.config.is_file():  # it was removed
        return []
    place = os.path.relpath(run.folder)
    how = f"it goes on with: {called()} fit --resume {shlex.quote(place)}"
    return [place, how] if run.last.is_file() else [place]


class SaveConfig(SaveConfigCallback):
    """Keep the resolved configuration in the run's folder and, as text, in TensorBoard.

    Attributes:
        training_began: whether the run came as far as training, so that its folder is kept.
        ended_early: whether the run goes on to be brought to its end alone.
    """

    training_began = False
    ended_early = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._given: list[tuple[Callback, dict[str, Any]]] = []
        self._place = Path()

    def state_dict(self) -> dict[str, Any]:
        """Return the seed of the run, for a checkpoint."""
        return {"seed_everything": self.config.seed_everything}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Refuse another seed than that of the run which goes on: its draws are not repeated.

        Raises:
            UsageError: if it is another.
        """
        before, now = state_dict["seed_everything"], self.config.seed_everything
        if before != now:
            raise UsageError(
                f"--seed_everything {now}: the run of the checkpoint began with {before}, and "
                f"goes on with what was drawn from it; give {before}, or begin a new run"
            )

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Note what each callback was made with, before its state is restored."""
        for callback in trainer.callbacks:  # type: ignore[attr-defined]  # one is a property
            names = signature(type(callback)).parameters.keys() & vars(callback).keys()
            self._given.append((callback, {name: vars(callback)[name] for name in names}))

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Give each callback back what it was made with, where a restored state holds another."""
        trainer.should_stop = trainer.should_stop or self.ended_early
        for callback, given in self._given:
            for name, value in given.items():
                restored = vars(callback)[name]
                if restored is not value and restored != value:
                    setattr(callback, name, value)
                    print(changed(f"{type(callback).__name__}.{name}", restored, value))
        self._given.clear()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note that training begins; keep the earlier configuration of a run that goes on."""
        self.training_began = True
        for logger in run_loggers(trainer):
            logger.join()
        if goes_on(trainer) and not self.already_saved:
            config = self._place = Run.of(trainer).config
            if trainer.is_global_zero:
                number = 1 + len(list(config.parent.glob("config.[0-9]*.yaml")))
                kept, at = config.with_name(f"config.{number}.yaml"), config.stat()
                write_whole(kept, config.read_bytes())
                os.utime(kept, ns=(at.st_atime_ns, at.st_mtime_ns))  # when the run began
            self.overwrite = True
            super().setup(trainer, pl_module, "fit")

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Save, for a run that has a folder; in that of a run that goes on when training begins."""
        if trainer.loggers and not goes_on(trainer):
            self._place = Run.of(trainer).config  # of all processes: Lightning broadcasts it
            super().setup(trainer, pl_module, stage)

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Show the configuration in TensorBoard."""
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                text = self._place.read_text(encoding="utf-8")
                logger.experiment.add_text("config", f"```yaml\n{text}\n```")
