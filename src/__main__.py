"""The console script `descentlab`: what needs no torch is answered before it is imported."""

import gc
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from importlib import import_module
from pathlib import Path

from . import __version__
from .command.commands import OF_THEIR_OWN
from .command.unread import silent_where_nobody_reads
from .signals import ended_by_signals


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    Args:
        args: the words after the command's name; those of this process where they are left out.
    """
    alone = args is None
    words = list(sys.argv[1:] if args is None else args)
    if alone:
        silent_where_nobody_reads()
    with ended_by_signals(for_good=True) if alone else nullcontext():
        return _obey(words, alone)


def _obey(words: list[str], alone: bool) -> int:
    if words in (["--version"], ["-V"]):
        print(f"descentlab {__version__}")
        return 0
    if words[:1] == ["configs"]:
        return _list_configs(words[1:])
    if place := OF_THEIR_OWN.get(words[0] if words else ""):
        with _kept_for_good() if alone else nullcontext():
            command = import_module(place, __package__)
        status: int = command.main(words[1:])
        return status
    from .command.imports import never_from, run_folders

    with never_from(run_folders(words)):
        with _kept_for_good() if alone else nullcontext():
            from .command.process import run

        return run(words, alone)


@contextmanager
def _kept_for_good() -> Iterator[None]:
    """Keep what is imported out of the garbage collector, for which it is a second's work."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _list_configs(words: list[str]) -> int:
    """Print the name of each shipped config, and the comment that its file starts with.

    A word leaves those whose names begin with it.
    """
    from .command.configs import shipped

    if words and words[0] in ("-h", "--help"):
        about = "List the shipped configs whose names begin so, or all, one line each."
        print(f"usage: descentlab configs [BEGINNING]\n\n{about}")
        return 0
    start = words[0] if words else ""
    found = {name: path for name, path in shipped().items() if name.startswith(start)}
    if len(words) > 1 or (start and not found):
        wrong = "one word is taken" if len(words) > 1 else "no config begins so"
        says = f"configs {' '.join(words)}: {wrong}: give `descentlab configs` alone for all"
        print(f"descentlab: error: {says}", file=sys.stderr)
        return 2
    if not found:
        print("there are no shipped configs: give one of yours, --config FILE.yaml")
    width = max(map(len, found), default=0)
    for name, path in found.items():
        print(f"{name:<{width}}  {_first_comment(path)}")
    return 0


def _first_comment(path: Path) -> str:
    first = path.read_text(encoding="utf-8").split("\n", 1)[0]
    return first.removeprefix("#").strip() if first.startswith("#") else ""


if __name__ == "__main__":
    sys.exit(main())
