"""A loader whose batches are slices of tensors."""

import math
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..errors import UsageError
from .processes import check_chunk, rank_and_world, share
from .resumable import ResumableLoader

#: rows that are gathered at once: all of most data, and little memory beside the data themselves
ROWS_AT_ONCE = 2**16


def permutation(seed: int, epoch: int, rows: int, dtype: torch.dtype = torch.int64) -> Tensor:
    r"""Return the order of the rows in an epoch: a function of seed and epoch alone.

    .. math:: \pi = \text{randperm}(N; h(s, e))

    h mixes the seed s and the epoch e (NumPy's SeedSequence), so that (1, 0) and (0, 1) differ.

    Args:
        seed: any integer; taken modulo 2**64.
        epoch: the epoch, from 0.
        rows: how many rows there are, N.
        dtype: of the result, which has the same values in each.

    Returns:
        A permutation of 0 … N-1, shape (N,).

    >>> torch.equal(permutation(0, 1, 50), permutation(0, 1, 50))
    True
    >>> torch.equal(permutation(0, 1, 50), permutation(1, 0, 50))
    False
    """
    mixed = np.random.SeedSequence([seed % 2**64, epoch]).generate_state(1, np.uint64)
    generator = torch.Generator().manual_seed(int(mixed[0]))
    return torch.randperm(rows, generator=generator, dtype=dtype)


class Chunk(NamedTuple):
    """The rows of several batches that follow one another.

    Attributes:
        tensors: each of shape (rows, …).
        size: rows in a batch; the last one may be shorter.
    """

    tensors: tuple[Tensor, ...]
    size: int

    def rows(self, start: int, stop: int) -> "Chunk":
        """Return the chunk from one batch to before another."""
        rows = slice(start * self.size, stop * self.size)
        return Chunk(tuple(part[rows] for part in self.tensors), self.size)

    @property
    def updates(self) -> int:
        """The number of batches."""
        return math.ceil(len(self.tensors[0]) / self.size)

    def batches(self) -> list[tuple[Tensor, ...]]:
        """Return the batches, as views."""
        if not self.updates:  # torch.split would give one batch without rows
            return []
        return list(zip(*(torch.split(part, self.size) for part in self.tensors), strict=True))


class TensorLoader(ResumableLoader):
    """Batches as slices of tensors; shuffled, one permutation per epoch.

    Many rows are gathered at once and then split, so that a batch costs microseconds. Unshuffled,
    the batches are views. Under torch.distributed the batches are those of one process, and each
    rank gets its `share` of every one of them: `batch_size` is that of all ranks together, no row
    counts twice, and a rank may get a batch without rows.

    Args:
        tensors: one or more tensors with the same number of rows; they may be memory-mapped.
        batch_size: rows in a batch, over all ranks, the last one being shorter; None for all rows
            at once.
        shuffle: whether each epoch has its own order.
        chunk: how many batches are handed over at once, as a `Chunk`; 1 for batches themselves.
        seed: what the orders are a function of, with the epoch.

    Raises:
        UsageError: no tensor, no rows, unequal numbers of rows, or a batch size below 1.

    >>> [x.tolist() for (x,) in TensorLoader(torch.arange(5), batch_size=2)]
    [[0, 1], [2, 3], [4]]
    """

    def __init__(
        self,
        *tensors: Tensor,
        batch_size: int | None = None,
        shuffle: bool = False,
        seed: int = 0,
        chunk: int = 1,
    ) -> None:
        super().__init__()
        counts = [len(tensor) for tensor in tensors]
        if not counts or min(counts) < 1 or min(counts) != max(counts):
            raise UsageError(f"a loader needs tensors with the same number of rows, not {counts}")
        if batch_size is not None and batch_size < 1:
            raise UsageError(f"batch_size = {batch_size} is below 1: give 1 or more")
        self.tensors = tensors
        self.batch_size = batch_size
        if chunk < 1:
            raise UsageError(f"chunk = {chunk} is below 1: give 1 or more")
        self.shuffle = shuffle
        self.chunk = chunk
        self.seed = seed

    @property
    def rows(self) -> int:
        """The number of rows, over all ranks."""
        return len(self.tensors[0])

    def __len__(self) -> int:
        return math.ceil(self.rows / ((self.batch_size or self.rows) * self.chunk))

    def __iter__(self) -> Iterator[tuple[Tensor, ...] | Chunk]:
        # A generator: nothing runs before the first batch is asked for, so set_epoch comes in time.
        size = self.batch_size or self.rows
        step = size * self.chunk
        start = self.begin()
        rank, world = (0, 1) if self.whole else rank_and_world()
        check_chunk(self.chunk, world)
        batches = chain.from_iterable(self._gathered(start * step, step, rank, world))
        for self.handed, batch in enumerate(batches, start + 1):
            yield batch if self.chunk == 1 else Chunk(batch, size)

    def _gathered(
        self, start: int, step: int, rank: int, world: int
    ) -> Iterator[Iterable[tuple[Tensor, ...]]]:
        """Yield a rank's part of the steps of the epoch from a row on, of many steps at a time."""
        if start >= self.rows:  # splitting no rows would give an empty batch
            return
        if not self.shuffle:
            every = zip(
                *(torch.split(tensor[start:], step) for tensor in self.tensors), strict=True
            )
            yield (tuple(share(part, rank, world) for part in parts) for parts in every)
            return
        narrow = torch.int32 if self.rows < 2**31 else torch.int64  # half the memory
        order = permutation(self.seed, self.epoch, self.rows, narrow)[start:]
        for rows in torch.split(order, max(ROWS_AT_ONCE // step, 1) * step):
            own, sizes = _own(rows, step, rank, world)
            parts = (torch.split(_taken(tensor, own), sizes) for tensor in self.tensors)
            yield zip(*parts, strict=True)

    def identity(self) -> dict[str, int]:
        """Return the number of rows and the batch size, 0 for all rows at once."""
        return {"rows": self.rows, "batch_size": self.batch_size or 0}

    def state_dict(self) -> dict[str, int]:
        """Return seed, epoch and position of the batch that comes next, as plain integers."""
        return {"seed": self.seed, "chunk": self.chunk, **super().state_dict()}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on from a state: its seed, its epoch and its position.

        Args:
            state: what `state_dict` returned, in this or in another process.

        Raises:
            UsageError: the number of rows or the batch size differ or, in the middle of an epoch,
                the chunk. The number of processes may differ.
        """
        if state["position"] and state["chunk"] != self.chunk:
            raise UsageError(
                f"the checkpoint was made in mid-epoch with chunk = {state['chunk']}, this run has "
                f"{self.chunk}: resume with the same, or from the end of an epoch"
            )
        super().load_state_dict(state)
        self.seed = state["seed"]


def _taken(tensor: Tensor, rows: Tensor) -> Tensor:
    """Return some rows; a single column as a vector, for which torch is three times as fast."""
    if tensor.numel() == len(tensor):
        return tensor.view(-1).index_select(0, rows).view(-1, *tensor.shape[1:])
    return tensor.index_select(0, rows)


def _own(rows: Tensor, step: int, rank: int, world: int) -> tuple[Tensor, int | list[int]]:
    """Return a rank's part of each step of some rows, one after another, and their lengths."""
    if world == 1:
        return rows, step
    parts = [share(part, rank, world) for part in torch.split(rows, step)]
    return torch.cat(parts), [len(part) for part in parts]
