"""Removal of what was logged after a checkpoint, for a run that goes on in its folder."""

import csv
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event

from ..errors import UsageError
from .files import replacing

#: what is written when a run ends, and again when it has gone on to another end
_OF_THE_END = ("loss/best", "_hparams_/")
_HEAD, _FOOT = 12, 4  # bytes of a record before and after its event: length and checksums


@dataclass(frozen=True)
class LoggedBefore:
    """Tells what was logged before a checkpoint, or belongs to an update before it.

    What is logged at the end of an epoch may come after the checkpoint of that epoch.

    Args:
        step: the number of updates before the checkpoint.
        time: when it was taken, in seconds since 1970.
        rows: the number of rows that the table had.
    """

    step: int
    time: float
    rows: int

    def cut_table(self, path: Path) -> tuple[list[str], int]:
        """Drop the later rows of a `metrics.csv`, and a row that is not whole.

        Returns:
            The heading, and how many rows are left.

        Raises:
            UsageError: if it is damaged.
        """
        heading, *rows = read_table(path) or [[]]
        place = heading.index("step") if "step" in heading else None
        kept = [
            row
            for number, row in enumerate(rows)
            if len(row) == len(heading) and (number < self.rows or self._is_before(row, place))
        ]
        if kept != rows or (heading and not path.read_bytes().endswith(b"\n")):
            with replacing(path, newline="") as file:  # lines end as those that will be added do
                csv.writer(file).writerows([heading, *kept])
        return heading, len(kept)

    def _is_before(self, row: list[str], place: int | None) -> bool:
        return place is not None and row[place].isdecimal() and int(row[place]) < self.step

    def cut_events(self, path: Path) -> None:
        """Drop the later events of an event file, and a record that is not whole."""
        content = path.read_bytes()
        kept = b"".join(record for record, event in _records(content) if self._keeps(event))
        if kept != content:
            with replacing(path, "wb") as file:
                file.write(kept)

    def _keeps(self, event: Any) -> bool:
        if any(value.tag.startswith(_OF_THE_END) for value in event.summary.value):
            return False
        return bool(event.step < self.step or event.wall_time <= self.time)


def read_table(path: Path) -> list[list[str]]:
    """Return the whole rows of a table of a run, its heading first; none where there is no file.

    Raises:
        UsageError: if it is damaged.
    """
    if not os.path.lexists(path):
        return []
    try:
        if not path.is_file():
            raise ValueError("it is no file")
        *lines, _ = path.read_text(encoding="utf-8").split("\n")  # what has no end was cut off
        return list(csv.reader(lines, strict=True))
    except (OSError, ValueError, csv.Error) as error:
        raise damaged(path, getattr(error, "strerror", None) or error) from error


def read_losses(path: Path) -> list[tuple[int, int, float]]:
    """Return the rows of a `batch_losses.csv`: epoch, step, loss.

    Raises:
        UsageError: if it is damaged.
    """
    _, *rows = read_table(path) or [[]]
    try:
        return [(int(row[0]), int(row[1]), float(row[2])) for row in rows if len(row) == 3]
    except ValueError as error:
        raise damaged(path, error) from error


def damaged(path: Path, problem: object) -> UsageError:
    """Return what is said of a table that cannot be gone on with."""
    return UsageError(
        f"{path} is damaged ({problem}): move it away, and the run goes on without its earlier rows"
    )


def _records(content: bytes) -> Iterator[tuple[bytes, Any]]:
    """Yield the whole records of an event file, each with its event."""
    start = 0
    while start + _HEAD <= len(content):
        (length,) = struct.unpack_from("<Q", content, start)
        end = start + _HEAD + length + _FOOT
        if end > len(content):
            return
        try:
            event = Event.FromString(content[start + _HEAD : end - _FOOT])
        except Exception:  # protobuf's DecodeError, of a record that is not whole
            return
        yield content[start:end], event
        start = end
