"""Running entries, one after the other, and keeping how each came out."""

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from .entry import Entry, Picture, Result
from .runs import Runs


def reproduce(
    entries: Sequence[Entry], folder: Path, on_result: Callable[[Result], None] | None = None
) -> list[Result]:
    """Run entries and hold them against their claims.

    The runs themselves are made in a temporary folder; pictures go to `pictures/` in the report's.

    Args:
        entries: in the order in which they are run; those that share a run share it.
        folder: of the report.
        on_result: called after each entry.

    Returns:
        One result for each entry. An entry that cannot be run has failed, and says why.
    """
    results = []
    with tempfile.TemporaryDirectory(prefix="descentlab-") as scratch:
        runs = Runs(Path(scratch))
        for entry in entries:
            results.append(reproduce_one(entry, runs, folder))
            if on_result is not None:
                on_result(results[-1])
    return results


def reproduce_one(entry: Entry, runs: Runs, folder: Path) -> Result:
    """Run one entry.

    Args:
        entry: the entry.
        runs: what has been run so far.
        folder: of the report.
    """
    runs.asked.clear()
    start = time.perf_counter()
    try:
        measured = entry.measure(runs)
        picture = None
        if measured.picture is not None:
            picture = keep_picture(measured.picture, folder, entry.id)
    except Exception as error:  # whatever it is, the other entries and the report go on
        seconds = time.perf_counter() - start
        wrong = f"{type(error).__name__}: {error}"
        return Result(entry, entry.judge({}), list(runs.asked), seconds, error=wrong)
    return Result(
        entry,
        entry.judge(measured.values),
        list(runs.asked),
        time.perf_counter() - start,
        picture,
        measured.details,
    )


def keep_picture(picture: Picture, folder: Path, name: str) -> str:
    """Write a picture into the report's folder, and return its path there.

    Args:
        picture: a figure, the content of a PNG, or a PNG's path.
        folder: of the report.
        name: of the file, without its suffix.
    """
    path = folder / "pictures" / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(picture, Path):
        path.write_bytes(picture.read_bytes())
    elif isinstance(picture, bytes):
        path.write_bytes(picture)
    else:
        picture.savefig(path, dpi="figure")
    return path.relative_to(folder).as_posix()
