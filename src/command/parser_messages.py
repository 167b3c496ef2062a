"""Errors of the command line in one sentence: the key, the value, and what to give instead."""

import importlib
import inspect
import re
import sys
from collections.abc import Iterable
from difflib import SequenceMatcher, get_close_matches
from pathlib import Path

from lightning.pytorch import LightningModule
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from ..datamodules import ResumableData
from ..errors import UsageError
from ..objectives import Objective
from ..runs.evaluation import EVALUATIONS
from . import commands

#: where the classes for a key are, and what they are all kinds of
HOMES: dict[str, tuple[tuple[str, ...], type]] = {
    "model": (("descentlab.sweeps", "descentlab.modules"), LightningModule),
    "data": (("descentlab.datamodules",), ResumableData),
    "objective": (("descentlab.objectives",), Objective),
    "optimizer": (("descentlab.optimizers", "torch.optim"), Optimizer),
    "lr_scheduler": (("torch.optim.lr_scheduler",), LRScheduler),
}

#: flags that others have, and what stands for them here
MEANT = {
    "--lr": "--model.optimizer.lr",
    "--learning_rate": "--model.optimizer.lr",
    "--optimizer": "--model.optimizer",
    "--lr_scheduler": "--model.lr_scheduler",
    "--batch_size": "--data.batch_size",
    "--epochs": "--trainer.max_epochs",
    "--max_epochs": "--trainer.max_epochs",
    "--seed": "--seed_everything",
    "--trainer.gpus": "--trainer.accelerator gpu --trainer.devices N",
    "--gpus": "--trainer.accelerator gpu --trainer.devices N",
}

#: options that are tensors, which a class takes from Python alone
TENSORS = ("--data.x", "--data.y")
NO_TENSOR = (
    "a tensor cannot be written into a config: save inputs and targets by torch.save or "
    "numpy.save, and give the files as x_path and y_path"
)
#: the working folder
HERE = Path()
#: how many names of a module a message has at most
MOST_NAMED = 8
#: how types are called in a message
TYPES = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "NoneType": "null",
    "tuple": "a list",
    "tuple with 3 elements": "three numbers, such as '[0.8,0.1,0.1]',",
}


def cause(error: BaseException | None) -> UsageError | None:
    """Return the UsageError that an error was made from, or None."""
    while error is not None and not isinstance(error, UsageError):
        error = error.__cause__
    return error


def sentence(message: str, flags: Iterable[str] = (), folder: Path = HERE) -> str:
    """Say in one sentence what a message of the parser says in many lines.

    Args:
        message: the parser's message; one of an unknown form is returned on one line.
        flags: all flags of the command, among which the nearest to a wrong one is looked for.
        folder: where the command was called, which is another than the working folder while a
            config is read.

    Returns:
        The key, what is wrong with it, and what to give instead.

    Example:
        >>> print(sentence('Parser key "trainer.max_epochs": Expected a int. Got value: ten'))
        --trainer.max_epochs ten: give a whole number
        >>> print(sentence("unrecognized arguments: --modle x", ["--model", "--data"]))
        --modle x: there is no such flag; did you mean --model?
    """
    if found := re.match(r"argument subcommand: invalid choice: '(.*?)'", message):
        *others, last = commands.OF_THEIR_OWN
        known = f"fit, validate, test, predict, {', '.join(others)} or {last}"
        return f"{found[1]} is no command: give {known}"
    if found := re.match(r"the following arguments are required: (.*)", message):
        return _missing(found[1])
    if found := re.match(r"unrecognized arguments: (.*)", message):
        return _unknown_flag(found[1], flags)
    if found := re.match(r"Subcommand '\w+' does not accept option '(.*)'", message):
        return f"{found[1]}: there is no such key{_nearest('--' + found[1], flags)}"
    keys = re.findall(r'Parser key "(.*?)"', message)
    return _about_key(keys, message, folder) if keys else " ".join(message.split())


def _unknown_flag(words: str, flags: Iterable[str]) -> str:
    """Say which flag is meant, given all words that are unknown, the first of which is one."""
    wrong = words.split()[0].partition("=")[0]
    if wrong.endswith((".yaml", ".yml")):
        return f"{words}: a config is given as --config {wrong}"
    if not wrong.startswith("-"):
        as_run = [f": a run is given as {f} {wrong}" for f in ("--run", "--resume") if f in flags]
        return f"{words}: a value stands behind its flag{''.join(as_run)}"
    for known_as, meant in MEANT.items():
        if wrong == known_as or wrong.startswith(f"{known_as}."):
            return f"{words}: there is no such flag: give {meant}{wrong.removeprefix(known_as)}"
    return f"{words}: there is no such flag{_nearest(wrong, flags)}"


