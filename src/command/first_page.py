"""The first page of a command's help: the flags that matter; `--help_all` shows every one.

Which flags these are is said here; what each means and what it is without being given is the
parser's own.
"""

import argparse
import pydoc
import re
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, get_args

from jsonargparse import Namespace
from lightning.pytorch.cli import LightningArgumentParser

from ..datamodules import RegressionData
from ..modules import DescentModule
from ..runs.logger import RunLogger

_FIT = {
    "what is trained": (
        *("--config", "--model", "--model.optimizer", "--model.optimizer.lr"),
        *("--model.lr_scheduler", "--model.manual_optimization", "--data", "--data.batch_size"),
    ),
    "how long, and where": (
        *("--trainer.max_epochs", "--trainer.accelerator", "--trainer.precision"),
        *("--trainer.callbacks", "--seed_everything"),
    ),
    "what is kept, and how a run goes on": (
        *("--trainer.logger.save_dir", "--figures", "--graph_export", "--trajectory"),
        *("--resume", "--test_after_fit"),
    ),
    "to look closer": ("--print_config", "--model.help", "--data.help", "--help_all"),
}
_EVALUATION = {
    "what is measured": (
        *("--run", "--epoch", "--ckpt_path", "--config"),
        *("--data", "--data.batch_size", "--data.split"),
    ),
    "where": ("--trainer.accelerator", "--trainer.precision"),
    "to look closer": ("--print_config", "--data.help", "--help_all"),
}

#: the classes whose options are shown where no config names others
_SHOWN = {"model": DescentModule, "data": RegressionData}

#: flags whose value is a class, which their defaults do not tell
_CLASSES = (
    *("--model", "--model.optimizer", "--model.lr_scheduler", "--data", "--trainer.callbacks"),
    "--trajectory",
)

#: what the parser is to say of flags that Lightning explains at length, or not at all
_SAID = {
    "--config": "A shipped config by its name (`descentlab configs` lists them), or a YAML file.",
    "--model": "The module: a class of `descentlab.modules`, or the import path of yours.",
    "--data": "The DataModule: a class of `descentlab.datamodules`, or the import path of yours.",
    "--seed_everything": "The seed of all that is drawn (true for one that is drawn itself).",
    "--trainer.accelerator": "Where to compute: `cpu`, `gpu`, `mps`, or `auto` for what is there.",
    "--trainer.precision": "Of all numbers: `32-true` or `64-true`; `16-mixed`, `bf16-mixed`.",
    "--trainer.callbacks": "A callback, or a list; `--trainer.callbacks+=CLASS` adds one.",
    "--ckpt_path": "A checkpoint to measure; a fit goes on from it in a new folder.",
    "--model.help": "Show the options of a module.",
    "--data.help": "Show the options of a DataModule.",
    "--print_config": "Print the whole configuration, and train nothing.",
}


class FirstPage(argparse.Action):
    """The flag `--help`: print the first page, with the values of a config that stands before."""

    def __init__(self, option_strings: list[str], help: str, **_: Any) -> None:
        nothing = argparse.SUPPRESS
        super().__init__(option_strings, dest=nothing, default=nothing, nargs=0, help=help)

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: Any, values: Any, option: Any = None
    ) -> None:
        """Print the page, and end the command."""
        assert isinstance(parser, LightningArgumentParser)
        print(first_page(parser, namespace), end="")
        parser.exit()


