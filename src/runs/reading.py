"""What a run's folder holds, read as plain values; a damaged or foreign file is named."""

import errno
import re
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from ..errors import UsageError

ADVICE = "give a .ckpt file of a run"
#: what every checkpoint has, and of which kind the parts are that it may have
WANTED = {"epoch", "state_dict", "pytorch-lightning_version"}
KINDS: dict[str, type] = {
    "epoch": int,
    "global_step": int,
    "pytorch-lightning_version": str,
    "state_dict": Mapping,
    "loops": Mapping,
    "callbacks": Mapping,
    "optimizer_states": list,
    "lr_schedulers": list,
    "configured": Mapping,
}


def read_plain(path: Path, problem: str = "is damaged") -> Any:
    """Read a file of `torch.save` that holds plain values and tensors; no code in it is run.

    Args:
        path: the file.
        problem: what is said of a file that is not such a one.

    Raises:
        UsageError: if it cannot be read, or is not such a file.
    """
    try:
        if path.exists() and not path.is_file():
            raise UsageError(f"{path} cannot be read (it is no file)")
        return torch.load(path, map_location="cpu", weights_only=True)
    except UsageError:
        raise
    except OSError as error:
        if error.errno == errno.EINVAL:  # of a file that is cut off: torch looks before its start
            raise UsageError(f"{path} {problem}") from error
        raise UsageError(f"{path} cannot be read ({error.strerror or error})") from error
    except Exception as error:  # torch raises nearly anything for a file that it did not write
        raise UsageError(f"{path} {problem}") from error


def read_checkpoint(path: Path, advice: str = ADVICE) -> dict[str, Any]:
    """Read a checkpoint.

    Args:
        path: the file.
        advice: what can be done in place of reading it, if it is none.

    Raises:
        UsageError: if there is no such file, or it is no checkpoint.
    """
    if not path.is_file():
        raise UsageError(f"--ckpt_path {path}: there is no such file: {ADVICE}")
    found = read_plain(path, f"is not a checkpoint, or is damaged: {advice}")
    if not isinstance(found, dict) or not found.keys() >= WANTED:
        raise UsageError(f"{path} is not a checkpoint: {advice}")
    for name in KINDS.keys() & found.keys():
        if not isinstance(found[name], KINDS[name]):
            raise UsageError(
                f"{path} is damaged, its {name} is no {KINDS[name].__name__}: {advice}"
            )
    if not _counts(found.get("loops")):
        raise UsageError(f"{path} is damaged, its loops count in what is no number: {advice}")
    return found


def _counts(loops: Any) -> bool:
    """Return whether the loops of a checkpoint count in whole numbers, at any depth."""
    if not isinstance(loops, Mapping):
        return True
    counted = [loops[name] for name in ("total", "current") if isinstance(loops.get(name), Mapping)]
    return all(type(count) is int for each in counted for count in each.values()) and all(
        _counts(part) for part in loops.values()
    )


@contextmanager
def loading(path: str | Path | None) -> Iterator[None]:
    """Name the checkpoint of which something cannot be restored.

    Args:
        path: the checkpoint that is loaded inside, for the message.

    Raises:
        UsageError: in place of whatever a library raises while it restores a checkpoint.
    """
    try:
        yield
    except Exception as error:
        of_another = isinstance(error, OSError) and error.filename is not None
        if path is None or not _restoring(error) or str(path) in str(error) or of_another:
            raise
        if isinstance(error, UsageError):
            raise UsageError(f"{path}: {error}") from error
        if "loading state_dict" in str(error):
            details = " ".join(str(error).split()).removeprefix(
                "Error(s) in loading state_dict for "
            )
            raise UsageError(
                f"{path} does not fit the configured model: {details.rstrip('. ')}: give a "
                "checkpoint of such a model, or begin a new run"
            ) from error
        if done := re.search(r"current_epoch=(\d+), but .*max_epochs=(\d+)\)", str(error)):
            raise UsageError(
                f"trainer.max_epochs = {done[2]}: the run of {path} has {int(done[1]) + 1} epochs "
                "already: give as many, or more"
            ) from error
        raise UsageError(
            f"{path} does not fit this run, or is damaged ({type(error).__name__}: {error}): give "
            "a checkpoint of such a run, or begin a new one"
        ) from error


def _restoring(error: Exception) -> bool:
    """Return whether an error was raised while Lightning restores a checkpoint."""
    files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    return any(file.endswith("checkpoint_connector.py") for file in files)
