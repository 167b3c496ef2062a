"""The members of a sweep: every point of a grid with every seed, cut into groups."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import UsageError

#: members that a sweep has at most: each is a row of every table
MOST_MEMBERS = 100_000
#: what `seed_everything` takes
LARGEST_SEED = 2**32 - 1
DAMAGED = "what the checkpoint holds of the sweep is damaged: begin a new one"


@dataclass(frozen=True)
class Group:
    """Members that are trained at the same time: some seeds with some points of the grid.

    Args:
        seeds: the seeds.
        points: the numbers of the points.
        members: the numbers of the members, seed by seed.
    """

    seeds: tuple[int, ...]
    points: tuple[int, ...]
    members: tuple[int, ...]


@dataclass(frozen=True)
class Members:
    """The product of a grid and seeds; member s·K + k has seed number s and point number k.

    Args:
        names: the swept hyperparameters.
        points: the K points of the grid, the last name changing fastest.
        seeds: the seeds.
    """

    names: tuple[str, ...]
    points: tuple[tuple[float, ...], ...]
    seeds: tuple[int, ...]

    @classmethod
    def of(cls, grid: Mapping[str, Sequence[float]], seeds: Sequence[int]) -> "Members":
        """Return all members.

        Raises:
            UsageError: if there are too many, or a seed is no seed or is there twice.

        Example:
            >>> Members.of({"lr": [0.1, 0.2], "momentum": [0.0, 0.9]}, [7]).values(2)
            {'lr': 0.2, 'momentum': 0.0, 'seed': 7}
        """
        for seed in seeds:
            if not 0 <= seed <= LARGEST_SEED:
                raise UsageError(f"seeds: {seed} is no seed: give 0 to {LARGEST_SEED}")
        if len(set(seeds)) < len(seeds) or not seeds:
            raise UsageError(f"seeds = {list(seeds)}: give at least one, and each once")
        count = len(seeds) * math.prod(map(len, grid.values()))
        if count > MOST_MEMBERS:
            raise UsageError(
                f"the grid with its seeds has {count} members, and {MOST_MEMBERS} are the most: "
                "give fewer values, or several sweeps"
            )
        points = tuple(itertools.product(*(map(float, values) for values in grid.values())))
        return cls(tuple(grid), points, tuple(seeds))

    def __len__(self) -> int:
        return len(self.seeds) * len(self.points)

    def values(self, member: int) -> dict[str, Any]:
        """Return the swept values and the seed of a member, by name."""
        seed, point = divmod(member, len(self.points))
        return {**dict(zip(self.names, self.points[point], strict=True)), "seed": self.seeds[seed]}

    def cut(self, at_once: int) -> list[Group]:
        """Cut the members into groups of nearly equal size.

        A group has whole seeds, or a part of one: members of one seed share their batches.

        Args:
            at_once: members in a group at most, >= 1.

        Example:
            >>> members = Members.of({"lr": [0.1, 0.2, 0.3]}, [0, 1])
            >>> [group.members for group in members.cut(2)]
            [(0, 1), (2,), (3, 4), (5,)]
        """
        points, seeds = range(len(self.points)), range(len(self.seeds))
        if len(points) > at_once:
            parts = itertools.product(_even([*seeds], 1), _even([*points], at_once))
        else:
            parts = itertools.product(_even([*seeds], at_once // len(points)), [tuple(points)])
        return [
            Group(
                tuple(self.seeds[s] for s in some_seeds),
                some_points,
                tuple(s * len(points) + k for s in some_seeds for k in some_points),
            )
            for some_seeds, some_points in parts
        ]

    def hyperparameters(self, group: Group) -> dict[str, Tensor]:
        """Return the swept values of a group's members, by name; each (M,), float64."""
        table = torch.tensor([self.points[k] for k in group.points], dtype=torch.float64)
        columns = table.repeat(len(group.seeds), 1).T
        return dict(zip(self.names, columns, strict=True))

    def as_plain(self) -> dict[str, Any]:
        """Return all of it as plain types, for a checkpoint."""
        return {
            "names": list(self.names),
            "points": [list(point) for point in self.points],
            "seeds": list(self.seeds),
        }


@dataclass(frozen=True)
class Plan:
    """What was configured for a sweep.

    Args:
        optimizer: the class, and the hyperparameters that all members share, as text.
        grid: values for each swept hyperparameter.
        seeds: those given, or None for the seed of the run.
    """

    optimizer: tuple[str, str]
    grid: Mapping[str, Sequence[float]]
    seeds: Sequence[int] | None

    def members(self, seed: int) -> Members:
        """Return all members, in a run with a seed."""
        return Members.of(self.grid, [seed] if self.seeds is None else self.seeds)

    def identity(self, members: Members) -> dict[str, Any]:
        """Return what must be the same in a run that goes on, as plain types."""
        return {"optimizer": list(self.optimizer), **members.as_plain()}

    def saved_in(self, checkpoint: Mapping[str, Any]) -> tuple[Members, dict[str, Any]]:
        """Return the members of a checkpoint, and what it holds of them.

        Raises:
            UsageError: if it is of another sweep, or of none.
        """
        saved: dict[str, Any] | None = checkpoint.get("sweep")
        if saved is None:
            raise UsageError(
                "the checkpoint is of a single run, and the model is a Sweep: give the last.ckpt "
                "of a sweep, or begin a new run"
            )
        held = saved.get("identity") if isinstance(saved, Mapping) else None
        if not isinstance(held, Mapping) or not _are_seeds(held.get("seeds")):
            raise UsageError(DAMAGED)
        members = Members.of(self.grid, held["seeds"] if self.seeds is None else self.seeds)
        at_once, group = saved.get("at_once"), saved.get("group")
        if not isinstance(at_once, int) or not 1 <= at_once <= len(members):
            raise UsageError(DAMAGED)
        if not isinstance(group, int) or not 0 <= group < len(members.cut(at_once)):
            raise UsageError(DAMAGED)
        for name, value in self.identity(members).items():
            if held.get(name) != value:
                raise UsageError(
                    f"the checkpoint is of a sweep with other {name}: configure the sweep that the "
                    "run began with, or begin a new run"
                )
        return members, saved


def _are_seeds(value: Any) -> bool:
    return isinstance(value, list) and all(type(seed) is int for seed in value)


def _even(items: list[int], size: int) -> list[tuple[int, ...]]:
    parts = math.ceil(len(items) / size)
    edges = [len(items) * part // parts for part in range(parts + 1)]
    # the larger parts first: what fits there fits everywhere
    return sorted(
        (tuple(items[low:high]) for low, high in itertools.pairwise(edges)),
        key=lambda part: (-len(part), part),
    )
