"""Paths of the data of a command: flags over the config, made absolute."""

import os
from collections.abc import Sequence
from typing import Any

from .imports import flag_at

#: the ways of `RegressionData` to name files, each with all that belongs to it
WAYS = (("path", "target", "features"), ("x_path", "y_path"))
FILES = {"path", "x_path", "y_path"}
#: these, and what belongs to a source without files
ALL = {*WAYS[0], *WAYS[1], "column", "line"}


def settle(arguments: Any, words: Sequence[str]) -> None:
    """Let files that a flag names take the place of a config's data, and make paths whole.

    So `predict --run DIR --data.path new.csv` needs nothing else, whatever the run was trained on;
    and `test --run` may be called from another folder.

    Args:
        arguments: of the data; changed in place, where they are those of `RegressionData`.
        words: the command.
    """
    if any(name not in arguments for name in (*ALL, "source")):
        return
    flags = [flag_at(words, place)[0] + "." for place in range(len(words))]
    given = {name for name in ALL if any(flag.startswith(f"--data.{name}.") for flag in flags)}
    named = [way for way in WAYS if given & FILES & set(way)]
    if len(named) == 1:
        for name in ALL - set(named[0]) - given:
            arguments[name] = None
    for name in FILES:
        if arguments[name]:
            arguments[name] = os.path.abspath(os.path.expanduser(arguments[name]))
            arguments["source"] = "files"  # as the paths imply, for the record
