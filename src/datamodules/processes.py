"""Several processes that share each batch: who has which rows, and what all of them have."""

from collections.abc import Mapping, Sized
from typing import Any, cast

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.data import extract_batch_size
from torch import Tensor, distributed
from torch.utils.data import DataLoader, DistributedSampler, RandomSampler, SequentialSampler

from ..errors import UsageError


def rank_and_world() -> tuple[int, int]:
    """Return the number of this process, from 0, and how many there are."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def share(batch: Tensor, rank: int, world: int) -> Tensor:
    r"""Return one process's rows of a batch, a view: as many as of the others, or one more or less.

    .. math:: B^{(r)} = B_{\lfloor n r / W \rfloor}, \dots, B_{\lfloor n (r + 1) / W \rfloor - 1}

    All parts one after another are the batch; where it has fewer rows than there are processes,
    some have none.

    Args:
        batch: its rows, shape (n, …).
        rank: this process, r.
        world: how many processes there are, W.

    Returns:
        The rows of this process, shape (n_r, …).

    >>> [share(torch.arange(5), rank, 3).tolist() for rank in range(3)]
    [[0], [1, 2], [3, 4]]
    """
    rows = len(batch)
    return batch[rows * rank // world : rows * (rank + 1) // world]


def sum_over_processes(values: list[Tensor | float], device: torch.device) -> list[Tensor]:
    """Return the sum of each number over all processes, in float64 where the device has it.

    To be called in all processes.
    """
    double = torch.float32 if device.type == "mps" else torch.float64
    packed = torch.stack([torch.as_tensor(value, dtype=double, device=device) for value in values])
    if rank_and_world()[1] > 1:
        distributed.all_reduce(packed)
    return list(packed)


def batch_rows(batch: Any) -> int:
    """Return the length of the first tensor in a batch; 1 of a batch without one."""
    try:
        return extract_batch_size(batch)
    except MisconfigurationException:
        return 1


def rows_of_all_processes(batch: Any, device: torch.device) -> int:
    """Return how many rows of a batch all processes have; to be called in all of them."""
    rows = batch_rows(batch)
    return int(sum_over_processes([rows], device)[0]) if rank_and_world()[1] > 1 else rows


def mean_over_processes(value: Tensor, batch: Any) -> tuple[Tensor, Tensor]:
    """Return the mean of a value over all processes, each weighed by its rows, and the rows of all.

    Args:
        value: of this process's part of a batch: a mean over its rows.
        batch: that part; one without rows adds nothing, whatever its value.
    """
    rows = batch_rows(batch)
    total, count = sum_over_processes([value * rows if rows else 0.0, rows], value.device)
    return total / count, count


def check_divides(loaders: Any, world: int) -> None:
    """Refuse a DataLoader of which some rows would count twice.

    Lightning gives a DataLoader torch's DistributedSampler, by which each process has as many rows
    as the others, and which repeats rows where they do not divide.

    Args:
        loaders: one, or a collection of them; what is no DataLoader is not looked at.
        world: how many processes there are.

    Raises:
        UsageError: if rows do not divide.
    """
    if isinstance(loaders, Mapping | list | tuple):
        for loader in loaders.values() if isinstance(loaders, Mapping) else loaders:
            check_divides(loader, world)
    if world == 1 or not isinstance(loaders, DataLoader):
        return
    sampler = loaders.sampler
    if isinstance(sampler, DistributedSampler):
        rows = 0 if sampler.drop_last else len(cast(Sized, sampler.dataset))
    else:
        divided = isinstance(sampler, RandomSampler | SequentialSampler)
        rows = len(cast(Sized, sampler)) if divided else 0
    if rows % world:
        raise UsageError(
            f"a DataLoader of {rows} rows does not divide among {world} processes, and some would "
            f"count twice: give a multiple of {world} rows, a descentlab.datamodules.TensorLoader, "
            "which divides any number, or trainer.devices 1"
        )
