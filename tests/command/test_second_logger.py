"""Loggers beside the run's own: in a fit, when it goes on, and in a test of it."""

import csv
from pathlib import Path
from typing import ClassVar

import pytest
import torch
import yaml
from command_line import RUN, YOUR_DATA
from lightning.pytorch.loggers.logger import DummyLogger, Logger

from descentlab.command.loggers import mistake_in_logger, with_folders


class Kept(Logger):
    """A logger of someone else's, which keeps what it is given."""

    made: ClassVar = []

    def __init__(self, label: str = "kept") -> None:
        super().__init__()
        self.label, self.metrics, self.hyperparameters, self.ended = label, [], [], []
        Kept.made.append(self)

    @property
    def name(self):
        return self.label

    @property
    def version(self):
        return 0

    def log_metrics(self, metrics, step=None):
        self.metrics.append((step, dict(metrics)))

    def log_hyperparams(self, params, *args, **kwargs):
        self.hyperparameters.append(params)

    def finalize(self, status):
        self.ended.append(status)


class Unmet(DummyLogger):
    """A logger whose package is missing, as Lightning's say it."""

    def __init__(self) -> None:
        raise ModuleNotFoundError("Requirement 'a-logger>=1.0' not met. HINT: Try running `pip`")


class Unwilling(DummyLogger):
    """A logger that cannot be made, for a reason of its own."""

    def __init__(self) -> None:
        raise OSError("the tracking server sleeps")


@pytest.fixture
def kept():
    Kept.made.clear()
    return Kept.made


KEPT = ("--trainer.logger+", "test_second_logger.Kept")


def rows(path):
    """The losses of a table of metrics, each with its step."""
    with Path(path).open() as file:
        return [
            (int(row["step"]), name, float(row[name]))
            for row in csv.DictReader(file)
            for name in ("loss/train", "loss/val")
            if row[name]
        ]


@pytest.mark.parametrize(
    "given", [("--trainer.logger+=CSVLogger",), ("--trainer.logger+", "CSVLogger")]
)
def test_lightnings_table_has_what_ours_has(command, here, given):
    outcome = command(*YOUR_DATA, *given)
    assert outcome.status == 0, outcome.err
    ours, theirs = (
        rows(here / RUN / "metrics.csv"),
        rows("logs/lightning_logs/version_0/metrics.csv"),
    )
    assert [row for row in ours if row[0]] == [(s, n, v) for s, n, v in theirs if s]
    assert len([row for row in ours if row[0]]) == 4  # two losses after each of two epochs
    assert (here / RUN / "checkpoints/last.ckpt").is_file()  # a run of its name, as without
    assert not list(Path("logs/lightning_logs").rglob("*.ckpt"))
    content = yaml.safe_load((here / RUN / "config.yaml").read_text())
    assert len(content["trainer"]["logger"]) == 2


def test_a_second_tensorboard_is_put_where_it_is_told(command, here):
    added = ("--trainer.logger+=TensorBoardLogger", "--trainer.logger.save_dir", "board")
    assert command(*YOUR_DATA, *added).status == 0
    assert len(list(Path("board").rglob("events.out.tfevents.*"))) == 1
    assert len(list((here / RUN).glob("events.out.tfevents.*"))) == 1