def _missing(keys: str) -> str:
    names = sorted({key.strip().split(".")[1] for key in keys.split(",") if "." in key})
    flags = " and ".join(f"--{name} CLASS" for name in names)
    evaluates = keys.strip().split(".")[0] in EVALUATIONS
    run = "--run DIR, a folder that `fit` has made, or " * evaluates
    return (
        f"{' and '.join(names)} missing: give {run}--config NAME (`descentlab configs` lists the "
        f"shipped ones), or {flags}"
    )


def nearest(wrong: str, known: Iterable[str]) -> str | None:
    """Return the known name that one stands for: one that begins so, or else one like it, or None.

    Of names that are as like it the first is taken.

    Example:
        >>> nearest("batch", ["path", "batch_size"])
        'batch_size'
    """
    names = list(known)
    longer = sorted((name for name in names if wrong and name.startswith(wrong)), key=len)
    alike = set() if longer else set(get_close_matches(wrong, names, len(names) + 1))
    closest = max(
        (name for name in names if name in alike),
        key=lambda name: SequenceMatcher(None, name, wrong).ratio(),
        default=None,
    )
    return longer[0] if longer else closest


def _nearest(wrong: str, known: Iterable[str]) -> str:
    found = nearest(wrong, known)
    return f"; did you mean {found}?" if found else ""


def _about_key(keys: list[str], message: str, folder: Path) -> str:
    """Say what is wrong with the value of a key, given the keys from the outermost inwards."""
    flag = "--" + ".".join(keys)
    inner = message[message.rindex(f'Parser key "{keys[-1]}"') :]
    if found := re.search(r"Option '(.*?)' is not accepted", inner):
        return f"{flag}.{found[1]}: {_unaccepted(found[1], message)}"
    if found := re.search(r"unrecognized arguments: --([^.=\s]+)", inner):
        return f"{flag}.{found[1]}: {_unaccepted(found[1], message)}"
    if found := re.search(r"Importing '(\S+)' is not allowed", inner):
        return f"{flag} {found[1]}: it leads to the machine itself, and may not be named"
    value = _given(inner)
    if found := re.search(r"Multiple subclasses with name \S+\..*?: (.*)\.", inner):
        return (
            f"{flag} {value}: there are several of this name; give {found[1].replace(', ', ' or ')}"
        )
    name = keys[-1].rsplit(".", 1)[-1]
    if found := re.search(r"to be a function that returns <class '(.*?)'>", inner):
        return f"{flag} {value}: annotate the function with what it returns: `-> {found[1]}`"
    if found := re.search(r"the following arguments are required: (.*)", inner):
        kind = re.search(r"class_path='.*?(\w+)'", inner)
        if kind and name in HOMES and kind[1] == HOMES[name][1].__name__:
            return f"{flag} {kind[1]}: it is what others are made from; give {class_choices(name)}"
        needs = found[1].partition(". Got value")[0].strip()
        first = needs.split(",")[0].strip()
        return f"{flag} {kind[1] if kind else value} needs {needs}: add {flag}.{first} VALUE"
    if "." in value and (reason := _not_imported(value, inner, folder, name)):
        return f"{flag} {value}: {reason}"
    if name in HOMES:
        homes, base = HOMES[name]
        inside = [each for home in homes for each in _classes(home, base)]
        other = re.search(r"Expected '\S+' to be a |not correspond to a subclass", inner)
        wrong = f"it is no {name}" if other else f"there is no such {name}{_nearest(value, inside)}"
        return f"{flag} {value}: {wrong}; give {class_choices(name)}, or an import path"
    before = re.split(r"(?:Got|Given) value", inner)[0]
    expected = re.findall(r"Expected (?:an? )?(.+?)\.? *$", before, re.M)
    if expected:
        allowed = " or ".join(map(_type_in_words, expected)).split(" or ")
        if flag in TENSORS and allowed == ["null"]:
            return f"{flag}: {NO_TENSOR}"
        if "list" in before.lower() and re.fullmatch(r"[\d.e+-]+(, ?[\d.e+-]+)+", value):
            return f"{flag} {value}: give '[{value}]'"
        return f"{flag} {value}: give {' or '.join(dict.fromkeys(allowed))}"
    return f"{flag}: {' '.join(inner.split(':', 1)[1].split())}"


