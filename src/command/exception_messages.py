"""Exceptions of other libraries, told in one sentence: a user's mistake, or a fault."""

import errno
import os
import pydoc
import re
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.accelerators import AcceleratorRegistry
from lightning.pytorch.callbacks import Timer
from torch.nn import Module
from torch.optim import Optimizer

from ..modules.closures import needs_closure, takes_closure
from .parser_messages import cause

PACKAGE = Path(__file__).parents[1]
LIBRARIES = ("lightning", "torch", "torchmetrics", "jsonargparse")
#: what torch says when it gets no memory, which it asks for where our own code calls it
NO_MEMORY = re.compile(r"can't allocate memory|out of memory", re.IGNORECASE)
#: a disk that takes no more, which is not always asked for a file by its name
FULL = (errno.ENOSPC, errno.EDQUOT)
#: what is said of a class that does nothing by itself
ABSTRACT = "it is what others are made from: give one of those"
#: a message has at most so many characters
LONGEST = 480


def in_one_sentence(message: object) -> str:
    """Return a message on one line, without dumps of objects, its middle left out if it is long.

    Example:
        >>> in_one_sentence("Given value: Namespace(a=(1, 2)) at <x object at 0x7f>")
        'Given value: … at …'
    """
    text = " ".join(_without_dumps(str(message)).split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 123]} … {text[-120:]}"


def _without_dumps(text: str) -> str:
    text = re.sub(r"<[^<>]* object at 0x[^<>]*>", "…", text)
    while (start := text.find("Namespace(")) >= 0:
        end, depth = start + len("Namespace("), 1
        while depth and end < len(text):
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
        text = f"{text[:start]}…{text[end:]}"
    return text


def fault(error: BaseException) -> str:
    """Say what went wrong that nobody had foreseen: its type, its words and its place."""
    where = "".join(f"; what was finished before is in {note}" for note in _notes(error)[:1])
    text = in_one_sentence(f"{type(error).__name__}: {error}")
    return f"{text[:250]} (in {_file_and_line(error)}){where}; --traceback shows the whole"


def of_the_disk(error: OSError) -> str:
    """Say which file cannot be read or written, and where what was finished is."""
    if error.strerror is None or (error.filename is None and error.errno not in FULL):
        return fault(error)
    place = f"{os.fsdecode(error.filename)}: " if error.filename else ""
    notes = _notes(error)
    where = f"; what was finished before is in {'; '.join(notes)}" if notes else ""
    return f"{place}{error.strerror}{where}"


def mistake_in_making(error: Exception) -> str | None:
    """Return what is wrong with the options of a class, by its own words; None for our fault."""
    if usage := cause(error):
        return str(usage)
    said = re.findall(r"Problem with given class_path '(?:.*\.)?(\w+)':\s+(\S.*)", str(error))
    if said:
        return f"{said[-1][0]}: {said[-1][1]}"
    *_, first = _causes(error)
    ours = _library(first) == "descentlab" and not NO_MEMORY.search(str(first))
    return None if ours else _made(first)


def mistake_in_trainer(accelerator: Any, error: Exception) -> str:
    """Say what is wrong with the trainer's settings; of an accelerator, which ones are there."""
    known = {name: entry["accelerator"] for name, entry in AcceleratorRegistry.items()}
    here = [name for name, kind in known.items() if kind.is_available()]
    if accelerator in ("auto", *here) or (accelerator == "gpu" and {"cuda", "mps"} & set(here)):
        return f"trainer: {error}"
    return (
        f"--trainer.accelerator {accelerator}: there is none here; this machine has "
        f"{', '.join(here)}: give one of these, or auto"
    )


def mistake_in_fit(error: Exception) -> str | None:
    """Return what was asked for wrongly, where a fit fails before training; None for a fault."""
    names = {frame.name for frame in traceback.extract_tb(error.__traceback__)}
    if isinstance(error, ModuleNotFoundError):
        return str(error)
    if "configure_optimizers" in names and _library(error) != "descentlab":
        files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
        scheduler = any(file.endswith("lr_scheduler.py") for file in files)
        return f"model.{'lr_scheduler' if scheduler else 'optimizer'}: {_made(error)}"
    asked = isinstance(error, ValueError | MisconfigurationException)
    return str(error) if asked and _library(error) in LIBRARIES else None


