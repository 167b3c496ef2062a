"""The command `descentlab verify`."""

import argparse
import ast
import contextlib
import importlib
import json
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from ..errors import ShortParser, UsageError, refuse
from ..runs.files import write_whole
from ..runs.terminal import show
from .page import verification_page
from .verification import compare


def main(words: Sequence[str]) -> int:
    """Compare optimizers with a reference, and print a report of each.

    Args:
        words: after `descentlab verify`.

    Returns:
        0 if all hold; 1 if something differs; 2 for wrong use.
    """
    path = list(sys.path)
    threads = torch.get_num_threads()
    try:
        options, rest = _parser().parse_known_args(words)
        hyperparameters = _hyperparameters(rest)
        for path_to in filter(None, (options.json, options.html)):
            if not path_to.parent.is_dir():
                raise UsageError(f"{path_to}: there is no folder {path_to.parent}: make it first")
        sys.path.insert(0, str(Path.cwd()))
        torch.set_num_threads(1)  # for tensors as small as these, threads only wait
        reference, candidates = named(options.against), list(map(named, options.optimizer))
        dtypes = options.dtype.split(",")
        with contextlib.redirect_stdout(sys.stderr):  # what optimizers print is no report
            found = [
                compare(each, reference, steps=options.steps, dtypes=dtypes, **hyperparameters)
                for each in candidates
            ]
        show("\n\n".join(map(str, found)))
        if options.json:
            content = [each.as_json() for each in found]
            write_whole(options.json, json.dumps(content, indent=1) + "\n")
        if options.html:
            page = verification_page(found, candidates, reference, options.steps)
            write_whole(options.html, page)
        return int(not all(each.holds for each in found))
    except (UsageError, OSError) as error:
        return refuse(error)
    finally:
        sys.path[:] = path
        torch.set_num_threads(threads)


def named(name: str) -> Callable[..., Any]:
    """Return what makes an optimizer, by its full name.

    Raises:
        UsageError: if there is none of that name.
    """
    module, _, attribute = name.rpartition(".")
    if not module:
        raise UsageError(f"{name}: give the module too, as in torch.optim.{name}")
    try:
        found = getattr(importlib.import_module(module), attribute, None)
    except Exception as error:  # a user's module may fail in any way
        raise UsageError(f"{name}: {module} cannot be imported: {error}") from error
    if not callable(found):
        raise UsageError(f"{name}: {module} has no class or function {attribute}: check the name")
    maker: Callable[..., Any] = found
    return maker


def _hyperparameters(words: Sequence[str]) -> dict[str, Any]:
    """Return hyperparameters from their flags, `--lr 1e-3` or `--lr=1e-3`."""
    found: dict[str, Any] = {}
    left = list(words)
    while left:
        flag, equals, value = left.pop(0).partition("=")
        if not flag.startswith("--") or not (equals or left):
            raise UsageError(f"{flag}: give hyperparameters as --name value, such as --lr 1e-3")
        found[flag[2:].replace("-", "_")] = _value(flag, value if equals else left.pop(0))
    return found


def _value(flag: str, text: str) -> Any:
    known = {"true": True, "false": False, "null": None}
    try:
        value = known[text.lower()] if text.lower() in known else ast.literal_eval(text)
    except (ValueError, SyntaxError) as error:
        raise UsageError(
            f"{flag} {text}: give a number, true, false, or numbers such as 0.9,0.999"
        ) from error
    numbers = value if isinstance(value, tuple | list) else [value]
    if any(isinstance(each, float) and not math.isfinite(each) for each in numbers):
        raise UsageError(f"{flag} {text}: give a number of size below 1.8e308, the largest float")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = ShortParser(
        prog="descentlab verify",
        allow_abbrev=False,
        description="Hold optimizers against a reference, step by step, on the same gradients. "
        "Further flags are hyperparameters, given to both: --lr 1e-3 --betas 0.9,0.999.",
    )
    parser.add_argument(
        "optimizer",
        metavar="OPTIMIZER",
        nargs="+",
        help="a class, or a function of parameters that makes one: my_module.MyAdam",
    )
    parser.add_argument(
        "--against", required=True, metavar="REFERENCE", help="such as torch.optim.Adam"
    )
    parser.add_argument(
        "--steps",
        type=int,
        default=1000,
        metavar="N",
        help="on each problem (default: 1000); which rule it is is found in a trial of its own",
    )
    parser.add_argument(
        "--dtype",
        default="float64,float32",
        metavar="NAMES",
        help="the precisions, with commas between (default: float64,float32)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was found there")
    parser.add_argument(
        "--html", type=Path, metavar="FILE", help="write a page with pictures there"
    )
    return parser
