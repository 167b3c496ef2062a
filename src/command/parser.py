"""The parser of the command: what a key may name, and errors of one sentence.

Private names of others that this folder relies on, and what for:

- jsonargparse's `ActionTypeHint` and its `_typehint`: the type of a key, to hold a value against;
  `discard_init_args_on_class_path_change`: where it carries options over to another class;
  `_actions`, `_option_string_actions`: all flags, for the nearest to a wrong one, for the first
  page of a command's help and for what a shell completes.
- LightningArgumentParser's `_subcommands_action` and argparse's `_choices_actions`: what the help
  says of each command; and where commands are added that are answered without the parser.
- LightningCLI's `_get`: a value of the command's configuration; `_prepare_subcommand_parser`: flags
  of one command alone; `_parse_ckpt_path`: where it would let a checkpoint's hyper-parameters win;
  `_set_seed`: where a seed is refused; `_instantiate_trainer`: the trainer of given settings.
"""

import pydoc
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Any, NoReturn

import torch
from jsonargparse import Namespace, set_parsing_settings
from jsonargparse import _typehints as typehints
from jsonargparse.typing import register_type
from lightning.pytorch.cli import LightningArgumentParser

from ..errors import UsageError
from ..runs.files import write_whole
from .first_page import foremost_first
from .parser_messages import cause, sentence

# what a config names is looked at, and refused where it is a door to the machine (os, subprocess,
# builtins.exec, …), before it is imported; a class named where none is asked for stays a dictionary
set_parsing_settings(import_path_denylist=[], instantiate_subclass_spec_in_any=False)
# a device, such as the callbacks that average weights have, is written into a config by its name
register_type(torch.device, deserializer=torch.device, deserializer_exceptions=(RuntimeError,))


