"""The words of a command before they are parsed: what `--run` and `--config` stand for."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from .. import modules
from ..errors import UsageError
from ..runs.evaluation import EVALUATIONS
from ..runs.names import folder_of
from ..runs.paths import Run
from .configs import find
from .imports import flag_at
from .instruments import INSTRUMENTS

COMMANDS = ("fit", *EVALUATIONS)

#: what an evaluation takes from the `trainer` of a config, where it is a plain value
TRAINER_KEYS = ("accelerator", "devices", "precision")

#: keys of a config that are for a fit alone
FOR_FIT = (*INSTRUMENTS, "figures", "test_after_fit")
#: what an evaluation of a run does not make: keys of a config, and of a descentlab module in it
FIT_KEYS = (*FOR_FIT, "ckpt_path", "resume", "run", "weights_only")
DESCENT_KEYS = ("optimizer", "lr_scheduler")


def expand(words: list[str]) -> tuple[list[str], list[Path]]:
    """Put configs in the place of `--run DIR` and of the names of shipped configs.

    Args:
        words: a command, the flags of which come after it.

    Returns:
        The words to parse, and the paths of the configs. For an evaluation of a run or of a
        checkpoint a config is replaced by the part of it that an evaluation needs.

    Raises:
        UsageError: if there is no such run or config, or one that is damaged.
    """
    if words and flag_at(words, 0)[0] in ("--config", "-c"):
        raise UsageError(f"{words[0]} comes after the command: descentlab fit --config NAME")
    flags = {flag_at(words, place)[0] for place in range(len(words))} & {"--run", "--ckpt_path"}
    evaluates = words[:1] != ["fit"]
    if evaluates and len(flags) == 2:
        raise UsageError("--run and --ckpt_path: give one: a run has checkpoints of its own")
    reduced = evaluates and len(flags) == 1
    for flag in (flag_at(words, place)[0] for place in range(len(words))):
        if "--ckpt_path".startswith(flag) and len("--ck") <= len(flag) < len("--ckpt_path"):
            raise UsageError(f"{flag}: write --ckpt_path")
    _refuse_options_before_their_class(words)
    words, index = _expand_run(words), 0
    expanded: list[str] = []
    paths: list[Path] = []
    while index < len(words):
        flag, value, taken = flag_at(words, index)
        if flag in ("--config", "-c") and not value and index + taken <= len(words):
            raise UsageError(f"{flag} is empty: give a name that `descentlab configs` lists")
        if flag in ("--config", "-c") and value:
            paths.append(find(value))
            expanded += [flag, _given(paths[-1], evaluates, reduced)]
            index += taken
        else:
            expanded.append(words[index])
            index += 1
    return expanded, paths


def resumes_alone(words: Sequence[str]) -> bool:
    """Return whether an expanded command is `fit --resume DIR`, without any other flag."""
    return words[:2] == ["fit", "--config"] and words[3:-1] == ["--resume"]


def _given(path: Path, evaluates: bool, reduced: bool) -> str:
    """Return what is parsed of a config: its path, or as YAML the part that serves the command."""
    if reduced:
        return for_evaluation(path)
    content = yaml.safe_load(path.read_text(encoding="utf-8")) if evaluates else None
    if not isinstance(content, Mapping) or not content.keys() & set(FIT_KEYS):
        return str(path)
    kept = {key: value for key, value in content.items() if key not in FIT_KEYS}
    return yaml.safe_dump(kept, sort_keys=False)


def _refuse_options_before_their_class(words: list[str]) -> None:
    """Refuse `--model.optimizer.lr 0.1 --model.optimizer X`: X starts from its own defaults."""
    flags = [flag_at(words, place)[0] for place in range(len(words))]
    for flag in filter(lambda flag: flag.startswith("--"), flags):
        early = [each for each in flags[: flags.index(flag)] if each.startswith(f"{flag}.")]
        if early:
            raise UsageError(f"{early[0]} is of the class before: give it after {flag}")


def _expand_run(words: list[str]) -> list[str]:
    """Put the config of a run before the other words, so that those override it.

    The run is that of `--run DIR` in an evaluation, and of `--resume DIR` in a fit.
    """
    takes = "--run" if words[:1] != ["fit"] else "--resume"
    for index in reversed(range(1, len(words))):  # the last one wins, as for any flag
        flag, value, taken = flag_at(words, index)
        if flag == takes and words[0] in COMMANDS:
            if not value or value.startswith("--"):
                raise UsageError(f"{flag}: give the folder of a run, as `fit` named it at its end")
            folder = folder_of(value)
            config = Run(folder).config
            if not config.is_file():
                raise UsageError(
                    f"{flag} {value}: there is no run ({config} is missing): give the folder that "
                    "`fit` named at its end"
                )
            _refuse_what_is_no_file(folder)
            given = [flag, str(folder)]
            rest = [*words[1:index], *given, *words[index + taken :]]
            return [words[0], "--config", str(config), *rest]
    return words


def _refuse_what_is_no_file(folder: Path) -> None:
    """Refuse a run with a pipe, a socket or a device in it: who opens one may wait for ever."""
    for path in sorted(folder.rglob("*")):
        if path.exists() and not path.is_file() and not path.is_dir():
            raise UsageError(f"{path} is neither a file nor a folder: move it out of the run")


def for_evaluation(path: Path) -> str:
    """Return the part of a config that an evaluation needs, as YAML.

    These are the module, its data, the seed, and of the trainer where and in which precision it
    computes. Whatever else a config names is not even imported.

    Args:
        path: of a config.

    Raises:
        UsageError: if it says elsewhere than in its mappings what is to be made.
    """
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    _refuse_what_hides(content, path)
    kept = {key: value for key, value in content.items() if key not in FIT_KEYS}
    trainer = content.get("trainer")
    if isinstance(trainer, Mapping):
        plain = {key: trainer[key] for key in TRAINER_KEYS if key in trainer}
        kept["trainer"] = {k: v for k, v in plain.items() if isinstance(v, str | int | list)}
    if "model" in kept:
        kept["model"] = _without_descent(kept["model"])
    return yaml.safe_dump(kept, sort_keys=False)


def _refuse_what_hides(content: Mapping[str, Any], path: Path) -> None:
    """Refuse `a.b: c` for `a: {b: c}`, and a file for a mapping: the parser would take both."""
    for key in ("model", "data", "trainer"):
        if isinstance(given := content.get(key), str) and ("/" in given or Path(given).is_file()):
            raise UsageError(f"{path}: {key}: {given} is a file: write what is in it in its place")
    if dotted := _with_a_dot(content, of_a_class=True):
        above, _, below = dotted.partition(".")
        raise UsageError(f"{path}: {dotted} has a dot: write it as {above}: {{{below}: …}}")


def _with_a_dot(value: Any, of_a_class: bool = False) -> str | None:
    """Return a key with a dot among those of classes, and of the whole; None where there is none.

    The keys of an option that is a mapping, such as a sweep's grid, may have dots.
    """
    if isinstance(value, list):
        return next(filter(None, map(_with_a_dot, value)), None)
    if not isinstance(value, Mapping):
        return None
    of_a_class = of_a_class or "class_path" in value
    for key, each in value.items():
        if "." in str(key) and (of_a_class or str(key).startswith("init_args.")):
            return str(key)
        if found := _with_a_dot(each, of_a_class=key == "init_args"):
            return found
    return None


def _without_descent(value: Any) -> Any:
    """Leave out what a descentlab module would train with, at any depth."""
    if isinstance(value, list):
        return [_without_descent(each) for each in value]
    if not isinstance(value, Mapping):
        return value
    kept = {key: _without_descent(each) for key, each in value.items()}
    home, _, name = str(kept.get("class_path")).rpartition(".")
    ours = (f"{home}.").startswith((".", "descentlab.")) and name in modules.__all__
    arguments = kept.get("init_args")
    if ours and isinstance(arguments, dict):
        kept["init_args"] = {k: v for k, v in arguments.items() if k not in DESCENT_KEYS}
    return kept


def in_one_line(words: Sequence[str]) -> str:
    """Return a command as one line of text, as it may stand in a comment."""
    line = shlex.join(["descentlab", *words])
    return "".join(each if each.isprintable() else " " for each in line)
