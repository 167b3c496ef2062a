"""What differs between runs: in what was asked for, and from which update on in what came out."""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..runs.parameter_history import read_history
from ..runs.record import Record

UNSET = "not set"  # what a config says of a key that it has not


def config_differences(configs: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return the keys that are not the same in all configurations, with the value in each.

    A key is named as its flag is: `model.optimizer.lr`, and `model.optimizer` for the class. One
    that is null where it is there at all is no difference.

    Example:
        >>> config_differences([{"a": {"lr": 1, "b": 2}}, {"a": {"lr": 3, "b": 2}}])
        {'a.lr': ['1', '3']}
    """
    every = [dict(flat(config)) for config in configs]
    keys = dict.fromkeys(key for each in every for key in each)
    found = {key: [_shown(each, key) for each in every] for key in keys}
    nothing = {"null", UNSET}
    return {key: v for key, v in found.items() if len(set(v)) > 1 and not nothing >= set(v)}


def changed_on_the_way(record: Record) -> str:
    """Return what a run was given when it went on, with what it had before; "" if all was kept."""
    changes = [
        f"{key} {now} ({before} before)"
        for configs in itertools.pairwise([*record.earlier, record.config])
        for key, (before, now) in config_differences(configs).items()
    ]
    return ", ".join(changes)


def flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each key of a configuration as its flag is named, with its value.

    Example:
        >>> list(flat({"a": {"class_path": "b.C", "init_args": {"lr": 1}}}))
        [('a', 'b.C'), ('a.lr', 1)]
    """
    if not isinstance(value, Mapping) or not value:
        yield name, value
        return
    for key, each in value.items():
        inside = name if key in ("class_path", "init_args") else f"{name}.{key}".lstrip(".")
        yield from flat(each, inside)


def _shown(flat: Mapping[str, Any], key: str) -> str:
    if key not in flat:
        return UNSET
    value = flat[key]
    return value if isinstance(value, str) else json.dumps(value)


@dataclass(frozen=True)
class Parting:
    """How far two runs are equal, to the last bit.

    Args:
        equal: whether all is equal that both have.
        text: in words.
        step: the number of updates before the first loss that differs; None where none does.
    """

    equal: bool
    text: str
    step: int | None = None


def parting(first: Record, second: Record) -> Parting:
    """Find the first update at which two runs part.

    The losses of all updates are compared as they are written, which is to their last bit, and the
    parameters after each epoch byte by byte.
    """
    losses = first.batch_losses, second.batch_losses
    for (step, ours), (other, theirs) in zip(*losses, strict=False):
        if (step, ours) != (other, theirs):
            return _parted(min(step, other), ours, theirs)
    shared = min(map(len, losses))
    histories = [_history(each) for each in (first, second)]
    epochs = sorted(histories[0].keys() & histories[1].keys())
    for epoch in epochs:
        if name := _unequal(histories[0][epoch], histories[1][epoch]):
            before = f"the losses of {shared} updates are equal, but " if shared else ""
            return Parting(False, f"{before}{name} differs after epoch {epoch}")
    if not shared and not epochs:
        return Parting(False, "neither losses of updates nor parameters are there to compare")
    what = [f"the losses of {shared} updates"] if shared else []
    what += [f"the parameters after {len(epochs)} epochs"] if epochs else []
    lengths = [each.updates for each in (first, second)]
    longer = f"; one went on, {max(lengths)} updates in all" if len(set(lengths)) > 1 else ""
    return Parting(True, f"bit for bit equal: {' and '.join(what)}{longer}")


def _parted(step: int, ours: str, theirs: str) -> Parting:
    losses = f"{ours} and {theirs}"
    if step == 0:
        text = f"they differ before any update: the first losses are {losses}"
    else:
        text = f"they part after {step} update{'s' * (step > 1)}: the losses are then {losses}"
    return Parting(False, text, step)


def _history(record: Record) -> dict[int, dict[str, Tensor]]:
    path = record.run.checkpoints / "parameters.pt"
    return read_history(path) if path.is_file() else {}


def _unequal(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> str | None:
    """Return the name of a parameter that is not the same to its last bit."""
    for name in {**ours, **theirs}:
        pair = [each.get(name) for each in (ours, theirs)]
        if any(each is None for each in pair) or len({_bits(each) for each in pair}) > 1:
            return name
    return None


def _bits(value: Tensor | None) -> tuple[Any, ...] | None:
    if value is None:
        return None
    dense = value.to_dense().contiguous().reshape(-1)
    return value.shape, value.dtype, dense.view(torch.uint8).numpy().tobytes()
