"""Values that pass the parser, and that nothing here can do anything with."""

import inspect
import os
import sys
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from jsonargparse import Namespace

from ..errors import UsageError
from ..sweeps.members import LARGEST_SEED

#: processes that one machine may start: of each core, and on a machine of few cores
MOST_BY_CORE, MOST_AT_LEAST = 4, 8


def _below(least: float) -> Callable[[Any], bool]:
    """Return what tells numbers below another one, and those that are none, from all else."""
    return lambda value: isinstance(value, int | float) and not value >= least


def _too_many(devices: Any) -> bool:
    """Return whether these are more processes than a machine holds, each device being one."""
    if isinstance(devices, str):
        devices = float(devices) if devices.isdecimal() else 0
    return isinstance(devices, int | float) and devices > _most_processes()


def _most_processes() -> int:
    return max(MOST_AT_LEAST, MOST_BY_CORE * (os.cpu_count() or 1))


#: begin the names of variables by which Lightning and jsonargparse set a trainer elsewhere
NOT_READ = ("PL_TRAINER_", "PL_FIT__", "PL_VALIDATE__", "PL_TEST__", "PL_PREDICT__")
#: which values are refused, and what to give in their place
Rule = tuple[Callable[[Any], bool], Callable[[], str]]
OF_ANY_KEY: Rule = (
    lambda value: isinstance(value, int) and not -(2**63) <= value < 2**63,
    lambda: "a whole number of more than 64 bits: give a smaller one",
)
RULES: dict[str, Rule] = {
    "trainer.accumulate_grad_batches": (_below(1), lambda: "give 1 or more"),
    "trainer.check_val_every_n_epoch": (_below(1), lambda: "give 1 or more"),
    "trainer.devices": (
        _too_many,
        lambda: (
            f"each is a process, and {_most_processes()} are the most on this machine of "
            f"{os.cpu_count()} cores: give fewer"
        ),
    ),
    "trainer.gradient_clip_val": (_below(0), lambda: "give 0 or more, or leave it out for none"),
    "trainer.num_nodes": (_below(1), lambda: "give 1 or more"),
    "trainer.val_check_interval": (
        lambda value: isinstance(value, int | float) and not value > 0,
        lambda: "give a number of batches, or a part of an epoch above 0",
    ),
}


def refuse_odd_values(value: Any, key: str = "") -> None:
    """Refuse null where a class takes a value, numbers of more than 64 bits, and what `RULES` has.

    jsonargparse lets null through for every option of a class.

    Args:
        value: a configuration, or a part of one.
        key: of the part.

    Raises:
        UsageError: for such a value.
    """
    if isinstance(value, Namespace):
        value = vars(value)
    if isinstance(value, Mapping):
        for name, default in _not_null(value):
            raise UsageError(f"{_flag(key, name)} null: give a value{_or_leave_it_out(default)}")
        for name, each in value.items():
            refuse_odd_values(each, f"{key}.{name}".lstrip("."))
    elif isinstance(value, list | tuple):
        for each in value:
            refuse_odd_values(each, key)
    else:
        for is_odd, instead in filter(None, (RULES.get(key), OF_ANY_KEY)):
            if is_odd(value):
                raise UsageError(f"{_flag(key)} {value}: {instead()}")


def refuse_odd_environment() -> None:
    """Refuse what variables of the environment say that is not understood, or would not be done.

    Raises:
        UsageError: naming the variable.
    """
    for name, value in os.environ.items():
        if name.startswith(NOT_READ):
            raise UsageError(f"{name}={value} is not read: give a flag or a config, and unset it")
    if (plain := os.environ.get("DESCENTLAB_PLAIN", "")) not in ("", "0", "1"):
        raise UsageError(f"DESCENTLAB_PLAIN={plain}: give 1 for the plain way, slower, or 0")


def refuse_odd_seed(seed: Any) -> None:
    """Refuse what is no seed; where none is drawn with, forget that of the environment.

    Args:
        seed: as configured; true and null take Lightning's `PL_GLOBAL_SEED`.

    Raises:
        UsageError: naming where it was given.
    """
    if seed is False:
        os.environ.pop("PL_GLOBAL_SEED", None)
        return
    own = type(seed) is int
    name, given = ("--seed_everything ", str(seed)) if own else ("PL_GLOBAL_SEED=", _seed_around())
    if not (given.isdecimal() and int(given) <= LARGEST_SEED):
        raise UsageError(f"{name}{given} is no seed: give 0 to {LARGEST_SEED}")


def _seed_around() -> str:
    return os.environ.get("PL_GLOBAL_SEED", "0")


def _flag(*names: str) -> str:
    return "--" + ".".join(name for name in names if name).replace(".init_args", "")


def _or_leave_it_out(default: Any) -> str:
    if default is inspect.Parameter.empty:
        return ""
    plain = isinstance(default, int | float | str)
    said = (str(default).lower() if type(default) is bool else default) if plain else "its default"
    return f", or leave it out for {said}"


def _not_null(value: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Return the options of a class, and their defaults, that are null and must not be."""
    path, options = value.get("class_path"), value.get("init_args")
    if not isinstance(path, str) or not isinstance(options, Mapping | Namespace):
        return
    module, _, name = path.rpartition(".")
    kind = getattr(sys.modules.get(module), name, None)  # what is imported already; nothing else is
    for option in [each for each, given in dict(options).items() if given is None]:
        for constructor in _constructors(kind):
            parameter = inspect.signature(constructor).parameters.get(option)
            if parameter is not None:
                if parameter.default is not None and not _takes_null(constructor, option):
                    yield option, parameter.default
                break


def _constructors(kind: Any) -> list[Any]:
    """Return what makes the instances of a class: its own, and those of what it inherits from."""
    kinds = inspect.getmro(kind) if isinstance(kind, type) else ()
    return [vars(each)["__init__"] for each in kinds if "__init__" in vars(each)]


def _takes_null(function: Any, option: str) -> bool:
    try:
        annotation = typing.get_type_hints(function).get(option, Any)
    except (NameError, TypeError):  # it names what is there for a type checker alone
        return True
    return annotation in (Any, object) or type(None) in (annotation, *typing.get_args(annotation))
