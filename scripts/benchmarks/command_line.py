"""The command `benchmark`: which cases, how long, and what they are held against."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from descentlab.errors import UsageError

from .growth import growth
from .instruments import instruments
from .measure import Row
from .overhead import overhead
from .record import into_page, measured, read, slower, table, write
from .rows import rows
from .scale import scale
from .startup import startup
from .sweep import sweep
from .unroll import unroll

CASES: dict[str, Callable[[bool], list[Row]]] = {
    "overhead": overhead,
    "sweep": sweep,
    "unroll": unroll,
    "rows": rows,
    "scale": scale,
    "startup": startup,
    "growth": growth,
    "instruments": instruments,
}
RECORD = Path("reports") / "benchmark.json"
PAGE = Path("docs") / "performance.md"


def main(args: Sequence[str] | None = None) -> int:
    """Measure cases, and write the record and the tables, or check against the record.

    Args:
        args: the words after the command's name; those of this process where they are left out.

    Returns:
        0; 1 with `--check` if a ratio is more than 20% above the recorded one; 2 for wrong use.
    """
    options = _parser().parse_args(args)
    torch.set_num_threads(1)
    try:
        return _run(options)
    except UsageError as error:
        print(f"benchmark: error: {error}", file=sys.stderr)
        return 2


def _run(options: argparse.Namespace) -> int:
    for name in options.cases:
        if name not in CASES:
            raise UsageError(f"there is no case {name}: give some of {', '.join(CASES)}, or none")
    record, found = read(RECORD), []
    for name in options.cases or CASES:
        if options.check:
            slower(name, {"quick": options.quick, "rows": []}, record.get(name))  # before the work
        print(f"{name} …", file=sys.stderr, flush=True)
        new = measured(CASES[name](options.quick), options.quick)
        print(f"\n{name}\n\n{table(new)}\n", flush=True)
        if options.check:
            found += slower(name, new, record.get(name))
            continue
        record[name] = new
        write(record, RECORD)
        if not options.quick and PAGE.is_file():
            page = PAGE.read_text(encoding="utf-8")
            PAGE.write_text(into_page(page, name, table(new)), encoding="utf-8")
    for line in found:
        print(f"benchmark: slower: {line}", file=sys.stderr)
    return int(bool(found))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="benchmark",
        description=f"Measure ours beside the alternatives, in turn, on one thread; write {RECORD} "
        f"and, of full runs, the tables of {PAGE}.",
    )
    parser.add_argument(
        "cases",
        metavar="CASE",
        nargs="*",
        help=f"{', '.join(CASES)}; all if none is given",
    )
    parser.add_argument(
        "--quick", action="store_true", help="under a minute a case: fewer rounds, smaller sizes"
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="write nothing; fail if a ratio is more than 20%% above the recorded one",
    )
    return parser
