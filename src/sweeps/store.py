"""Storage of the finished groups of a sweep."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import UsageError
from ..runs.files import save_atomically
from ..runs.reading import read_plain
from .members import Group

PROBLEM = (
    "is damaged: the members trained before the checkpoint are in it; keep a run's "
    "checkpoints together, or begin a new sweep"
)


class Store:
    """Finished groups, a file each beside the run's checkpoints, or in memory without a folder.

    Args:
        folder: the folder of the checkpoints, or None.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._kept: dict[int, dict[str, Any]] = {}

    def keep(self, number: int, group: dict[str, Any]) -> None:
        """Keep a finished group."""
        if self._folder is None:
            self._kept[number] = group
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        save_atomically(group, group_file(self._folder, number))

    def take_over(self, groups: Sequence[Group], folder: Path) -> None:
        """Take the first groups over from the run that this one goes on with.

        Args:
            groups: those that were finished.
            folder: where its checkpoint is.

        Raises:
            UsageError: if one is missing.
        """
        for number, group in enumerate(groups):
            self.keep(number, read_group(folder, number, group))

    def groups(self, groups: Sequence[Group]) -> list[dict[str, Any]]:
        """Return what is kept of the first groups."""
        if self._folder is None:
            return [self._kept[number] for number in range(len(groups))]
        return [read_group(self._folder, number, group) for number, group in enumerate(groups)]


def group_file(folder: Path, number: int) -> Path:
    """Return the file of a finished group."""
    return folder / f"members_{number:05}.pt"


def read_group(folder: Path, number: int, group: Group) -> dict[str, Any]:
    """Read what is kept of a finished group.

    Raises:
        UsageError: if its file is missing or damaged, or is of other members.
    """
    path = group_file(folder, number)
    found: dict[str, Any] = read_plain(path, PROBLEM)
    if not is_of(group, found):
        raise UsageError(f"{path} {PROBLEM}")
    return found


def under_way(saved: Mapping[str, Any], state: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a checkpoint knows of the group that was under way, its parameters included.

    Args:
        saved: what it holds of the sweep.
        state: of the sweep as a module.
    """
    names = saved.get("parameters")
    known = [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
    return {**saved, "last": {name: state.get(f"module.{name}") for name in known}}


def is_of(group: Group, found: Any) -> bool:
    """Return whether a value is what is known of a group: of its members, and whole."""
    count = len(group.members)
    if not _has(found, GROUP) or found["members"] != list(group.members):
        return False
    record, last, names = found["record"], found["last"], found["parameters"]
    if (
        not _has(record, RECORD)
        or list(last) != names
        or not all(
            isinstance(p, Tensor) and p.is_floating_point() and p.shape[:1] == (count,)
            for p in last.values()
        )
    ):
        return False
    shapes = {name: p.shape for name, p in last.items()}
    best = {name: getattr(p, "shape", None) for name, p in record["best"].items()}
    vectors = [record[name] for name in ("diverged", "best_epoch", "best_loss")]
    vectors += record["start"].values()
    measured, sets = record["epochs"], record["sets"]
    return (
        (best == shapes or (not best and not measured))
        and all(type(epoch) is int for epoch in measured)
        and all(isinstance(name, str) for name in (*sets, *record["start"]))
        and all(isinstance(each, Tensor) and each.shape == (count,) for each in vectors)
        and record["losses"].shape == (len(measured), len(sets) if measured else 0, count)
        and set(record["best_epoch"].tolist()) <= {-1, *measured}
    )


#: what is known of a group, and in its record, each with its kind
GROUP: dict[str, type] = {
    **{"members": list, "parameters": list, "record": Mapping, "last": Mapping},
    **{"epoch": int, "ended": int, "updates": int, "finished": bool},
}
RECORD: dict[str, type] = {
    **{"epochs": list, "sets": list, "losses": Tensor, "diverged": Tensor, "best_epoch": Tensor},
    **{"best_loss": Tensor, "best": Mapping, "start": Mapping},
}


def _has(found: Any, kinds: Mapping[str, type]) -> bool:
    return isinstance(found, Mapping) and all(
        isinstance(found.get(name), kind) for name, kind in kinds.items()
    )