def mistake_in_use(error: Exception) -> str | None:
    """Return what is wrong with a library's optimizer or callback, by its own words, or None.

    It could be made, and says at its first use that it does not go with the model. What the
    module itself does wrong is none of theirs.
    """
    if _library(error) not in LIBRARIES or NO_MEMORY.search(str(error)):
        return None
    kinds = ((Optimizer, "model.optimizer"), (Callback, "trainer.callbacks"))
    for frame, _ in reversed(list(traceback.walk_tb(error.__traceback__))):
        user = frame.f_locals.get("self")
        if isinstance(user, Module | Trainer):
            return None
        for key in (key for kind, key in kinds if isinstance(user, kind)):
            if type(user).__module__.startswith("descentlab."):
                return None
            words = str(error).rstrip(". ")
            return f"{key}: {type(user).__name__}: {words}; give another, or leave it out"
    return None


def instead(mistake: str, trainer: Trainer) -> str:
    """Return what to give in place of a setting that does not fit here, or the mistake."""
    part = getattr(trainer, "overfit_batches", 0)
    if isinstance(part, float) and 0 < part < 1 and "dataloader" in mistake:
        return (
            f"--trainer.overfit_batches {part} is less than a batch of some set: give a whole "
            "number of batches"
        )
    return mistake


def idleness(trainer: Trainer) -> str | None:
    """Return why a fit trained nothing; None where it did so in processes of its own."""
    timers = [one for one in getattr(trainer, "callbacks", ()) if isinstance(one, Timer)]
    epochs, steps = trainer.max_epochs, trainer.max_steps
    if getattr(trainer, "limit_train_batches", 1) == 0:
        return "trainer.limit_train_batches = 0 leaves no batch: give more"
    if any((left := timer.time_remaining()) is not None and left <= 0 for timer in timers):
        return "trainer.max_time is used up: give more"
    if trainer.current_epoch >= (epochs or 0) >= 0 or trainer.global_step >= steps >= 0:
        return (
            f"trainer.max_epochs = {epochs} and trainer.max_steps = {steps} are reached: give more"
        )
    if getattr(trainer, "should_stop", False):
        return "a callback, such as EarlyStopping, has ended it early: give another setting"
    return None


def mistake_in_step(optimizer: Any, automatic: bool) -> str | None:
    """Return what the step of an optimizer, as configured, cannot do here; None if it can all.

    Args:
        optimizer: the configuration of an optimizer.
        automatic: whether optimization is automatic.
    """
    path = getattr(optimizer, "class_path", "")
    kind = pydoc.locate(path)
    if not hasattr(kind, "step"):
        return None
    if not takes_closure(kind):
        return (
            f"model.optimizer: {path}.step takes no closure, in which Lightning computes the loss "
            "and its gradients: write step(self, closure=None), and call it"
        )
    if not automatic and needs_closure(kind):
        return (
            f"model.optimizer: {path} measures the loss anew within a step, which is not written "
            "out by hand: leave manual_optimization out"
        )
    return None


def _made(error: BaseException) -> str:
    """Say what an error says of the object that was being made."""
    makers = [
        type(frame.f_locals["self"]).__name__
        for frame, _ in traceback.walk_tb(error.__traceback__)
        if frame.f_code.co_name == "__init__" and "self" in frame.f_locals
    ]
    abstract = isinstance(error, NotImplementedError)
    words = str(error) or (ABSTRACT if abstract else type(error).__name__)
    return f"{makers[-1]}: {words}" if makers else words


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _notes(error: BaseException) -> list[str]:
    return getattr(error, "__notes__", [])


def _short(filename: str) -> str:
    """Return a file's path from its package on."""
    path = Path(filename)
    if path.is_relative_to(PACKAGE):
        return (Path("descentlab") / path.relative_to(PACKAGE)).as_posix()
    return path.as_posix().rpartition("site-packages/")[2]


def _library(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return _short(frames[-1].filename).split("/")[0] if frames else ""


def _file_and_line(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{_short(frames[-1].filename)}:{frames[-1].lineno}" if frames else "an unknown place"
