"""The command `soak`: how long, from which seed, and what is told of it."""

import argparse
import itertools
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from .fuzz import Fuzz
from .kills import Kills, Trial
from .stops import Stops
from .warm import warm_up

Case = Callable[[int], Trial]
KINDS: dict[str, Callable[[Path, int], Case]] = {
    "kills": Kills,
    "fuzz": Fuzz,
    "stops": Stops,
}


def main(args: Sequence[str] | None = None) -> int:
    """Draw cases until the time is over, and say what failed.

    Args:
        args: the words after the command's name; those of this process where they are left out.

    Returns:
        0; 1 if any case failed.
    """
    options = _parser().parse_args(args)
    warm_up()
    counts: Counter[str] = Counter()
    failed: list[str] = []
    end = time.monotonic() + 60 * options.minutes
    with tempfile.TemporaryDirectory() as folder:
        chosen = options.kinds or list(KINDS)
        cases = {kind: KINDS[kind](Path(folder) / kind, options.seed) for kind in chosen}
        numbers = options.cases or itertools.count(1)
        for number in numbers:
            for kind, case in cases.items():
                if time.monotonic() > end:
                    break
                trial = case(number)
                counts[trial.name] += trial.count
                for fault in trial.faults:
                    failed.append(f"--seed {options.seed} --kinds {kind} --cases {number}: {fault}")
                    print(f"soak: {failed[-1]}", file=sys.stderr, flush=True)
            else:
                continue
            break
    for name, count in sorted(counts.items()):
        print(f"{count:7} {name}")
    print(f"{len(failed):7} failed (seed {options.seed})")
    return int(bool(failed))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="soak",
        description="Stop runs at random moments and let them go on, stop runs of two processes, "
        "damage files and give odd inputs; say what comes out wrong.",
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="how long (default: 10)")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn (default: 0)")
    parser.add_argument(
        "--kinds", nargs="+", choices=list(KINDS), help="what is tried (default: all)"
    )
    parser.add_argument(
        "--cases", nargs="+", type=int, help="the numbers of cases (default: from 1 on)"
    )
    return parser
