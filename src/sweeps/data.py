"""Initial parameters and batches of each seed of a sweep, as in a run of its own."""

import copy
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer, seed_everything
from lightning.pytorch.utilities import move_data_to_device

from ..datamodules import ResumableData, ResumableLoader
from ..datamodules.set_names import set_names
from ..errors import UsageError
from ..internals.lightning import same_draws
from ..internals.torch import allocated_bytes
from ..modules.descent_module import DescentModule
from .losses import MemberLosses
from .memory import available, members_in


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw with a seed inside, as after `--seed_everything SEED`; afterwards go on as before."""
    environment = {name: os.environ.get(name) for name in ("PL_GLOBAL_SEED", "PL_SEED_WORKERS")}
    with same_draws():
        seed_everything(seed, workers=environment["PL_SEED_WORKERS"] == "1", verbose=False)
        try:
            yield
        finally:
            for name, value in environment.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Make tensors as a module's constructor did, in 64-true within a training step too."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def drawn(
    make: Callable[[], DescentModule], seed: int, dtype: torch.dtype, trainer: Trainer
) -> DescentModule:
    """Return a module as a run with a seed would have it before its first update.

    Args:
        make: makes it, or is one, which is copied.
        seed: what is drawn with.
        dtype: the default type when the sweep was made.
        trainer: knows the data and the precision.
    """
    with seeded(seed), _default_dtype(dtype):
        module = cast(
            DescentModule, copy.deepcopy(make) if isinstance(make, LightningModule) else make()
        )
        module.trainer = trainer
        module.setup("fit")
    return cast(DescentModule, trainer.strategy.precision_plugin.convert_module(module))


class SeedData:
    """The batches of a fit for each seed, where the trainer's own are of one seed alone.

    Each seed has a copy of the DataModule, set up as in a run with that seed; the copies share what
    does not depend on it.

    Args:
        data: the trainer's DataModule.
        seeds: the seeds.
        device: where batches are to be.

    Raises:
        UsageError: if the data cannot be had for a seed.
    """

    def __init__(
        self,
        data: LightningDataModule | None,
        seeds: Sequence[int],
        device: torch.device,
    ) -> None:
        if not isinstance(data, ResumableData):
            raise UsageError(
                "a sweep over seeds, in several processes, or cut into batches of members, needs a "
                "DataModule of descentlab, whose batches are a function of seed and epoch"
            )
        self.device = device
        self._copies = [_copy(data, seed) for seed in seeds]
        self._loaders: list[Any] = []
        self._batches: list[Iterator[Any]] = []
        self._sets: dict[str, list[Iterator[Any]]] = {}

    def start(self, epoch: int, position: int) -> None:
        """Begin an epoch, at the batch of a position."""
        if not self._loaders:
            self._loaders = _whole([data.train_dataloader() for data in self._copies])
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
            self._sets[name] = [iter(loader) for loader in self._loaders_of(name)]
        return [self._moved(next(batches)) for batches in self._sets[name]]

    def of_sets(self, limits: Sequence[float]) -> Iterator[tuple[str, list[Any]]]:
        """Yield the batches of the sets that a validation measures, with the name of the set.

        Args:
            limits: how many batches of each set there are at most.
        """
        names = set_names("val", self._copies[0].val_dataloader())
        for number, name in enumerate(names):
            size = len(self._loaders_of(name)[0])
            for position in range(int(min(size, *limits[number : number + 1]))):
                yield name, self.next_of(name, position)

    def _loaders_of(self, name: str) -> list[Any]:
        found = [data.val_dataloader() for data in self._copies]
        index = set_names("val", found[0]).index(name)
        return _whole([_loaders(each)[index] for each in found])

    def _moved(self, batch: Any) -> Any:
        return batch if self.device.type == "cpu" else move_data_to_device(batch, self.device)


def _whole(loaders: list[Any]) -> list[Any]:
    """Have loaders that share batches among processes give this one whole batches."""
    for loader in loaders:
        if isinstance(loader, ResumableLoader):
            loader.whole = True
    return loaders


def _loaders(found: Any) -> list[Any]:
    if isinstance(found, Mapping):
        return list(found.values())
    return list(found) if isinstance(found, (list, tuple)) else [found]


def _copy(data: ResumableData, seed: int) -> ResumableData:
    copied = copy.copy(data)
    copied._state, copied._loader = None, None
    with seeded(seed):
        copied.setup("fit")
    return copied


def first_batches(data: ResumableData, seeds: Sequence[int]) -> list[Any]:
    """Return the first training batch of each seed, where the data are made."""
    found = SeedData(data, seeds, torch.device("cpu"))
    found.start(0, 0)
    return found.next()


def members_that_fit(module: DescentModule, batch: Any | None, device: torch.device) -> int:
    """Return how many members half of the free memory holds, by what one of them allocates.

    Args:
        module: one member.
        batch: one of its batches; where there is none, only its parameters are counted.
        device: where members are trained.
    """
    step, parameters = 0, list(module.parameters())
    if batch is not None:
        one = [p.detach()[None].requires_grad_(p.requires_grad) for p in parameters]
        step = allocated_bytes(lambda: MemberLosses(module).gradients(one, batch, None))
    return members_in(available(device) // 2, parameters, step)
