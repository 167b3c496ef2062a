"""A command that is run within a Python process: without words, and without a trace in it."""

import os
import random
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib
import numpy as np
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback
from lightning.pytorch.utilities.exceptions import SIGTERMException

from ..callbacks import Progress, Summary
from ..command.cli import DescentCLI
from ..command.exception_messages import in_one_sentence
from ..command.imports import never_from, run_folders
from ..command.process import quiet
from ..command.stop import Stop
from ..errors import RunError, UsageError
from ..runs.paths import Run
from ..sweeps import SweepResults


class QuietCLI(DescentCLI):
    """The command line without its tables and its progress bar."""

    def say(self, text: str) -> None:
        """Print nothing: what is found is in the folder of the run."""

    @property
    def folder(self) -> Path:
        """The folder of the run that was trained."""
        return Run.of(self.trainer).folder

    def before_instantiate_classes(self) -> None:
        """Refuse a fit that leaves no run to be returned."""
        super().before_instantiate_classes()
        trainer = self.config[self.subcommand].trainer
        if self.subcommand == "fit" and (trainer.fast_dev_run or trainer.logger is False):
            given = "fast_dev_run" if trainer.fast_dev_run else "logger = false"
            raise UsageError(
                f"trainer.{given} leaves no folder, and so no run to return: leave it out"
            )

    def _instruments(self) -> list[Callback]:
        made = super()._instruments()
        for one in made:
            if isinstance(one, Progress):
                one.disable()
            if isinstance(one, Summary | SweepResults):
                one.silent = True
        return made


def obey(words: Sequence[str], kind: type[QuietCLI] = QuietCLI) -> QuietCLI:
    """Run a command and return it; what else is in the process stays as it was.

    Args:
        words: a command and its flags.
        kind: how it is run.

    Raises:
        UsageError: with the sentence of the command line.
        RunError: the same.
        KeyboardInterrupt: after Ctrl-C, when what was finished is written.
    """
    stop = Stop()
    try:
        with untouched(), stop.on_signals(), quiet(), never_from(run_folders(words)):
            return kind(words)
    except (UsageError, MisconfigurationException) as error:
        raise UsageError(in_one_sentence(error)) from None
    except RunError as error:
        raise RunError(in_one_sentence(error)) from None
    except (SIGTERMException, SystemExit, KeyboardInterrupt) as error:
        if not stop.interrupted and not isinstance(error.__context__, KeyboardInterrupt):
            raise
        places = getattr(error, "__notes__", ["the run's folder"])
        raise KeyboardInterrupt(f"what was finished before is in {'; '.join(places)}") from None


@contextmanager
def untouched() -> Iterator[None]:
    """Start as a new process does, inside, and give this one's state back at the end.

    Of Python, NumPy and torch the random generators; torch's default dtype, and whether it is to
    be deterministic; the environment; the filters of warnings; matplotlib's settings.
    """
    environment, python = dict(os.environ), random.getstate()
    numpy = np.random.get_state()  # noqa: NPY002  the global generator is what is kept
    dtype, benchmark = torch.get_default_dtype(), torch.backends.cudnn.benchmark
    strict = torch.are_deterministic_algorithms_enabled()
    warns = torch.is_deterministic_algorithms_warn_only_enabled()
    gpus = range(torch.cuda.device_count())
    with torch.random.fork_rng(gpus), matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rc_file_defaults()
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)
            torch.use_deterministic_algorithms(strict, warn_only=warns)
            if torch.backends.cudnn.benchmark != benchmark:  # frozen, it is the same
                torch.backends.cudnn.benchmark = benchmark
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002
            for name in os.environ.keys() - environment.keys():
                del os.environ[name]
            os.environ.update(environment)
