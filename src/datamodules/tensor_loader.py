"""A loader whose batches are slices of tensors."""

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from ..errors import UsageError
from .processes import rank_and_world, share
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
        seed: what the orders are a function of, with the epoch.

    Raises:
        UsageError: no tensor, no rows, unequal numbers of rows, or a batch size below 1.

    Example:
        >>> [x.tolist() for (x,) in TensorLoader(torch.arange(5), batch_size=2)]
        [[0, 1], [2, 3], [4]]
    """

    def __init__(
        self,
        *tensors: Tensor,
        batch_size: int | None = None,
        shuffle: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        counts = [len(tensor) for tensor in tensors]
        if not counts or min(counts) < 1 or min(counts) != max(counts):
            raise UsageError(f"a loader needs tensors with the same number of rows, not {counts}")
        if batch_size is not None and batch_size < 1:
            raise UsageError(f"batch_size = {batch_size} is below 1: give 1 or more")
        self.tensors = tensors
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed

    @property
    def rows(self) -> int:
        """The number of rows, over all ranks."""
        return len(self.tensors[0])

    def __len__(self) -> int:
        return math.ceil(self.rows / (self.batch_size or self.rows))

    def __iter__(self) -> "Batches":
        return Batches(self)  # which begins where the first batch is asked for, after set_epoch

    def blocks(self) -> Iterator[tuple[tuple[Tensor, ...], int | list[int]]]:
        """Yield this process's rows of many batches at a time, and how many each batch has.

        They are those of one pass, which begins with it.
        """
        step = self.batch_size or self.rows
        rank, world = (0, 1) if self.whole else rank_and_world()
        start = self.begin() * step
        if start >= self.rows:  # splitting no rows would give an empty batch
            return
        if not self.shuffle:
            every = tuple(tensor[start:] for tensor in self.tensors)
            if world == 1:
                yield every, step
                return
            for parts in zip(*(torch.split(tensor, step) for tensor in every), strict=True):
                own = tuple(share(part, rank, world) for part in parts)
                yield own, [len(own[0])]
            return
        narrow = torch.int32 if self.rows < 2**31 else torch.int64  # half the memory
        order = permutation(self.seed, self.epoch, self.rows, narrow)[start:]
        for rows in torch.split(order, max(ROWS_AT_ONCE // step, 1) * step):
            mine, sizes = _own(rows, step, rank, world)
            yield tuple(_taken(tensor, mine) for tensor in self.tensors), sizes

    def identity(self) -> dict[str, int]:
        """Return the number of rows and the batch size, 0 for all rows at once."""
        return {"rows": self.rows, "batch_size": self.batch_size or 0}

    def state_dict(self) -> dict[str, int]:
        """Return seed, epoch and position of the batch that comes next, as plain integers."""
        return {"seed": self.seed, **super().state_dict()}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on from a state: its seed, its epoch and its position.

        Args:
            state: what `state_dict` returned, in this or in another process.

        Raises:
            UsageError: the number of rows or the batch size differ. The number of processes may.
        """
        super().load_state_dict(state)
        self.seed = state["seed"]


class Batches(Iterator[tuple[Tensor, ...]]):
    """One pass over a loader: its batches one by one, or many that follow one another at once.

    Args:
        loader: whose pass it is. It begins where the first batch is asked for.

    >>> batches = iter(TensorLoader(torch.arange(7), batch_size=2))
    >>> next(batches)[0].tolist(), batches.ahead(3), batches.stacked(2)[0].tolist()
    ([0, 1], 2, [[2, 3], [4, 5]])
    >>> batches.skip(2)
    >>> next(batches)[0].tolist()
    [6]
    """

    def __init__(self, loader: TensorLoader) -> None:
        self.loader = loader
        self.size = loader.batch_size or loader.rows
        self._blocks = loader.blocks()
        self._rows: tuple[Tensor, ...] = ()  # those at hand
        self._given = 0  # how many of them were given, where each batch has as many
        self._batches: Iterator[tuple[Tensor, ...]] | None = None
        self._handed: int | None = None

    @property
    def whole(self) -> int:
        """How many batches of an epoch have all their rows."""
        return self.loader.rows // self.size

    def __next__(self) -> tuple[Tensor, ...]:
        batch = next(self._batches, None) if self._batches is not None else None
        if batch is None:
            self._batches = self._split()
            batch = next(self._batches)
        self._move(1)
        return batch

    def _split(self) -> Iterator[tuple[Tensor, ...]]:
        """Return the batches of the rows at hand, or of the next."""
        sizes: int | list[int] = self.size
        rows = tuple(part[self._given :] for part in self._rows)
        if not rows or not len(rows[0]):
            self._rows, sizes = next(self._blocks)
            self._given, rows = 0, self._rows
        return zip(*(torch.split(part, sizes) for part in rows), strict=True)

    def _move(self, batches: int) -> None:
        if self._handed is None:
            self._handed = self.loader.handed  # where the pass began
        self._handed += batches
        self.loader.handed = self._handed
        self._given += batches * self.size

    def ahead(self, most: int) -> int:
        """Return how many whole batches come next, up to so many; of one process."""
        while self._left() < most * self.size:
            more = next(self._blocks, None)
            if more is None:
                break
            left = (part[self._given :] for part in self._rows)
            self._rows = (
                tuple(map(torch.cat, zip(left, more[0], strict=True))) if self._left() else more[0]
            )
            self._given, self._batches = 0, None
        return min(most, self._left() // self.size)

    def _left(self) -> int:
        return max(len(self._rows[0]) - self._given, 0) if self._rows else 0

    def stacked(self, batches: int) -> tuple[Tensor, ...]:
        """Return the next batches, tensors of shape (batches, rows, …), and stay before them.

        Args:
            batches: no more than are `ahead`.
        """
        rows = slice(self._given, self._given + batches * self.size)
        return tuple(part[rows].reshape(batches, self.size, *part.shape[1:]) for part in self._rows)

    def skip(self, batches: int) -> None:
        """Go on behind some batches that were taken `stacked`."""
        self._move(batches)
        self._batches = None


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
