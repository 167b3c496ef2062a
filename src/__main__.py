"""The console script `descentlab`: what needs no torch is answered before it is imported."""

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import FrameType

from .command.commands import OF_THEIR_OWN


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    Args:
        args: the words after the command's name; those of this process where they are left out.
    """
    words = list(sys.argv[1:] if args is None else args)
    if words in (["--version"], ["-V"]):
        from . import __version__

        print(f"descentlab {__version__}")
        return 0
    if words[:1] == ["configs"]:
        return _list_configs(words[1:])
    if place := OF_THEIR_OWN.get(words[0] if words else ""):
        with _leaving_at_once():
            module = import_module(place, __package__)
        status: int = module.main(words[1:])
        return status
    alone = args is None
    with _leaving_at_once(for_good=alone):
        from .command.imports import never_from, run_folders
    with never_from(run_folders(words)):
        with _leaving_at_once(for_good=alone):
            from .command.process import run
        return run(words, alone)


@contextmanager
def _leaving_at_once(for_good: bool = False) -> Iterator[None]:
    """End the process at Ctrl-C, SIGTERM and SIGHUP: imports may catch an exception within them.

    A signal that is ignored, as under nohup, or that another listens to, is left alone.

    Args:
        for_good: whether afterwards, too, until another handler is set: there is no moment
            between the two at which Ctrl-C is a traceback.
    """

    def leave(number: int, frame: FrameType | None) -> None:
        interrupted = number == signal.SIGINT
        word = b"interrupted" if interrupted else b"terminated"
        os.write(2, b"descentlab: error: %s before anything began\n" % word)
        os._exit(128 + (signal.SIGINT if interrupted else signal.SIGTERM))

    before = {number: signal.getsignal(number) for number in _asking_to_stop()}
    try:
        for number in before:
            signal.signal(number, leave)
    except ValueError:  # only the main thread may set handlers
        before = {}
    try:
        yield
    finally:
        for number, handler in ({} if for_good else before).items():
            signal.signal(number, handler)


def _asking_to_stop() -> list[int]:
    """Return the signals that nothing in this process listens to or ignores yet.

    A process that another one of the command has started leaves it to that one to speak.
    """
    asking = [signal.SIGINT]
    if os.environ.get("LOCAL_RANK", "0") == "0":
        asking += [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    alone = (signal.default_int_handler, signal.SIG_DFL)
    return [number for number in asking if signal.getsignal(number) in alone]


def _list_configs(words: list[str]) -> int:
    """Print the name of each shipped config, and the comment that its file starts with."""
    from .command.configs import shipped

    if words:
        if words[0] not in ("-h", "--help"):
            print(f"descentlab: error: configs takes no arguments: {words[0]}", file=sys.stderr)
            return 2
        print("usage: descentlab configs\n\nList the shipped configs, one line each.")
        return 0
    found = shipped()
    width = max(map(len, found))
    for name, path in found.items():
        print(f"{name:<{width}}  {_first_comment(path)}")
    return 0


def _first_comment(path: Path) -> str:
    first = path.read_text(encoding="utf-8").split("\n", 1)[0]
    return first.removeprefix("#").strip() if first.startswith("#") else ""


if __name__ == "__main__":
    sys.exit(main())
