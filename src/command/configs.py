"""The shipped configs, found by name."""

import os
from pathlib import Path

import yaml

from ..errors import UsageError
from .yaml_checks import check_meaning

#: in an installed package inside it; in a checkout at its top
_PACKAGE = Path(__file__).parents[1]
_INSTALLED = _PACKAGE / "configs"
FOLDER = _INSTALLED if _INSTALLED.is_dir() else _PACKAGE.parent / "configs"

#: what every command starts from
DEFAULTS = Path(__file__).with_name("defaults.yaml")


def shipped() -> dict[str, Path]:
    """Return the shipped configs by name, such as `linear_regression/split.yaml`."""
    return {path.relative_to(FOLDER).as_posix(): path for path in sorted(FOLDER.rglob("*.yaml"))}


def find(name: str) -> Path:
    """Return the config of a path, or of a shipped config's name.

    Raises:
        UsageError: if there is neither, or what is there is no config.
    """
    for candidate in (Path(os.path.expanduser(name)), FOLDER / name, FOLDER / f"{name}.yaml"):
        if candidate.is_file():
            _check(candidate)
            return candidate
    from .parser_messages import nearest  # torch with it, which the list of configs needs not

    names = {each.removesuffix(".yaml"): each for each in shipped()}
    near = nearest(name.removesuffix(".yaml"), names)
    meant = f"did you mean {names[near]}? " if near else ""
    raise UsageError(
        f"there is no config {name}, neither here nor among the shipped ones: {meant}"
        "`descentlab configs` lists those"
    )


def _check(path: Path) -> None:
    """Refuse a file that is not YAML of one meaning, or holds no keys."""
    try:
        text = path.read_text(encoding="utf-8")
        check_meaning(text)
        content = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or getattr(error, "strerror", None) or error
        problem = "save it as UTF-8" if isinstance(error, UnicodeDecodeError) else problem
        raise UsageError(f"{path}{place} cannot be read as YAML: {problem}") from error
    if not isinstance(content, dict):
        raise UsageError(f"{path} is no config: give a YAML file with keys such as model and data")
    if not isinstance(content.get("trainer", {}), dict | None):
        raise UsageError(f"{path}: trainer is no mapping: give its settings, such as max_epochs: 5")


def experiment(paths: list[Path]) -> str | None:
    """Return the name for runs of these configs: that of the first one which sets a model."""
    for path in paths:
        text = path.read_text(encoding="utf-8")
        if text.startswith("model:") or "\nmodel:" in text:
            inside = path.is_relative_to(FOLDER)
            return path.relative_to(FOLDER).with_suffix("").as_posix() if inside else path.stem
    return None
