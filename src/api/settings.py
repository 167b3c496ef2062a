"""Keywords in the place of flags: `lr=0.07` for `--model.optimizer.lr 0.07`."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from .. import optimizers
from ..command.parser_messages import MEANT, nearest
from ..comparison.differences import flat
from ..errors import UsageError
from .quiet import QuietCLI, obey
from .run import FittedRun


def words_of(configs: Sequence[str], settings: Mapping[str, Any]) -> list[str]:
    """Return the words of a `fit`.

    Args:
        configs: their names.
        settings: flags in full or by their last part, with their values.

    Raises:
        UsageError: a keyword stands for no flag, or for several; a value cannot be a flag's.
    """
    words = ["fit", *(word for config in configs for word in ("--config", config))]
    whole = ("resume", "model", "data")  # without a config nothing is parsed before these are given
    known = {key: value for key, value in settings.items() if "." in key or key in whole}
    left = {key: value for key, value in settings.items() if key not in known}
    while left:
        flags = _flags([*words, *_words(known)])
        found = {key: fits[0] for key in left if len(fits := _fits(key, flags)) == 1}
        if not found:
            _refuse(next(iter(left)), flags, configs)
        for key, flag in found.items():
            if flag in known:
                raise UsageError(f"{key} and {flag} are the same flag: give one")
            known[flag] = left.pop(key)
    return [*words, *_words(known)]


def _fits(key: str, flags: Sequence[str]) -> list[str]:
    """Return the flags that a keyword stands for: of those that end so the ones of fewest parts."""
    ends = [flag for flag in flags if flag == key or flag.endswith(f".{key}")]
    fewest = min((flag.count(".") for flag in ends), default=0)
    return [flag for flag in ends if flag.count(".") == fewest]


def _refuse(key: str, flags: Sequence[str], configs: Sequence[str]) -> None:
    fits = _fits(key, flags)
    if fits:
        raise UsageError(
            f'{key} stands for {" and for ".join(fits)}: give one in full, **{{"{fits[0]}": VALUE}}'
        )
    if meant := MEANT.get(f"--{key}"):
        raise UsageError(f"{key}: there is no such flag: give {meant.removeprefix('--')}")
    if rules := [kind for kind in optimizers.__all__ if key in _parameters(kind)]:
        raise UsageError(
            f"{key}: the optimizer of {' and '.join(configs) or 'fit'} has none: give one that "
            f'has, as optimizer="{rules[0]}"'
        )
    names = sorted({flag.rpartition(".")[2] for flag in flags})
    near = nearest(key, names)
    advice = f"did you mean {near}?" if near else "give a whole one, **{'model.x.y': VALUE}"
    raise UsageError(f"{key}: no flag of {' and '.join(configs) or 'fit'} ends so; {advice}")


def _parameters(rule: str) -> Iterable[str]:
    return signature(getattr(optimizers, rule)).parameters


def _words(known: Mapping[str, Any]) -> Iterator[str]:
    """Yield flags and values, a class before its options."""
    for flag in sorted(known, key=lambda flag: flag.count(".")):
        text = _text(flag, known[flag])
        if text.startswith("-") and not _is_number(text):
            yield f"--{flag}={text}"
        else:
            yield f"--{flag}"
            yield text


def _text(flag: str, value: Any) -> str:
    """Return a value as it is written on the command line."""
    if isinstance(value, str | Path):
        return str(value)
    if isinstance(value, FittedRun):
        return str(value.place)
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value}".replace("inf", ".inf").replace("nan", ".nan")
    try:
        return json.dumps(value, default=_plain)
    except TypeError:
        given = repr(value) if "object at 0x" not in repr(value) else f"a {type(value).__name__}"
        raise UsageError(
            f"{flag} = {given} cannot be written into a config: give a number, a text, a list of "
            "these, None, or a class, with its options as keywords of their own"
        ) from None


def _plain(value: Any) -> Any:
    """Return what JSON can hold of tensors, arrays, numbers of NumPy, classes and paths."""
    if isinstance(value, Tensor | np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, Path):
        return str(value)
    raise TypeError


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


class _ParsedError(Exception):
    """Leaves a command when its words are parsed."""


class _Parsing(QuietCLI):
    """The command line as far as its words are parsed."""

    def _set_seed(self) -> None:
        raise _ParsedError(self.config[self.subcommand].as_dict())


def _flags(words: Sequence[str]) -> list[str]:
    """Return all flags that a command has, by its configs and by the classes that it names."""
    try:
        obey(words, _Parsing)
    except _ParsedError as parsed:
        leaves = dict.fromkeys(name for name, _ in flat(parsed.args[0]))
        above = (name.rpartition(".")[0] for name in leaves)  # mappings, such as a sweep's grid
        return list(leaves | dict.fromkeys(name for name in above if "." in name))
    raise AssertionError("a command is parsed before anything is seeded")
