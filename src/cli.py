"""The command line: LightningCLI over any module and data, with the instruments attached."""

import logging
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.exceptions import SIGTERMException
from lightning.pytorch.utilities.model_helpers import is_overridden

from . import callbacks, datamodules, modules  # noqa: F401  their classes are found by short names
from .callbacks.instrument import recording
from .configurations import DEFAULTS, experiment, find
from .errors import RunError, UsageError
from .evaluation import EVALUATIONS, Evaluation
from .parsing import Parser, cause
from .run import Run

#: the callbacks of every fit, each with a flag of its own: `--graph_export null`
INSTRUMENTS = {
    "batch_loss": callbacks.BatchLoss,
    "learning_curves": callbacks.LearningCurves,
    "graph_export": callbacks.GraphExport,
    "accelerator_timer": callbacks.AcceleratorTimer,
    "progress": callbacks.Progress,
    "best_parameters": callbacks.BestParameters,
    "summary": callbacks.Summary,
}


class SaveConfig(SaveConfigCallback):
    """Keep the resolved configuration in the run's folder and, as text, in TensorBoard."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Save, for a run that has a folder."""
        if trainer.loggers:
            super().setup(trainer, pl_module, stage)

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Show the configuration in TensorBoard."""
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                text = self.parser.dump(self.config, skip_none=False)
                logger.experiment.add_text("config", f"```yaml\n{text}\n```")


class DescentCLI(LightningCLI):
    """LightningCLI with the shipped configs, the instruments, and evaluation of whole runs."""

    def __init__(self, args: Sequence[str]) -> None:
        self.words = expand_run(list(args))
        self.words, self.configs = expand_configs(self.words)
        defaults = {"default_config_files": [str(DEFAULTS)]}
        super().__init__(
            LightningModule,
            LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            save_config_callback=SaveConfig,
            parser_class=Parser,
            parser_kwargs={name: dict(defaults) for name in self.subcommands()},
            auto_configure_optimizers=False,
            args=self.words,
        )

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse the words that were given, whatever this process was started with."""
        self.config = parser.parse_args(args)

    def _parse_ckpt_path(self) -> None:
        """Take nothing from a checkpoint but its state: what is configured always wins."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the instruments and what `fit` does at its end."""
        for name, kind in INSTRUMENTS.items():
            default = {"class_path": f"{kind.__module__}.{kind.__name__}"}
            about = f"{_first(kind)} (null for none)."
            parser.add_argument(f"--{name}", type=kind | None, default=default, help=about)
        parser.add_argument(
            "--test_after_fit",
            type=bool,
            default=False,
            help="Whether `fit` ends with `test --run`.",
        )

    def _prepare_subcommand_parser(
        self, klass: type, subcommand: str, **kwargs: Any
    ) -> LightningArgumentParser:
        parser = super()._prepare_subcommand_parser(klass, subcommand, **kwargs)
        if subcommand in EVALUATIONS:
            parser.add_argument("--run", type=str | None, default=None, help=RUN_HELP)
            parser.add_argument("--epoch", type=int | None, default=None, help=EPOCH_HELP)
        return parser

    def before_instantiate_classes(self) -> None:
        """Name the experiment by its config, and make paths of data whole."""
        config = self.config[self.subcommand]
        logger = config.trainer.logger
        ours = getattr(logger, "class_path", "") == "descentlab.logger.RunLogger"
        if ours and logger.init_args.name is None:
            fallback = config.model.class_path.rsplit(".", 1)[-1]
            logger.init_args.name = experiment(self.configs) or fallback
        arguments = config.data.get("init_args", {}) if config.get("data") else {}
        for key in ("x_path", "y_path"):
            if arguments.get(key):  # `test --run` may be called from another folder
                arguments[key] = os.path.abspath(arguments[key])

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Make the trainer, with the instruments for a fit."""
        fitting = self.subcommand == "fit"
        if not fitting:
            self.save_config_callback = None
        if not fitting and self._trained:  # what is written goes beside the checkpoints
            kwargs["logger"] = False
        attached = [self._get(self.config_init, name) for name in INSTRUMENTS] if fitting else []
        attached = [instrument for instrument in attached if instrument is not None]
        if not any(isinstance(one, callbacks.Progress) for one in attached):
            kwargs["enable_progress_bar"] = False
        try:
            return self._instantiate_trainer(
                {**self._get(self.config_init, "trainer"), **kwargs}, attached
            )
        except (ValueError, TypeError) as error:
            raise UsageError(f"trainer: {error}") from error

    def before_fit(self) -> None:
        """Look at the data before a folder is made for the run."""
        if self.datamodule is not None:
            self.datamodule.prepare_data()

    def fit(self, **kwargs: Any) -> None:
        """Train; a run that fails says where what it finished is."""
        try:
            self.trainer.fit(**kwargs)
        except RunError as error:
            if not self.trainer.loggers:
                raise
            folder = Run.of(self.trainer).folder
            raise RunError(f"{error}; what was finished before is in {folder}") from error

    def after_fit(self) -> None:
        """Test the run, if that was asked for."""
        if self._get(self.config_init, "test_after_fit") and recording(self.trainer):
            print(Evaluation("test", self.model, self.datamodule).of_run(Run.of(self.trainer)))

    def validate(self, **kwargs: Any) -> None:
        """Measure the losses on the training and validation sets."""
        self._evaluate(**kwargs)

    def test(self, **kwargs: Any) -> None:
        """Measure the loss on the test set."""
        self._evaluate(**kwargs)

    def predict(self, **kwargs: Any) -> None:
        """Write predictions."""
        self._evaluate(**kwargs)

    @property
    def _trained(self) -> bool:
        """Whether the module can be trained; one that cannot needs no checkpoint."""
        return is_overridden("training_step", self.model)

    def _evaluate(self, **kwargs: Any) -> None:
        if not self._trained:
            getattr(self.trainer, str(self.subcommand))(**kwargs)
            return
        folder, epoch = (self._get(self.config_init, key) for key in ("run", "epoch"))
        evaluation = Evaluation(str(self.subcommand), self.model, self.datamodule, self.trainer)
        if folder is not None:
            print(evaluation.of_run(Run(Path(folder)), epoch))
        elif kwargs.get("ckpt_path"):
            print(evaluation.of_checkpoint(Path(kwargs["ckpt_path"])))
        else:
            raise UsageError(
                f"{self.subcommand}: give --run DIR (the folder of a run) or --ckpt_path FILE: "
                "parameters that were never trained tell nothing"
            )


RUN_HELP = "The folder of a run: its config is taken, and its last and best parameters."
EPOCH_HELP = "With --run: the parameters after this epoch too (epochs count from 0)."


def _first(kind: type) -> str:
    return (kind.__doc__ or "").strip().split("\n", 1)[0].rstrip(".")


def _value_of(words: list[str], index: int) -> tuple[str, str, int]:
    """Return the flag at a place, its value, and how many words they take."""
    flag, equals, value = words[index].partition("=")
    if equals:
        return flag, value, 1
    return flag, words[index + 1] if index + 1 < len(words) else "", 2


def expand_run(words: list[str]) -> list[str]:
    """Put the config of `--run DIR` before the other words, so that those override it.

    Raises:
        UsageError: if the folder holds no run.
    """
    for index in range(1, len(words)):
        flag, value, _ = _value_of(words, index)
        if flag == "--run" and words[0] in EVALUATIONS:
            config = Run(Path(value)).config
            if not config.is_file():
                raise UsageError(
                    f"--run {value}: there is no run ({config} is missing): give the folder that "
                    "`fit` named at its end"
                )
            return [words[0], "--config", str(config), *words[1:]]
    return words


def expand_configs(words: list[str]) -> tuple[list[str], list[Path]]:
    """Replace the names of shipped configs by their paths; return the words and the paths."""
    expanded, paths, index = [], [], 0
    while index < len(words):
        flag, value, taken = _value_of(words, index)
        if flag in ("--config", "-c") and value:
            paths.append(find(value))
            expanded += [flag, str(paths[-1])]
            index += taken
        else:
            expanded.append(words[index])
            index += 1
    return expanded, paths


def run(words: Sequence[str]) -> int:
    """Run a command and return its exit status: 0, 1 (a failed run) or 2 (wrong use)."""
    _quiet()
    try:
        DescentCLI(words)
    except (UsageError, MisconfigurationException) as error:
        return _fail(error, 2)
    except RunError as error:
        return _fail(error, 1)
    except SIGTERMException:
        return _fail("terminated: what was finished is in the run's folder", 128 + signal.SIGTERM)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
    return 0


def _fail(message: object, status: int) -> int:
    print(f"descentlab: error: {' '.join(str(message).split())}", file=sys.stderr)
    return status


def _quiet() -> None:
    """Keep Lightning's notes on its own services, and known warnings, out of the output."""
    logging.getLogger("lightning.pytorch.utilities.rank_zero").setLevel(logging.WARNING)
    logging.getLogger("lightning.fabric.utilities.seed").setLevel(logging.WARNING)
    warnings.filterwarnings(
        "ignore", message=".*was deprecated in v4.*", module="jsonargparse|lightning"
    )
    for known in (
        ".*does not have many workers.*",
        ".*callbacks used to create the checkpoint need to be provided.*",  # a test needs none
        ".*isinstance.treespec, LeafSpec.*is deprecated.*",  # Lightning's own
    ):
        warnings.filterwarnings("ignore", message=known)
