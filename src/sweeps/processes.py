"""Members of a sweep divided among processes: who trains which, and what all of them have."""

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor, distributed

from ..datamodules.processes import rank_and_world
from ..errors import UsageError
from ..internals.processes import leave_unwrapped
from .members import Group
from .store import under_way

#: what has the members in its last dimension; all else that has them has them in its first
LAST = ("losses",)


def part_of(group: Group, rank: int, world: int) -> Group:
    r"""Return one process's members of a group: a part of its points, or of its seeds.

    What is cut is what leaves the fewest members to the busiest process; of two that leave as
    many, the seeds, whose batches are then in one process alone.

    Args:
        group: the members of all processes.
        rank: this process.
        world: how many processes there are.

    Raises:
        UsageError: if a process would have no member.

    >>> group = Group((7,), (0, 1, 2, 3, 4), (0, 1, 2, 3, 4))
    >>> [part_of(group, rank, 2).points for rank in range(2)]
    [(0, 1), (2, 3, 4)]
    """
    seeds, points = len(group.seeds), len(group.points)
    if max(seeds, points) < world:
        raise UsageError(
            f"{seeds * points} members ({points} points of the grid, {seeds} seeds) do not divide "
            f"among {world} processes, which share out points or seeds: give at most "
            f"{max(seeds, points)} processes"
        )
    busiest = {"seeds": -(-seeds // world) * points, "points": -(-points // world) * seeds}
    by_seeds = seeds >= world and (points < world or busiest["seeds"] <= busiest["points"])
    length = seeds if by_seeds else points
    some = range(length * rank // world, length * (rank + 1) // world)
    of_seeds, of_points = (some, range(points)) if by_seeds else (range(seeds), some)
    return Group(
        tuple(group.seeds[s] for s in of_seeds),
        tuple(group.points[k] for k in of_points),
        tuple(group.members[s * points + k] for s in of_seeds for k in of_points),
    )


def take(value: Any, rows: Sequence[int], count: int, name: str = "") -> Any:
    """Return some members' rows of all that is known of a group.

    Args:
        value: tensors of one row for each member, lists `members`, and what is of none, in dicts.
        rows: which.
        count: how many members the group has.
        name: of the value, in its dict.
    """
    if isinstance(value, dict):
        return {key: take(each, rows, count, key) for key, each in value.items()}
    if isinstance(value, list) and name == "members":
        return [value[row] for row in rows]
    if isinstance(value, list):
        return [take(each, rows, count) for each in value]
    dim = _dimension(value, name, count)
    return value if dim is None else value.index_select(dim, torch.tensor(rows).to(value.device))


def join(values: Sequence[Any], rows: Sequence[Sequence[int]], name: str = "") -> Any:
    """Return what is known of a group, from what is known of its parts: `take` undone.

    Args:
        values: of each part.
        rows: those of each part.
        name: of the value, in its dict.
    """
    first, order = values[0], [row for some in rows for row in some]
    if isinstance(first, dict):
        return {key: join([each[key] for each in values], rows, key) for key in first}
    if isinstance(first, list) and name == "members":
        placed = dict(zip(order, itertools.chain(*values), strict=True))
        return [placed[row] for row in range(len(order))]
    if isinstance(first, list):
        return [join(each, rows) for each in zip(*values, strict=True)]
    dim = _dimension(first, name, len(rows[0]))
    if dim is None:
        return first
    found = torch.cat([each.cpu() for each in values], dim)
    return found.index_select(dim, torch.tensor(order).argsort())


def _dimension(value: Any, name: Any, count: int) -> int | None:
    """Return which dimension of a value has the members, None where none has."""
    if not isinstance(value, Tensor) or not value.dim():
        return None
    dim = -1 if name in LAST else 0
    return dim if value.shape[dim] == count else None


class Division:
    """A group whose members are divided among the processes; of one process it has all of them.

    Args:
        group: the members of all processes.

    Attributes:
        part: this process's members.
        known: what the last checkpoint holds of all members, in the first process of several.

    Raises:
        UsageError: if a process would have no member.
    """

    def __init__(self, group: Group) -> None:
        rank, self._world = rank_and_world()
        parts = [part_of(group, each, self._world) for each in range(self._world)]
        row = {member: number for number, member in enumerate(group.members)}
        self._group, self.part = group, parts[rank]
        self._rows = [[row[member] for member in part.members] for part in parts]
        self._own = self._rows[rank]
        self.known: dict[str, Any] | None = None

    def gather(self, value: Any) -> Any:
        """Return what the first process knows of all members, elsewhere None.

        To be called in all processes.

        Args:
            value: what is known of the members of this process.
        """
        if self._world == 1:
            return value
        values = [None] * self._world if distributed.get_rank() == 0 else None
        distributed.gather_object(value, values)
        return None if values is None else join(values, self._rows)

    def make_whole(self, checkpoint: dict[str, Any]) -> None:
        """Give a checkpoint of this process what others know; to be called in all processes."""
        whole = self.gather(_of_members(checkpoint)) if self._world > 1 else None
        if whole is not None:
            _put_back(checkpoint, whole)
            self.known = under_way(checkpoint["sweep"], checkpoint["state_dict"])

    def make_own(self, checkpoint: dict[str, Any]) -> None:
        """Leave in a checkpoint what is of the members of this process."""
        if self._world > 1:
            known = take(_of_members(checkpoint), self._own, len(self._group.members))
            _put_back(checkpoint, known)


def _of_members(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Return what a checkpoint has one row of for each member."""
    state, saved = checkpoint["state_dict"], checkpoint["sweep"]
    return {
        "sweep": saved,
        "state_dict": {name: state[name] for name in map("module.{}".format, saved["parameters"])},
        "optimizer_states": checkpoint.get("optimizer_states", []),
    }


def _put_back(checkpoint: dict[str, Any], known: dict[str, Any]) -> None:
    """Put what was made of `_of_members` into a checkpoint."""
    checkpoint.update({**known, "state_dict": {**checkpoint["state_dict"], **known["state_dict"]}})


def least_of_all(values: Tensor) -> Tensor:
    """Return the least of each number over all processes; to be called in all of them."""
    if rank_and_world()[1] > 1:
        distributed.all_reduce(values, distributed.ReduceOp.MIN)
    return values


def members_of_all(at_once: int, trainer: Trainer) -> int:
    """Return how many members all processes hold, from how many one of them could alone.

    To be called in all processes.

    Args:
        at_once: what fits where this process is: into its accelerator, or into the memory that all
            processes of a machine share.
        trainer: knows the processes.
    """
    if trainer.world_size == 1:
        return at_once
    device = trainer.strategy.root_device
    least = int(least_of_all(torch.tensor(at_once, device=device)))
    return least * (trainer.num_nodes if device.type == "cpu" else trainer.world_size)


def leave_members_alone(trainer: Trainer) -> None:
    """Have each process train its own members, without an exchange of parameters or gradients.

    Raises:
        UsageError: if the strategy is another than DDP with processes of their own.
    """
    if trainer.world_size == 1:
        return
    strategy = trainer.strategy
    if not isinstance(strategy, DDPStrategy) or not leave_unwrapped(strategy):
        raise UsageError(
            "a sweep is divided among processes by --trainer.strategy ddp alone: give that, or "
            "--trainer.devices 1"
        )
