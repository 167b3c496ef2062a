"""The command `reproduce`: which entries, where to, and how it ended."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from tqdm import tqdm

from ..errors import UsageError
from .catalogue import select
from .entry import Entry, Result
from .report import listing, table, write_report
from .reproduction import reproduce

REPORTS = Path("reports")


def main(args: Sequence[str] | None = None) -> int:
    """Run entries of the handouts and write the report.

    Args:
        args: the words after the command's name; those of this process where they are left out.

    Returns:
        0 if every entry came out as claimed, 1 if one did not, 2 for wrong use.
    """
    options = _parser().parse_args(args)
    if options.list:
        print(listing())
        return 0
    try:
        only = [name.strip() for word in options.only or [] for name in word.split(",")]
        entries = select(only, options.handout)
        if not entries:
            raise UsageError(f"none of {', '.join(only)} is in the handout {options.handout}")
        folder = options.out or default_folder(only, options.handout)
        folder.mkdir(parents=True, exist_ok=True)
    except (UsageError, OSError) as error:
        print(f"reproduce: error: {error}", file=sys.stderr)
        return 2
    start = time.perf_counter()
    torch.set_num_threads(1)  # with problems as small as these, threads only wait for each other
    results = _with_bar(entries, folder)
    path = write_report(results, folder)
    print(table(results))
    print(f"in {time.perf_counter() - start:.0f} s; the report: {path}")
    return int(any(result.status == "fail" for result in results))


def default_folder(only: Sequence[str], handout: str | None) -> Path:
    """Return `reports/handouts` for all entries, and a folder beside it for some of them."""
    some = "-and-".join([*only, *([handout] if handout else [])])
    return REPORTS / (f"handouts-{some}" if some else "handouts")


def _with_bar(entries: Sequence[Entry], folder: Path) -> list[Result]:
    with tqdm(total=len(entries), unit="entry", dynamic_ncols=True, file=sys.stderr) as bar:

        def step(result: Result) -> None:
            bar.set_postfix_str(f"{result.entry.id} {result.status}", refresh=False)
            bar.update()

        return reproduce(entries, folder, step)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="reproduce",
        description="Run every entry of the handouts, hold it against what is printed, and write "
        "reports/handouts/index.html and report.json.",
    )
    parser.add_argument(
        "--only", metavar="ID", action="append", help="this entry alone; may be given again"
    )
    parser.add_argument("--handout", metavar="DI", help="the entries of one handout")
    parser.add_argument("--list", action="store_true", help="list the entries, and run none")
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        help="the report's folder (default: reports/handouts; for some entries a folder beside it)",
    )
    return parser
