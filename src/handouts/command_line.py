"""The command `reproduce`: which entries, where to, how it ended, and what stops it."""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from tqdm import tqdm

from ..errors import ShortParser, UsageError, refuse
from ..signals import ended_by_signals
from .course import load, select
from .entry import Entry, Handout, Result
from .report import listing, table, write_report
from .runner import run_entry
from .runs import Runs

REPORTS = Path("reports")


def main(words: Sequence[str] | None = None, handouts: Sequence[Handout] = ()) -> int:
    """Run entries of handouts and write the report.

    Args:
        words: those after the command's name; those of this process where they are left out.
        handouts: to run; those in the file that the words name where they are left out.

    Returns:
        0 if every entry came out as claimed, 1 if one did not, 2 for wrong use.
    """
    command = "python scripts/reproduce.py" if handouts else "descentlab reproduce"
    path = list(sys.path)
    try:
        options = _parser(command, with_file=not handouts).parse_args(words)
        name = "handouts"
        if not handouts:
            handouts, name = load(options.file), options.file.stem
            command += f" {options.file}"
        if options.list:
            print(listing(handouts))
            return 0
        only = [part.strip() for word in options.only or [] for part in word.split(",")]
        entries = select(handouts, only, options.handout)
        folder = options.out or REPORTS / "-".join(
            [name, *filter(None, ["-and-".join([*only, *filter(None, [options.handout])])])]
        )
        folder.mkdir(parents=True, exist_ok=True)
        return _reproduce(entries, folder, command)
    except (UsageError, OSError) as error:
        return refuse(error)
    finally:
        sys.path[:] = path  # a file's own folder was put there


def _reproduce(entries: Sequence[Entry], folder: Path, command: str) -> int:
    """Run entries, write the report, and say how they came out."""
    start = time.perf_counter()
    torch.set_num_threads(1)  # with problems as small as these, threads only wait for each other
    results: list[Result] = []

    def so_far(word: str) -> str:
        shutil.rmtree(scratch, ignore_errors=True)
        stopped = f"{word} after {len(results)} of {len(entries)} entries"
        rows = [*results, *(Result(each, ran=False) for each in entries[len(results) :])]
        try:
            return f"{stopped}: the report so far is {write_report(rows, folder, command, stopped)}"
        except OSError as error:
            return f"{stopped}, and the report could not be written: {error}"

    with (
        tempfile.TemporaryDirectory(prefix="descentlab-") as scratch,
        ended_by_signals(so_far),
        tqdm(total=len(entries), unit="entry", dynamic_ncols=True, disable=None) as bar,
    ):
        runs = Runs(Path(scratch))
        for entry in entries:
            results.append(run_entry(entry, runs, folder))
            bar.set_postfix_str(f"{entry.id} {results[-1].status}", refresh=False)
            bar.update()
    page = write_report(results, folder, command)
    print(table(results))
    print(f"in {time.perf_counter() - start:.0f} s; the report: {page}")
    return int(any(result.status == "fail" for result in results))


def _parser(command: str, with_file: bool) -> argparse.ArgumentParser:
    parser = ShortParser(
        prog=command,
        description="Run the entries of handouts, hold each figure to the digits that are printed, "
        "and write a page (index.html) and its figures (report.json).",
    )
    if with_file:
        parser.add_argument("file", metavar="FILE", type=Path, help="a Python file with handouts")
    parser.add_argument(
        "--only", metavar="ID", action="append", help="this entry alone; may be given again"
    )
    parser.add_argument("--handout", metavar="CODE", help="the entries of one handout")
    parser.add_argument("--list", action="store_true", help="list the entries, and run none")
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        help="the report's folder (default: one in reports/, for some entries one beside it)",
    )
    return parser
