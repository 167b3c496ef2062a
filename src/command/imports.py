"""Nothing is imported from a run's folder: it may come from anyone, and code is never data."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

from ..errors import UsageError
from ..runs.names import folder_of


def flag_at(words: Sequence[str], index: int) -> tuple[str, str, int]:
    """Return the flag at a place, its value, and how many words they take."""
    flag, equals, value = words[index].partition("=")
    if equals:
        return flag, value, 1
    return flag, words[index + 1] if index + 1 < len(words) else "", 2


def run_folders(words: Sequence[str]) -> list[Path]:
    """Return the folders of the runs that a command speaks of."""
    found = []
    for index in range(len(words)):
        flag, value, _ = flag_at(words, index)
        path = Path(os.path.expanduser(value)).absolute()
        if flag in ("--run", "--resume") and value:
            found.append(folder_of(value).absolute())
        elif flag == "--ckpt_path" and path.parent.name == "checkpoints":
            found.append(path.parent.parent)
        elif flag in ("--config", "-c") and os.path.isdir(path.parent / "checkpoints"):
            found.append(path.parent)
    return [Path(os.path.realpath(folder)) for folder in found if _is_folder_of_run(folder)]


def _is_folder_of_run(folder: Path) -> bool:
    """Return whether a folder may hold a run; what holds none, `/` for one, is refused later."""
    return any(os.path.exists(folder / name) for name in ("config.yaml", "checkpoints"))


@contextmanager
def never_from(folders: Sequence[Path]) -> Iterator[None]:
    """Refuse, inside, every import of what lies in one of the folders.

    Args:
        folders: whole paths, without links.
    """
    if not folders:
        yield
        return
    finder = _Refusal(folders)
    place = sys.meta_path.index(PathFinder) if PathFinder in sys.meta_path else 0
    sys.meta_path.insert(place, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _Refusal(MetaPathFinder):
    """Find modules as Python's own finder does, and refuse those inside the folders."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = folders

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path, target)
        for place in (spec.origin, *(spec.submodule_search_locations or ())) if spec else ():
            file = Path(os.path.realpath(place)) if place else None
            if file and any(file.is_relative_to(folder) for folder in self.folders):
                raise UsageError(
                    f"{fullname} would be imported from {file}, inside the folder of a run: what "
                    "a run needs has to be installed, or lie elsewhere"
                )
        return spec
