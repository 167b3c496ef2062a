"""Running entries, one after the other, and keeping how each came out."""

import time
from pathlib import Path

from .entry import Entry, Result
from .row import Picture, Row
from .runs import Runs


def run_entry(entry: Entry, runs: Runs, folder: Path) -> Result:
    """Run one entry; one that cannot be run to its end has failed, and says why.

    Args:
        entry: the entry.
        runs: what has been run so far: entries that need the same run share it.
        folder: of the report; the picture goes to `pictures/` in it.
    """
    row, picture, error = Row(entry.config, runs), None, ""
    start = time.perf_counter()
    try:
        entry.fill(row)
        if row.picture is not None:
            picture = keep_picture(row.picture, folder, entry.id)
        if not row.claims:
            error = "it claims nothing"
    except (
        Exception,
        SystemExit,
    ) as wrong:  # whatever it is, the other entries and the report go on
        error = f"{type(wrong).__name__}: {wrong}"
    seconds = time.perf_counter() - start
    return Result(entry, row.claims, row.commands, seconds, picture, row.details, error)


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
