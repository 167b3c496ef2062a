"""The run of a trainer: its folder, and what is written and shown there."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor
from torch.nn.parameter import UninitializedParameter

from ..errors import NotWritten
from ..internals.tensorboard import add_png
from .files import failure_of_the_disk, write_whole
from .logger import RunLogger
from .paths import Run as Run  # what a run is, beside what a trainer does with it

LARGEST_SHOWN = 1000  # elements of a parameter whose values are written out


def run_to_write(trainer: Trainer) -> Run | None:
    """Return the run, in the one process that writes its files; None elsewhere.

    To be called in all processes: Lightning broadcasts the folder.
    """
    run = Run.of(trainer)
    return run if recording(trainer) else None


def recording(trainer: Trainer) -> bool:
    """Return whether this process writes files: the first one of a run that is not a trial run."""
    return trainer.is_global_zero and not getattr(trainer, "fast_dev_run", False)


def goes_on(trainer: Trainer) -> bool:
    """Return whether a trainer goes on in the folder of an earlier run."""
    return any(isinstance(each, RunLogger) and each.goes_on for each in trainer.loggers)


def tensorboard(trainer: Trainer) -> Any | None:
    """Return the SummaryWriter of the trainer's first TensorBoardLogger, or None."""
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            return logger.experiment
    return None


def keep_picture(
    trainer: Trainer, path: Path, files: Mapping[str, bytes], tag: str | None = None
) -> None:
    """Write the files of a picture, and show it in the trainer's TensorBoard, where there is one.

    Args:
        trainer: of the run.
        path: the place of the files without a suffix; its folder is made.
        files: their content by suffix, `png` among them.
        tag: in TensorBoard; that of the path's name where it is left out.

    Raises:
        OSError: a file cannot be written; it is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for suffix, content in files.items():
        write_whole(path.with_name(f"{path.name}.{suffix}"), content)
    writer = tensorboard(trainer)
    if writer is not None:
        add_png(writer, tag or f"picture/{path.name}", files["png"], trainer.global_step)


def warn_unwritten(what: str, error: Exception) -> None:
    """Warn of a picture or a page that is not there: it is never worth a run.

    Args:
        what: it is, and that it is not there.
        error: why; where that is the disk, the warning is `NotWritten`, and names the file.
    """
    failure = failure_of_the_disk(error)
    if failure is not None and failure.strerror:  # of the system, not a library's own
        place = f"{os.fsdecode(failure.filename)}: " if failure.filename else ""
        rank_zero_warn(f"{place}{failure.strerror}", category=NotWritten)
    else:
        rank_zero_warn(f"{what}: {error}")


def log_series(trainer: Trainer, tag: str, values: list[float], first_step: int) -> None:
    """Write one value a step to the trainer's TensorBoard, where there is one."""
    for logger in trainer.loggers:
        if isinstance(logger, RunLogger):
            logger.log_series(tag, values, first_step)
        elif isinstance(logger, TensorBoardLogger):
            for step, value in enumerate(values, start=first_step):
                logger.experiment.add_scalar(tag, value, step)


def device_name(device: torch.device) -> str:
    """Return the device's type, and a GPU's model."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return str(device)


def parameter_values(pl_module: LightningModule) -> dict[str, Any]:
    """Return the parameters by name: numbers or nested lists; of a large one its shape and norm.

    A complex number is a pair, its real and its imaginary part.
    """
    return {
        name: _plain(parameter.detach())
        for name, parameter in pl_module.named_parameters()
        if not isinstance(parameter, UninitializedParameter)
    }


def _plain(value: Tensor) -> Any:
    if value.numel() > LARGEST_SHOWN:
        return {"shape": list(value.shape), "norm": float(value.norm())}
    if value.is_complex():
        value = torch.view_as_real(value.resolve_conj())
    return value.to_dense().tolist()