class WholeHelp(FirstPage):
    """The flag `--help_all`: print every flag."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: Any, values: Any, option: Any = None
    ) -> None:
        """Print all pages, and end the command."""
        parser.print_help()
        parser.exit()


def add_help(parser: LightningArgumentParser) -> None:
    """Give the parser of a command, which has none, both kinds of help."""
    for name in _SAID.keys() & parser._option_string_actions.keys():
        parser._option_string_actions[name].help = _SAID[name]
    about = "Show the flags that matter, with the values of a --config that stands before it."
    parser.add_argument("-h", "--help", action=FirstPage, help=about)
    parser.add_argument("--help_all", action=WholeHelp, help="Show every flag.")


def first_page(parser: LightningArgumentParser, given: Namespace | Mapping[str, Any]) -> str:
    """Return the first page of a command's help.

    Args:
        parser: of the command.
        given: what was given before the help was asked for.
    """
    flags = flags_of(parser, given)
    page = argparse.ArgumentParser(
        usage=f"{parser.prog.replace(' [options]', '')} [FLAG VALUE ...]",
        description=parser.description,
        add_help=False,
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=34, width=98),
    )
    for title, names in (_FIT if "--resume" in flags else _EVALUATION).items():
        group = page.add_argument_group(title)
        for name in filter(flags.__contains__, names):
            _show(group, name, flags[name], given)
    return page.format_help()


def foremost_first(flags: Iterable[str]) -> list[str]:
    """Return flags, those of the first page before all others.

    Args:
        flags: of a command.
    """
    shown = {name for page in (_FIT, _EVALUATION) for names in page.values() for name in names}
    return sorted(flags, key=lambda flag: flag not in shown)


def flags_of(
    parser: LightningArgumentParser, given: Namespace | Mapping[str, Any] = MappingProxyType({})
) -> dict[str, Any]:
    """Return all flags of a command by name, those of its classes too, each with its action.

    Args:
        parser: of the command.
        given: what was given: the classes that it names are looked at.
    """
    return dict(_flags(parser, given))


def _flags(
    parser: LightningArgumentParser, given: Namespace | Mapping[str, Any]
) -> Iterator[tuple[str, Any]]:
    yield from parser._option_string_actions.items()
    for key, kind in _SHOWN.items():
        yield from _of_class(_class_at(given, key) or kind, key)
    optimizer = _class_at(given, "model.init_args.optimizer") or _default_optimizer()
    yield from _of_class(optimizer, "model.optimizer")
    yield from _of_class(_class_at(given, "trainer.logger") or RunLogger, "trainer.logger")


def _of_class(kind: type, key: str) -> Iterator[tuple[str, Any]]:
    """Give the flags of a class's options, below a key; what a base explains, by its words."""
    inside = LightningArgumentParser()
    inside.add_class_arguments(kind, key, fail_untyped=False)
    for name, action in inside._option_string_actions.items():
        if name.startswith(f"--{key}."):
            if found := re.match(r"see `(\w+)`", action.help or ""):
                base = next(each for each in kind.__mro__ if each.__name__ == found[1])
                action.help = dict(_of_class(base, key))[name].help
            yield name, action


def _default_optimizer() -> type:
    made = dict(_of_class(DescentModule, "model"))["--model.optimizer"].default
    kind = pydoc.locate(made["class_path"])
    assert isinstance(kind, type)
    return kind


def _class_at(given: Namespace | Mapping[str, Any], key: str) -> type | None:
    """Return the class that a config names at a key."""
    value = given.get(key)
    kind = pydoc.locate(value["class_path"]) if isinstance(value, Namespace | Mapping) else None
    return kind if isinstance(kind, type) else None


def _show(group: Any, name: str, action: Any, given: Namespace | Mapping[str, Any]) -> None:
    """Add a flag to a group of the page."""
    about = _first_sentence(action.help or "")
    names = [each for each in action.option_strings if "+" not in each]
    if action.nargs == 0 or name == "--print_config":
        group.add_argument(*names, action="store_true", help=about)
        return
    if action.default is not argparse.SUPPRESS and name != "--config":
        about += f" (default: {_in_words(_value(given, name, action.default))})"
    group.add_argument(*names, metavar=_metavar(name, action), help=about.replace("%", "%%"))


def _value(given: Namespace | Mapping[str, Any], name: str, default: Any) -> Any:
    """Return the value of a flag in what was given, where the options of a class are apart."""
    at: Any = given
    for part in name.removeprefix("--").split("."):
        inside = at.get("init_args", at) if isinstance(at, Namespace | Mapping) else {}
        if part not in (inside or {}):
            return default
        at = inside[part]
    return at


def _first_sentence(text: str) -> str:
    plain = re.sub(r" :math:`[^`]*`", "", " ".join(text.split())).replace("``", "`")
    first = re.split(r"(?<=[\w)`'])\.(?: |$)", plain, maxsplit=1)[0]
    return first[:1].upper() + first[1:]


def _metavar(name: str, action: Any) -> str:
    """Return what stands for a value: its kind."""
    type_ = getattr(action, "_typehint", None)
    kinds = {str(each) for each in (type_, *get_args(type_))} - {str(type(None))}
    for kind, letters in (("int", "N"), ("float", "X"), ("bool", "{true,false}")):
        if str(pydoc.locate(kind)) in kinds:
            return letters
    words = {"--config": "NAME", "--run": "DIR", "--resume": "DIR"}
    classy = isinstance(action.default, Namespace | Mapping) or ".help" in name
    return "CLASS" if classy or name in _CLASSES else words.get(name, "VALUE")


def _in_words(value: Any) -> str:
    """Return a value as it would be given on the command line; a class by its name."""
    if isinstance(value, Namespace | Mapping):
        return str(value.get("class_path", "")).rpartition(".")[2]
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return getattr(value, "__name__", str(value))
