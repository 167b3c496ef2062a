"""Loggers beside the run's own: `--trainer.logger+=CSVLogger`."""

import re
from collections.abc import Sequence
from inspect import Parameter, signature
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch import loggers

from ..runs.names import LOGS
from .imports import flag_at

OURS = "descentlab.runs.logger.RunLogger"


def with_folders(words: Sequence[str]) -> list[str]:
    """Tell each of Lightning's loggers that is added, and needs a folder, that of all runs.

    A `--trainer.logger.save_dir` after it gives another.
    """
    found: list[str] = []
    folder, index = str(LOGS), 0
    while index < len(words):
        flag, value, taken = flag_at(words, index)
        adds = flag == "--trainer.logger+"
        taken = taken if adds or flag == "--trainer.logger.save_dir" else 1
        found += words[index : index + taken]
        if adds and _needs_folder(value):
            found += ["--trainer.logger.save_dir", folder]
        elif flag == "--trainer.logger.save_dir":
            folder = value
        index += taken
    return found


def _needs_folder(path: str) -> bool:
    home, _, name = path.rpartition(".")
    kind = getattr(loggers, name, None) if f"{home}.".startswith((".", "lightning.")) else None
    options = signature(kind).parameters if isinstance(kind, type) else {}
    return "save_dir" in options and options["save_dir"].default is Parameter.empty


def put_ours_first(trainer: Namespace) -> Namespace | None:
    """Return the configuration of the run's own logger, or None where there is none.

    Where there are several loggers, it is put before the others: a run's folder is that of the
    first.

    Args:
        trainer: the configuration of the trainer.
    """
    given: Any = trainer.logger
    several = isinstance(given, list | tuple)
    found = list(given) if several else [given]
    ours = [each for each in found if getattr(each, "class_path", "") == OURS]
    if several:
        trainer.logger = [*ours, *(each for each in found if each not in ours)]
    return ours[0] if ours else None


def mistake_in_logger(error: BaseException | None) -> str | None:
    """Return what a logger says that could not be made, or which package it needs; None for else.

    Example:
        >>> mistake_in_logger(ImportError("Requirement 'mlflow>=1.0.0' not met. HINT: …"))
        'mlflow is missing: pip install mlflow'
    """
    while error is not None:
        text = str(error)
        if found := re.search(r"Requirement '([\w.-]+)[^']*' not met", text):
            return f"{found[1]} is missing: pip install {found[1]}"
        # among what jsonargparse says of each kind of value that the key could have had
        said = re.findall(r"^  - (?!Not a valid|Expected)(.*)$", text, re.MULTILINE)
        if said and "logger.Logger" in text:
            return f"trainer.logger: {said[0]}"
        error = error.__cause__
    return None