def test_the_run_is_the_same_run(command, here):
    assert command(*YOUR_DATA).status == 0
    assert command(*YOUR_DATA, *KEPT, "--trainer.logger+=CSVLogger").status == 0
    alone, beside = (here / RUN.replace("version_0", name) for name in ("version_0", "version_1"))
    for name in ("batch_losses.csv", "metrics.csv"):
        assert (alone / name).read_bytes() == (beside / name).read_bytes()
    states = [
        torch.load(each / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
        for each in (alone, beside)
    ]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    files = [{path.name for path in each.rglob("*")} for each in (alone, beside)]
    assert len(files[0] ^ files[1]) == 2  # the event files, whose names hold a time


def test_a_run_goes_on_and_is_tested_beside_another_logger(command, here, kept):
    command(*YOUR_DATA)
    assert command(*YOUR_DATA, *KEPT, "--trainer.max_epochs", "1").status == 0
    run = RUN.replace("version_0", "version_1")
    outcome = command("fit", "--resume", run, "--trainer.max_epochs", "2")
    assert outcome.status == 0, outcome.err
    assert (here / run / "batch_losses.csv").read_bytes() == (
        here / RUN / "batch_losses.csv"
    ).read_bytes()
    first, second = kept
    assert first.ended == second.ended == ["success"]
    steps = [{s for s, m in each.metrics if "loss/val" in m} for each in kept]
    assert steps[1]
    assert max(steps[0]) < min(steps[1])
    assert command("test", "--run", run).status == 0
    assert len(kept) == 2  # what is tested is written into the run's folder alone


def test_a_logger_joins_a_run_that_goes_on(command, here, kept):
    command(*YOUR_DATA)
    outcome = command("fit", "--resume", RUN, "--trainer.max_epochs", "3", *KEPT)
    assert outcome.status == 0, outcome.err
    (joined,) = kept
    assert joined.metrics


def test_ours_is_the_first_wherever_it_is_named(command, here, tmp_path, kept):
    ours = {"class_path": "descentlab.runs.logger.RunLogger"}
    loggers = [{"class_path": "test_second_logger.Kept"}, ours]
    Path("both.yaml").write_text(yaml.safe_dump({"trainer": {"logger": loggers}}))
    assert command(*YOUR_DATA, "--config", "both.yaml").status == 0
    assert (here / RUN / "checkpoints/last.ckpt").is_file()
    assert kept[0].metrics


def test_another_logger_alone_cannot_go_on_in_the_folder(refused):
    words = ("--trainer.logger", "CSVLogger", "--trainer.logger.save_dir", "x")
    message = refused("fit", "--resume", RUN, *words)
    assert "another logger than RunLogger" in message


@pytest.mark.parametrize(
    ("logger", "package"), [("test_second_logger.Unmet", "a-logger"), ("MLFlowLogger", "mlflow")]
)
def test_a_package_that_is_missing_is_named_before_a_folder_is_made(refused, logger, package):
    if logger == "MLFlowLogger":
        mlflow = pytest.importorskip("lightning.pytorch.loggers.mlflow")
        if mlflow._MLFLOW_AVAILABLE:
            pytest.skip("it is installed here")
    message = refused(*YOUR_DATA, f"--trainer.logger+={logger}")
    assert message == f"{package} is missing: pip install {package}"


def test_a_logger_that_cannot_be_made_says_why(refused):
    message = refused(*YOUR_DATA, "--trainer.logger+=test_second_logger.Unwilling")
    assert "the tracking server sleeps" in message
    assert len(message) < 100


def test_other_errors_are_not_about_packages():
    assert mistake_in_logger(ModuleNotFoundError("No module named 'mlflow'")) is None
    assert mistake_in_logger(ValueError("Requirement")) is None


@pytest.mark.parametrize(
    ("words", "folder"),
    [
        (["--trainer.logger+=CSVLogger"], "logs"),
        (["--trainer.logger.save_dir", "there", "--trainer.logger+=CSVLogger"], "there"),
        (["--trainer.logger.save_dir=there", "--trainer.logger+", "TensorBoardLogger"], "there"),
        (["--trainer.logger+=lightning.pytorch.loggers.CSVLogger"], "logs"),
        (["--trainer.logger+=MLFlowLogger"], None),  # has a folder of its own
        (["--trainer.logger+=mine.CSVLogger"], None),
        (["--trainer.logger+"], None),
        (["--seed_everything", "--trainer.max_epochs", "1"], None),
    ],
)
def test_only_a_logger_that_needs_a_folder_is_told_one(words, folder):
    added = ["--trainer.logger.save_dir", folder] if folder else []
    assert with_folders(["fit", *words]) == ["fit", *words, *added]
