"""State of a loader and its DataModule, from which a resumed run takes the very next batch."""

from types import SimpleNamespace
from typing import Any, Literal, TypeVar

import torch
from lightning.pytorch import LightningDataModule

from ..errors import UsageError
from ..internals.lightning import resume_position


class ResumableLoader:
    """A sized loader that knows which batch of which epoch comes next.

    Subclasses give `__len__` and `__iter__`; the latter is a generator that starts at batch
    `begin()` and sets `handed` for each batch.

    Lightning draws batches one at a time, so a batch counts as done when it was handed out. With
    `progress` (the trainer's own count) a batch that was handed out but not trained on, as in a run
    that died in the middle of a step, comes again, and an epoch cut short by `limit_train_batches`
    counts as finished.

    Attributes:
        handed: batches of the current epoch handed out so far.
        progress: the trainer's own count of batches, or None.
        whole: whether this process has whole batches, where others would have a share of each.
    """

    def __init__(self) -> None:
        self.whole = False
        self.handed = 0
        self.progress: Any = None
        self._epoch = 0  # the epoch whose batches are given
        self._counted = 0  # the epoch as Lightning counts it
        self._start = 0  # the batch that the next pass starts at
        self._resumed = False  # a state was loaded and no batch of it handed out yet

    def __len__(self) -> int:
        raise NotImplementedError

    @property
    def epoch(self) -> int:
        """The epoch whose batches are given: it selects the permutation."""
        return self._epoch

    @property
    def batch_sampler(self) -> SimpleNamespace:
        """The place where Lightning finds `set_epoch`.

        `loader.sampler` would do too, but `overfit_batches` takes every loader that has one for
        shuffled.
        """
        return SimpleNamespace(sampler=self)

    def set_epoch(self, epoch: int) -> None:
        """Start an epoch.

        After `load_state_dict` the loader stays where the state says until its first batch is
        handed out: a resumed Lightning run may announce an epoch that is over, or one that it
        counted twice.

        Args:
            epoch: Lightning's number of the epoch, from 0.
        """
        if not self._resumed:
            self._epoch += epoch - self._counted
            self._start = self.handed = 0
        self._counted = epoch

    def begin(self) -> int:
        """Return the batch that this pass starts at; the one after it starts at 0."""
        start, self._start = self._start, 0
        self._resumed = False
        self.handed = start
        return start

    def identity(self) -> dict[str, int]:
        """Return what must be the same in the run that goes on, by name."""
        return {}

    def state_dict(self) -> dict[str, int]:
        """Return the epoch and the position of the batch that comes next, and the identity."""
        epoch, position = self._epoch, self.handed
        finished = position == len(self)
        if self.progress is not None and position and not self._resumed:
            position = min(position, self.progress.current.processed)
            finished = position == self.handed and self.progress.is_last_batch
        if finished and position:
            epoch, position = epoch + 1, 0
        return {"epoch": epoch, "position": position, **self.identity()}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on from a state.

        Args:
            state: what `state_dict` returned.

        Raises:
            UsageError: the state is of a loader over other data or with another batch size.
        """
        for name, value in self.identity().items():
            if state.get(name) != value:
                raise UsageError(
                    f"the checkpoint was made with {name} = {state.get(name)}, this run has "
                    f"{name} = {value}: resume with the same, or start a new run"
                )
        self._epoch = state["epoch"]
        self._start = self.handed = state["position"]
        self._resumed = True


Loader = TypeVar("Loader", bound=ResumableLoader)


class ResumableData(LightningDataModule):
    """A DataModule whose checkpoint holds its seed and the position of its training loader.

    Lightning stores a loader's state too, but passes it back only when a run stopped in the middle
    of an epoch. The DataModule's own state is always passed back.

    Args:
        chunk: how many updates are made in one turn of the trainer's loop at most, where nothing
            looks at each by itself; `auto` for as many as take 0.2 s.

    Raises:
        UsageError: chunk is below 1.

    Attributes:
        seed: the global seed (`torch.initial_seed()`) of rank 0 when the data were set up.
    """

    def __init__(self, chunk: int | Literal["auto"] = "auto") -> None:
        super().__init__()
        if isinstance(chunk, int) and chunk < 1:
            raise UsageError(f"chunk = {chunk} is below 1: give 1 or more, or auto")
        self.chunk = chunk
        self.seed = 0
        self._loader: ResumableLoader | None = None
        self._state: dict[str, int] | None = None

    @property
    def dtype(self) -> torch.dtype:
        """Float64 when the trainer's precision is `64-true`, float32 otherwise."""
        double = self.trainer is not None and self.trainer.precision == "64-true"
        return torch.float64 if double else torch.float32

    def setup(self, stage: str) -> None:
        """Take the seed from rank 0.

        Args:
            stage: `fit`, `validate`, `test` or `predict`.
        """
        self.seed = torch.initial_seed()
        if self.trainer is not None:
            self.seed = self.trainer.strategy.broadcast(self.seed)

    def resumable(self, loader: Loader) -> Loader:
        """Return the training loader, tied to the trainer's progress, set to where it stopped."""
        if self.trainer is not None:
            loader.progress = resume_position(self.trainer)
        if self._state is not None:
            loader.load_state_dict(self._state)
            self._state = None
        self._loader = loader
        return loader

    def state_dict(self) -> dict[str, Any]:
        """Return the seed and the state of the training loader, for a checkpoint."""
        state: dict[str, Any] = {"seed": self.seed}
        if self._loader is not None:
            state["loader"] = self._loader.state_dict()
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the seed back and, when training goes on, the position.

        Args:
            state_dict: what `state_dict` returned.
        """
        self.seed = state_dict["seed"]
        if self.trainer is not None and self.trainer.state.fn == "fit":
            self._state = state_dict.get("loader")
