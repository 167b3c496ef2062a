"""The command line: LightningCLI over any module and data, with the instruments attached."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.accelerators import MPSAccelerator
from lightning.pytorch.callbacks import Checkpoint, ProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch import distributed

from .. import callbacks, datamodules, modules, sweeps  # noqa: F401  their classes are found by short names
from ..callbacks.report import renew_report
from ..datamodules import ResumableData
from ..errors import RunError, UsageError
from ..runs.evaluation import EVALUATIONS, Evaluation, plain_trainer
from ..runs.folder import Run, run_to_write
from ..runs.reading import loading, read_checkpoint
from ..runs.terminal import show
from ..sweeps import MemberEvaluation
from .commands import ABOUT, DESCRIPTION
from .completion import add_commands
from .configs import DEFAULTS, experiment
from .data_paths import settle
from .exception_messages import (
    idleness,
    instead,
    mistake_in_fit,
    mistake_in_making,
    mistake_in_step,
    mistake_in_trainer,
    mistake_in_use,
)
from .first_page import add_help
from .going_on import SaveConfig, discard, go_on_in, naming_config_of_run, run_loggers, where
from .instruments import DRAWING, INSTRUMENTS, OF_ONE_DESCENT, add_instruments
from .loggers import mistake_in_logger, put_ours_first, with_folders
from .odd_values import refuse_odd_environment, refuse_odd_seed, refuse_odd_values
from .parser import Parser, class_defaults, without_enums
from .parser_messages import class_choices
from .several_processes import has_lost_another, join
from .stop import Stop
from .unwritten import naming_what_is_not_written
from .words import expand, in_one_line, resumes_alone


class DescentCLI(LightningCLI):
    """LightningCLI with the shipped configs, the instruments, and evaluation of whole runs."""

    def __init__(self, args: Sequence[str], stop: Stop | None = None) -> None:
        self._stop = stop or Stop()
        self.words, self.configs = expand(with_folders(args))
        shared = {"command": in_one_line(args), "add_help": False}
        files = {"default_config_files": [str(DEFAULTS)]}
        commands = {n: {**shared, **files, "description": ABOUT[n]} for n in self.subcommands()}
        super().__init__(
            LightningModule,
            None,  # any DataModule, or none for a module with loaders of its own
            subclass_mode_model=True,
            save_config_callback=SaveConfig,
            parser_class=Parser,
            parser_kwargs={"description": DESCRIPTION, **commands},
            auto_configure_optimizers=False,
            args=self.words,
        )

    _resumed: Run | None = None

    def setup_parser(self, *args: Any) -> None:
        """Say in the program's help what each command does."""
        super().setup_parser(*args)
        commands = self.parser._subcommands_action
        for command in commands._choices_actions if commands is not None else ():
            command.help = ABOUT[command.dest]
        if not ABOUT.keys() & self.words[:1]:
            add_commands(self.parser)

    def _set_seed(self) -> None:
        """Seed all that is drawn."""
        refuse_odd_environment()
        refuse_odd_seed(self._get(self.config, "seed_everything"))
        super()._set_seed()

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse the words that were given, whatever this process was started with."""
        with class_defaults(), naming_config_of_run(args, self.configs):
            self.config = without_enums(parser.parse_args(args))
        if (command := self.config["subcommand"]) not in ABOUT:
            raise UsageError(f"{command} comes first: descentlab {command}")
        config = self.config[command]
        refuse_odd_values(config)
        if config.get("trainer") is None:
            raise UsageError("trainer: null: leave it out, or give its settings")
        if (path := config.get("ckpt_path")) is not None and "://" in path:
            raise UsageError(f"--ckpt_path {path}: only files of this machine are read: fetch it")

    def _parse_ckpt_path(self) -> None:
        """Take nothing from a checkpoint but its state: what is configured always wins."""

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Return the commands, each with the arguments of its Trainer method that are no flags.

        Checkpoints are always read with `weights_only`.
        """
        commands = LightningCLI.subcommands()
        return {name: {*skipped, "weights_only"} for name, skipped in commands.items()}

    def _prepare_subcommand_parser(
        self, klass: type, subcommand: str, **kwargs: Any
    ) -> LightningArgumentParser:
        """Add what one command alone has: the instruments of `fit`, the run of an evaluation."""
        asked = self.words[0] if self.words else ""
        if asked in ABOUT and subcommand != asked:  # none of its flags can be given
            return self.init_parser(description=kwargs["description"])
        parser = super()._prepare_subcommand_parser(klass, subcommand, **kwargs)
        add_help(parser)
        if subcommand in EVALUATIONS:
            parser.add_argument("--run", type=str | None, default=None, help=RUN_HELP)
            parser.add_argument("--epoch", type=int | None, default=None, help=EPOCH_HELP)
            return parser
        add_instruments(parser)
        parser.add_argument("--resume", type=str | None, default=None, help=RESUME_HELP)
        parser.add_argument("--test_after_fit", type=bool, default=False, help=TEST_HELP)
        return parser

    def before_instantiate_classes(self) -> None:
        """Name the experiment by its config, and make paths of data whole."""
        config = self.config[self.subcommand]
        ours = put_ours_first(config.trainer)
        if config.get("resume"):
            if not ours or config.ckpt_path is not None:
                given = "another logger than RunLogger" if not ours else "--ckpt_path"
                raise UsageError(f"--resume {config.resume} and {given}: leave one out")
            self._resumed = Run(Path(os.path.expanduser(config.resume)))
            config.resume = None  # so that the config which is kept begins anew
        if ours and ours.init_args.name is None:
            fallback = config.model.class_path.rsplit(".", 1)[-1]
            ours.init_args.name = experiment(self.configs) or fallback
        arguments = config.data.get("init_args", {}) if config.get("data") else {}
        settle(arguments, self.words)
        for key in ("run", "ckpt_path"):
            if config.get(key):
                config[key] = os.path.expanduser(config[key])

    def instantiate_classes(self) -> None:
        """Make model, data and trainer; what is wrong with a value is said in one sentence."""
        try:
            super().instantiate_classes()
        except UsageError:
            raise
        except Exception as error:
            if mistake := mistake_in_logger(error) or mistake_in_making(error):
                raise UsageError(mistake) from error
            raise
        self._check_use()

    def _check_use(self) -> None:
        """Refuse a command that the module has no step for, and a module without data."""
        name = type(self.model).__name__
        able = [each for each, (step, _) in HOOKS.items() if is_overridden(step, self.model)]
        if self.subcommand not in able:
            raise UsageError(f"{name} is not made for {self.subcommand}: use {' or '.join(able)}")
        if self.datamodule is None and not is_overridden(HOOKS[self.subcommand][1], self.model):
            raise UsageError(f"{name} has no data: give --data CLASS, {class_choices('data')}")

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Make the trainer, with the instruments for a fit."""
        fitting = self.subcommand == "fit"
        if not fitting:
            self.save_config_callback = None
        if not fitting and self._trained:  # what is written goes beside the checkpoints
            kwargs["logger"] = False
        attached = self._instruments() if fitting else []
        settings = {**self._get(self.config_init, "trainer"), **kwargs}
        if self._resumed is not None:
            settings["num_sanity_val_steps"] = 0  # what it measures is in the table already
        own = settings["callbacks"] or []
        present = [*attached, *(own if isinstance(own, list) else [own])]
        for kind, flag in ((ProgressBar, "progress_bar"), (Checkpoint, "checkpointing")):
            there = any(isinstance(one, kind) for one in present)
            if there and settings[f"enable_{flag}"] is False:
                raise UsageError(f"--trainer.enable_{flag} false: give --{INSTEAD[flag]} null")
            if not there:
                settings[f"enable_{flag}"] = settings[f"enable_{flag}"] or False  # no default one
        try:
            trainer = self._instantiate_trainer(settings, attached)
        except (ValueError, TypeError, ImportError, MisconfigurationException) as error:
            raise UsageError(mistake_in_trainer(settings["accelerator"], error)) from error
        if isinstance(trainer.accelerator, MPSAccelerator) and trainer.precision == "64-true":
            raise UsageError(
                "trainer.precision = 64-true: mps has no float64: use --trainer.precision 32-true "
                "or --trainer.accelerator cpu"
            )
        if self._resumed is not None:
            go_on_in(self._resumed, trainer, resumes_alone(self.words))
        return trainer

    # --- what differs for a sweep

    def _instruments(self) -> list[Callback]:
        """Return the instruments of a fit; of a sweep those that look at all its members."""
        sweeping = isinstance(self.model, sweeps.Sweep)
        draws = self._get(self.config_init, "figures") == "all"
        left = {*(OF_ONE_DESCENT if sweeping else ()), *(() if draws else DRAWING)}
        made = [self._get(self.config_init, name) for name in INSTRUMENTS if name not in left]
        made += [sweeps.SweepResults(draws)] if sweeping else []
        return [instrument for instrument in made if instrument is not None]

    def _evaluation(
        self, kind: str, trainer: Trainer | None = None
    ) -> Evaluation | MemberEvaluation:
        """Return what measures a run: a sweep's members each, or the one model."""
        if isinstance(self.model, sweeps.Sweep):
            plan, draw = self.model.plan, self.model.draw
            return MemberEvaluation(kind, plan, draw, self.datamodule, trainer)
        return Evaluation(kind, self.model, self.datamodule, trainer)

    # --- what happens in each command

    def before_fit(self) -> None:
        """Look at the data and the checkpoint before a folder is made for the run."""
        if isinstance(self.datamodule, ResumableData):  # ours only read; others may download
            self.datamodule.prepare_data()
        if isinstance(self.model, modules.DescentModule):
            self.model.check_chunk(getattr(self.datamodule, "chunk", "auto"))
            optimizer = self._get(self.config, "model").get("init_args", {}).get("optimizer", "")
            if mistake := mistake_in_step(optimizer, self.model.automatic_optimization):
                raise UsageError(mistake)
        if isinstance(self.model, sweeps.Sweep):
            sweeps.leave_members_alone(self.trainer)
        path = self._checkpoint
        if path is not None:
            checkpoint = read_checkpoint(Path(path))
            if "optimizer_states" not in checkpoint:
                raise UsageError(
                    f"--ckpt_path {path} holds parameters alone, from which no run goes on: give "
                    "the last.ckpt or best.ckpt of a run"
                )

    @property
    def _checkpoint(self) -> str | None:
        """The checkpoint that a fit goes on from."""
        given: str | None = self._get(self.config_init, "ckpt_path")
        return given if self._resumed is None else str(self._resumed.last)

    def fit(self, **kwargs: Any) -> None:
        """Train; a run that fails says where what it finished is, and leaves no empty folder."""
        kwargs.pop("ckpt_path", None)
        path = self._checkpoint
        if path is not None:  # a relative one that begins with "http" is an address to Lightning
            kwargs.update(ckpt_path=os.path.abspath(path), weights_only=True)
        self._stop.places, self._stop.abandon = self._finished, self._abandon_folder
        try:
            join(self.trainer)
            with loading(path), naming_what_is_not_written(self._finished):
                self.trainer.fit(**kwargs)
            if not self._training_began and (reason := idleness(self.trainer)):
                whole = f", and {self._resumed.folder} is whole" if self._resumed else ""
                raise UsageError(f"nothing is left to train{whole}: {reason}")
        except RunError as error:
            if not self.trainer.loggers:
                raise
            folder = Run.of(self.trainer).folder
            raise RunError(f"{error}; what was finished before is in {folder}") from error
        except BaseException as error:
            notes = self._finished()
            for note in notes:
                error.add_note(note)
            if not isinstance(error, Exception):  # a signal
                discard(run_loggers(self.trainer) if not self._training_began else ())
                raise
            mistake = str(error) if isinstance(error, UsageError) else self._mistake(error)
            if not self._training_began or (mistake and not self._has_checkpoint):
                discard(run_loggers(self.trainer))
            if self.trainer.world_size > 1 and has_lost_another(error):
                places = "; what was finished before is in " * bool(notes) + "; ".join(notes)
                raise RunError(f"another process of the run has ended{places}") from error
            if mistake and not isinstance(error, UsageError):
                raise UsageError(instead(mistake, self.trainer)) from error
            raise

    def _finished(self) -> list[str]:
        """Say where what is finished is, in the process that wrote it; others need not be there."""
        trainer = self.trainer
        if not self._training_began:
            return []
        if trainer.world_size == 1:
            return where(Run.of(trainer)) if trainer.loggers else []
        ours = run_loggers(trainer)
        return where(Run(Path(ours[0].log_dir))) if ours and trainer.is_global_zero else []

    def _mistake(self, error: Exception) -> str | None:
        """Return what was asked for wrongly, where no epoch was finished; None for a fault."""
        if not self._training_began:
            return mistake_in_fit(error) or mistake_in_use(error)
        return None if self._has_checkpoint else mistake_in_use(error)

    @property
    def _has_checkpoint(self) -> bool:
        ours = run_loggers(self.trainer)
        return not ours or any(Path(ours[0].log_dir).rglob("*.ckpt"))

    def _abandon_folder(self) -> None:
        """Remove that of a run that never began, where the process ends: nothing is closed."""
        for logger in [] if self._training_began else run_loggers(self.trainer):
            logger.abandon()

    @property
    def _training_began(self) -> bool:
        found = [one for one in self.trainer.callbacks if isinstance(one, SaveConfig)]  # type: ignore[attr-defined]
        return not found or found[0].training_began  # a trial run has none, and no folder

    def after_fit(self) -> None:
        """Test the run, if that was asked for."""
        self._stop.evaluating = True
        if not self._get(self.config_init, "test_after_fit"):
            return
        run = run_to_write(self.trainer)
        if self.trainer.world_size > 1:
            distributed.destroy_process_group()  # the first process tests alone
        if run is not None:
            evaluation = self._evaluation("test", plain_trainer(self.trainer))
            self.say(evaluation.of_run(run))
            renew_report(run)

    def say(self, text: str) -> None:
        """Print what was found."""
        show(text)

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
        self._stop.evaluating = True
        if not self._trained:
            if kwargs.get("ckpt_path"):
                raise UsageError(
                    f"--ckpt_path {kwargs['ckpt_path']}: {type(self.model).__name__} is not "
                    "trained, so a checkpoint holds nothing for it: leave it out"
                )
            getattr(self.trainer, str(self.subcommand))(**kwargs)
            return
        folder, epoch = (self._get(self.config_init, key) for key in ("run", "epoch"))
        alone = self.trainer.world_size == 1  # what several processes trained, one evaluates
        trainer = self.trainer if alone else plain_trainer(self.trainer)
        evaluation = self._evaluation(str(self.subcommand), trainer)
        if folder is not None:
            self.say(evaluation.of_run(Run(Path(folder)), epoch))
            renew_report(Run(Path(folder)))
        elif kwargs.get("ckpt_path"):
            self.say(evaluation.of_checkpoint(Path(kwargs["ckpt_path"])))
        else:
            raise UsageError(
                f"{self.subcommand}: give --run DIR (the folder of a run) or --ckpt_path FILE: "
                "parameters that were never trained tell nothing"
            )


#: the step of a module and the loader of its data that each command calls
HOOKS = {
    "fit": ("training_step", "train_dataloader"),
    "validate": ("validation_step", "val_dataloader"),
    "test": ("test_step", "test_dataloader"),
    "predict": ("predict_step", "predict_dataloader"),
}
#: the instrument in the place of what Lightning has by default
INSTEAD = {"progress_bar": "progress", "checkpointing": "best_parameters"}
RUN_HELP = "The folder of a run, or last: its config is taken, and its last and best parameters."
RESUME_HELP = "The run to go on with, in its folder (or last); flags override its config."
TEST_HELP = "Whether `fit` ends with `test --run`."
EPOCH_HELP = "With --run: the parameters after this epoch too (epochs count from 0)."
