"""A command whose output nobody reads any more goes on to its end."""

import io
import os
import stat
import sys


def silent_where_nobody_reads() -> None:
    """Let what is printed into a pipe that its reader has closed be lost, without an error.

    `descentlab fit 2>&1 | head` trains to its end, and what a command writes into files does not
    depend on whether somebody reads what it prints.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if not isinstance(stream, io.TextIOWrapper) or not _is_pipe(stream.fileno()):
            continue
        stream.flush()
        setattr(
            sys,
            name,
            io.TextIOWrapper(
                io.BufferedWriter(_Unread(stream.fileno(), "w", closefd=False)),
                encoding=stream.encoding,
                errors=stream.errors,
                line_buffering=stream.line_buffering,
                write_through=stream.write_through,
            ),
        )


def _is_pipe(number: int) -> bool:
    kind = os.fstat(number).st_mode
    return stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind)


class _Unread(io.FileIO):
    """A pipe that takes everything, also when nobody reads it."""

    def write(self, data: "bytes | memoryview") -> int:  # type: ignore[override]
        try:
            return super().write(data)
        except (BrokenPipeError, ConnectionResetError):
            return len(memoryview(data).cast("B"))
