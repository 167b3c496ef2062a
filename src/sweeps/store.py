"""Storage of the finished groups of a sweep."""

from pathlib import Path
from typing import Any

from ..runs.files import save_atomically
from ..runs.reading import read_plain


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

    def take_over(self, count: int, folder: Path) -> None:
        """Take the first groups over from the run that this one goes on with.

        Args:
            count: how many were finished.
            folder: where its checkpoint is.

        Raises:
            UsageError: if one is missing.
        """
        for number in range(count):
            self.keep(number, read_group(folder, number))

    def groups(self, count: int) -> list[dict[str, Any]]:
        """Return the first groups."""
        if self._folder is None:
            return [self._kept[number] for number in range(count)]
        return [read_group(self._folder, number) for number in range(count)]


def group_file(folder: Path, number: int) -> Path:
    """Return the file of a finished group."""
    return folder / f"members_{number:05}.pt"


def read_group(folder: Path, number: int) -> dict[str, Any]:
    """Read a finished group.

    Raises:
        UsageError: if its file is missing or damaged.
    """
    problem = (
        "is damaged: the members trained before the checkpoint are in it; keep a run's "
        "checkpoints together, or begin a new sweep"
    )
    group: dict[str, Any] = read_plain(group_file(folder, number), problem)
    return group