class Parser(LightningArgumentParser):
    """A parser that calls only what a key is for, and whose errors are one sentence each.

    Args:
        *args: of the parser of Lightning.
        command: written above a configuration that is saved.
        **kwargs: of the parser of Lightning.
    """

    def __init__(self, *args: Any, command: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **kwargs})
        self.command = command
        self._folder = Path.cwd()

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise the message as a UsageError; a nested parser leaves it to the one around it.

        Raises:
            UsageError: always, except in a nested parser.
        """
        if not self.exit_on_error:
            super().error(message, ex)
        usage = cause(ex)
        parser = getattr(ex, "subcommand_parser", None) or self
        flags = foremost_first(parser._option_string_actions)
        raise UsageError(str(usage) if usage else sentence(message, flags, self._folder))

    def dump(self, cfg: Namespace, *args: Any, **kwargs: Any) -> str:
        """Return a configuration as text, values of enumerations by their own.

        It was looked at when it was parsed; to look again would take longer than all the rest.
        """
        unchecked = {"skip_validation": True, **kwargs}
        return str(super().dump(without_enums(cfg.clone()), *args, **unchecked))

    def save(
        self, namespace: Namespace, path: str, *, overwrite: bool, multifile: bool, **kwargs: Any
    ) -> None:
        """Write a configuration so that its file is never half written, below its command."""
        command = f"# {self.command}\n" if self.command else ""
        write_whole(Path(path), command + self.dump(namespace, **kwargs))

    def instantiate(self, namespace: Namespace, *args: Any, **kwargs: Any) -> Namespace:
        """Make what a configuration names, once each is known to be of the kind that its key takes.

        Raises:
            UsageError: if one is not.
        """
        for action in self._actions:
            if isinstance(action, typehints.ActionTypeHint):
                for value in _class_values(namespace.get(action.dest)):
                    check_kind(action.dest, value, action._typehint)
        made: Namespace = super().instantiate(namespace, *args, **kwargs)
        return made


def _class_values(value: Any) -> Iterator[Any]:
    """Return the classes with their options, and the functions, in the value of a key."""
    if isinstance(value, Namespace | Mapping):
        if isinstance(value.get("class_path"), str):
            yield value
        else:
            for each in value.values():
                yield from _class_values(each)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for each in value:
            yield from _class_values(each)
    elif callable(value):
        yield value


def check_kind(key: str, value: Any, type_: Any) -> None:
    """Refuse what is not of the kind that a key takes, before any of it is called.

    A key that takes instances takes their subclasses, and functions annotated to return one. A key
    that takes a function takes a function that is annotated to return the right kind, a class of
    that kind, and a class whose `__call__` is annotated so; a function with options is none. Where
    the key leaves open what its function returns, any function is taken.

    Args:
        key: its name, for the message.
        value: a class path with its options, or a function.
        type_: what the key is annotated with.

    Raises:
        UsageError: naming the value and what it has to be.
    """
    parts = _parts(type_)
    instances = tuple(part for part in parts if isinstance(part, type))
    results = tuple(_returned(part) for part in parts if _is_callable(part))
    if not callable(value):
        path = value["class_path"]
        value = pydoc.locate(path)
        accepted = (
            issubclass(value, _flat(instances + results)) or _gives(value.__call__, results)
            if isinstance(value, type)
            else _gives(value, instances)
        )
    else:
        path = f"{value.__module__}.{getattr(value, '__qualname__', value)}"
        free = not results or typing.Any in results  # what it returns is not stated
        accepted = isinstance(value, type) or free or _gives(value, results)
    if not accepted:
        kinds = " or ".join(kind.__name__ for kind in _flat(instances + results))
        raise UsageError(
            f"{key}: {path} is not what is asked for: give a class of {kinds}, or a function that "
            f"is annotated to return one"
        )


def _parts(type_: Any) -> tuple[Any, ...]:
    """Return the alternatives of a union, and those inside lists and the like."""
    origin = typing.get_origin(type_)
    if origin in (typing.Union, types.UnionType, typing.Annotated):
        return tuple(part for each in typing.get_args(type_) for part in _parts(each))
    if isinstance(origin, type) and not _is_callable(type_):
        return tuple(part for each in typing.get_args(type_) for part in _parts(each))
    return (type_,)


def _is_callable(type_: Any) -> bool:
    return type_ is Callable or typing.get_origin(type_) in (Callable, types.FunctionType)


def _returned(type_: Any) -> Any:
    arguments = typing.get_args(type_)
    return arguments[-1] if arguments else typing.Any


def _flat(kinds: tuple[Any, ...]) -> tuple[type, ...]:
    return tuple(part for kind in kinds for part in _parts(kind) if isinstance(part, type))


def _gives(function: Any, kinds: tuple[Any, ...]) -> bool:
    """Return whether a function is annotated to return one of the kinds."""
    try:
        returned = typing.get_type_hints(function).get("return")
    except (TypeError, NameError):
        return False
    return isinstance(returned, type) and issubclass(returned, _flat(kinds))


def without_enums(value: Any) -> Any:
    """Return a configuration with the values of enumerations as text, which YAML can hold."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Namespace):
        for key in list(vars(value)):
            value[key] = without_enums(value[key])
    if isinstance(value, list):
        return [without_enums(each) for each in value]
    return value


@contextmanager
def class_defaults() -> Iterator[None]:
    """Have a key whose class is changed start from the new class's defaults, inside.

    jsonargparse carries over all options that the new class has too, defaults of the old one with
    them: Adadelta would have got the learning rate of gradient descent.
    """

    def forget(parser: Any, before: Any, value: Any) -> None:
        if before and before.get("class_path") and before.get("init_args"):
            kinds = {pydoc.locate(each["class_path"]) for each in (before, value)}
            if len(kinds) > 1:
                before["init_args"] = Namespace()  # type: ignore[no-untyped-call]  # has no types

    carry_over = typehints.discard_init_args_on_class_path_change
    typehints.discard_init_args_on_class_path_change = forget
    try:
        yield
    finally:
        typehints.discard_init_args_on_class_path_change = carry_over