def _not_imported(path: str, inner: str, folder: Path, key: str) -> str | None:
    """Say why the import path at a key leads nowhere; None where that is not what is wrong."""
    home = path.rpartition(".")[0]
    found = re.search(r"module '(\S+)' has no attribute '(\w+)'", inner)
    if found and f"{path}.".startswith(f"{found[1]}.{found[2]}."):
        return _missing_in(found[1], found[2])
    if found := re.search(r"[Nn]o module named '([\w.]+)'", inner):
        if not f"{home}.".startswith(f"{found[1]}."):
            return f"{home} cannot be imported: there is no {found[1]}: install it"
        top = path.partition(".")[0]
        if (folder / f"{top}.py").is_file() or (folder / top).is_dir():
            where = f"{top} lies in the working folder, where this command does not look: call"
            return f"{where} `python -m descentlab`, or install it"
        return (
            f"there is no module {found[1]}: call `python -m descentlab` in the folder where it "
            f"lies, or install it{', or give ' + class_choices(key) if key in HOMES else ''}"
        )
    if found := re.search(r"^[ -]*(.* \(\w+\.py, line \d+\))$", inner, re.M):
        return f"{home} cannot be imported: {found[1]}"
    return None


def _missing_in(home: str, wrong: str) -> str | None:
    """Say what is near in a module, or else what it has; None where `class_choices` says so."""
    inside = getattr(sys.modules.get(home), "__dict__", {})
    names = [name for name in inside if not name.startswith("_")]
    own = [name for name in names if getattr(inside[name], "__module__", "") == home]
    near = _nearest(wrong, names)
    if not near and (not own or any(home in homes for homes, _ in HOMES.values())):
        return None
    return f"{home} has no {wrong}{near or '; it has ' + ', '.join(own[:MOST_NAMED])}"


def _given(inner: str) -> str:
    """Return the value that a message speaks of."""
    for pattern in (
        r"class_path '(.*?)'",
        r"Got value: (.*?)(?:\. Got value|$)",
        r"NestedArg\(key='.*?', val='?(.*?)'?\)$",
        r"Given value: (.*)$",
        r"import path string: (\S+)",
        r"Expected a path but (\S+) either",
    ):
        if found := re.search(pattern, inner, re.M):
            dump = re.match(r"Namespace\(class_path='(.*?)'", found[1])
            given = dump[1] if dump else found[1]
            return "null" if given == "None" else given
    return ""


def _unaccepted(option: str, message: str) -> str:
    """Say which options the class of a message has."""
    paths = re.findall(r"class_path(?:=| )'(.*?)'", message)
    if not paths:
        return "there is no such option"
    module, _, name = paths[-1].rpartition(".")
    kind = getattr(importlib.import_module(module), name)
    options = [each for each in inspect.signature(kind).parameters if each != "params"]
    if option in options:
        return f"{name} cannot be configured here: its {option} hold what is made later"
    inside = "module" in options and option in HOMES  # of the module that it looks at
    near = f"; did you mean module.{option}?" if inside else _nearest(option, options)
    return f"{name} has no option {option}{near}; it has {', '.join(options)}"


def class_choices(key: str) -> str:
    """Return the classes that a key may name, in words.

    Args:
        key: one of `HOMES`.
    """
    homes, base = HOMES[key]
    return " or ".join(
        f"one of {home} ({', '.join(_classes(home, base))})" for home in reversed(homes)
    )


def _classes(home: str, base: type) -> list[str]:
    module = importlib.import_module(home)
    return sorted(
        name
        for name, kind in vars(module).items()
        if isinstance(kind, type) and issubclass(kind, base) and not inspect.isabstract(kind)
        if kind is not base and not name.startswith("_")
    )


def _type_in_words(type_: str) -> str:
    if "import path string" in type_ or "either not accessible" in type_:
        return "a class"
    bare = re.sub(r"^<class '(.*)'>$", r"\1", type_)
    if choices := re.match(r"typing\.Literal\[(.*)\]", bare):
        return choices[1].replace("'", "").replace(", ", " or ")
    return TYPES.get(bare, bare.rsplit(".", 1)[-1])
