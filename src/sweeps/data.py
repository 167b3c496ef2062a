"""What each seed of a sweep would get in a run of its own: initial parameters and batches."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities import move_data_to_device
from torch import nn

from ..datamodules import Chunk, ResumableData
from ..errors import UsageError
from .losses import MemberLosses
from .memory import available, bytes_of, members_in

if TYPE_CHECKING:
    from ..modules import DescentModule


@contextmanager
def drawn_with(seed: int) -> Iterator[None]:
    """Draw with a seed inside, as after `--seed_everything SEED`; afterwards go on as before."""
    state = torch.get_rng_state()
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(state)


class SeedData:
    """The batches of each seed, where the trainer's own are of one seed alone.

    Each seed has a copy of the DataModule, set up as in a run with that seed; the copies share what
    does not depend on it.

    Args:
        data: the trainer's DataModule.
        seeds: the seeds.
        stage: `fit`, `validate` or `test`.
        device: where batches are to be.

    Raises:
        UsageError: if the data cannot be had for a seed.
    """

    def __init__(
        self,
        data: LightningDataModule | None,
        seeds: Sequence[int],
        stage: str,
        device: torch.device,
    ) -> None:
        if not isinstance(data, ResumableData):
            raise UsageError(
                "a sweep over seeds, or one that is cut into batches of members, needs a "
                "DataModule of descentlab, whose batches are a function of seed and epoch"
            )
        self.device = device
        self._copies = [_copy(data, seed, stage) for seed in seeds]
        self._loaders: list[Any] = []
        self._batches: list[Iterator[Any]] = []
        self._sets: dict[str, list[Iterator[Any]]] = {}

    def start(self, epoch: int, position: int) -> None:
        """Begin an epoch, at the batch of a position."""
        if not self._loaders:
            self._loaders = [data.train_dataloader() for data in self._copies]
        for loader in self._loaders:
            loader.load_state_dict({**loader.state_dict(), "epoch": epoch, "position": position})
        self._batches = [iter(loader) for loader in self._loaders]

    @property
    def started(self) -> bool:
        """Whether an epoch has begun."""
        return bool(self._batches)

    def next(self) -> list[Any]:
        """Return the next training batch of each seed."""
        return [self._moved(next(batches)) for batches in self._batches]

    def next_of(self, name: str, position: int) -> list[Any]:
        """Return the batch of a set for each seed; those of position 0 begin it anew."""
        if position == 0:
            self._sets[name] = [iter(found[name]) for found in self.sets("validate")]
        return [self._moved(next(batches)) for batches in self._sets[name]]

    def sets(self, kind: str) -> list[dict[str, Any]]:
        """Return, for each seed, the loaders of the sets that a stage measures, by name."""
        if kind == "test":
            return [{"test": data.test_dataloader()} for data in self._copies]
        return [named(data.val_dataloader()) for data in self._copies]

    def _moved(self, batch: Any) -> Any:
        return batch if self.device.type == "cpu" else move_data_to_device(batch, self.device)


def named(loaders: Any) -> dict[str, Any]:
    """Return validation loaders by the name of their set; a single one is that of `val`."""
    return dict(loaders) if isinstance(loaders, Mapping) else {"val": loaders}


def _copy(data: ResumableData, seed: int, stage: str) -> ResumableData:
    copied = copy.copy(data)
    copied._state, copied._loader = None, None
    with drawn_with(seed):
        copied.setup(stage)
    return copied


def batches_in(batch: Any) -> list[Any]:
    """Return the batches of a chunk, or the batch itself."""
    return list(batch.batches()) if isinstance(batch, Chunk) else [batch]


def members_that_fit(
    module: "DescentModule", data: LightningDataModule | None, seed: int, device: torch.device
) -> int:
    """Return how many members half of the free memory holds, by what one of them allocates.

    Args:
        module: one member.
        data: where a batch comes from; one that is not of ours is not asked.
        seed: a seed of the sweep.
        device: where members are trained.
    """
    step, parameters = 0, list(module.parameters())
    if isinstance(data, ResumableData):
        found = SeedData(data, [seed], "fit", torch.device("cpu"))
        found.start(0, 0)
        batch = batches_in(found.next()[0])[0]
        one = [nn.Parameter(p.detach().to(data.dtype)[None]) for p in parameters]
        step = bytes_of(lambda: MemberLosses(module).gradients(one, batch, None))
    return members_in(available(device) // 2, parameters, step)
