"""YAML that means one thing to every reader, and stays small when it is read; else refused."""

import re
from dataclasses import dataclass, field
from typing import NoReturn

import yaml

#: how deep a config is nested at most, and how many values it stands for with its aliases
DEEPEST = 100
LARGEST = 100_000

_OCTAL = re.compile(r"[-+]?0[0-9_]+")
_SIXTIES = re.compile(r"[-+]?[1-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")


@dataclass
class _Collection:
    """A mapping or a sequence that is being read.

    Attributes:
        anchor: the name that aliases call it by.
        mapping: whether it is a mapping.
        count: how many nodes are directly in it so far.
        size: how many values it stands for, with its aliases.
        keys: those of a mapping so far.
    """

    anchor: str | None
    mapping: bool
    count: int = 0
    size: int = 1
    keys: set[str] = field(default_factory=set)


def check_meaning(text: str) -> None:
    """Refuse YAML with two meanings, or which grows without bound when it is read.

    These are a key that is there twice, `010` (eight in YAML 1.1, ten in 1.2), `1:30` (ninety in
    1.1, text in 1.2), a NUL character, a value inside itself, and too many levels or values.

    Args:
        text: of a file.

    Raises:
        yaml.MarkedYAMLError: saying what it is, and where.

    Reference:
        YAML 1.1, types int and float; YAML 1.2.2, section 10.3.2.
    """
    sizes: dict[str, int] = {}
    around = [_Collection(None, mapping=False)]
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            around.append(_Collection(event.anchor, isinstance(event, yaml.MappingStartEvent)))
            if len(around) > DEEPEST:
                _refuse(event, f"more than {DEEPEST} levels")
        elif isinstance(event, yaml.CollectionEndEvent):
            inner = around.pop()
            _add(around[-1], inner.size, event)
            if inner.anchor:
                sizes[inner.anchor] = inner.size
        elif isinstance(event, yaml.AliasEvent):
            if any(each.anchor == event.anchor for each in around):
                _refuse(event, f"*{event.anchor} is inside itself")
            _add(around[-1], sizes.get(event.anchor or "", 1), event)
        elif isinstance(event, yaml.ScalarEvent):
            _check_scalar(event, around[-1])
            _add(around[-1], 1, event)
            if event.anchor:
                sizes[event.anchor] = 1


def _add(collection: _Collection, size: int, event: yaml.Event) -> None:
    collection.count += 1
    collection.size += size
    if collection.size > LARGEST:
        _refuse(event, f"its aliases stand for more than {LARGEST} values")


def _check_scalar(event: yaml.ScalarEvent, within: _Collection) -> None:
    value = event.value
    if within.mapping and within.count % 2 == 0:
        if value in within.keys:
            _refuse(event, f"the key {value} is there twice: leave one out")
        within.keys.add(value)
    if "\0" in value:
        _refuse(event, "there is a NUL character")
    if event.style is None and _OCTAL.fullmatch(value):
        _refuse(event, f"{value} has two meanings: write it without the 0 before it, or in quotes")
    if event.style is None and _SIXTIES.fullmatch(value):
        _refuse(event, f'{value} has two meanings: write "{value}"')


def _refuse(event: yaml.Event, problem: str) -> NoReturn:
    mark = event.start_mark
    raise yaml.MarkedYAMLError(problem=problem, problem_mark=mark)  # type: ignore[arg-type]  # SafeLoader's, not libyaml's
