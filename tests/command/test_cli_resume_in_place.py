"""`fit --resume RUN`: in its own folder, with the files of a run that was never stopped."""

import json
import shutil
import signal
import time

import pytest
import torch
import yaml
from filelock import FileLock
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from descentlab.__main__ import main
from forked import Forked

LINE = (
    *("fit", "--config", "linear_regression/split.yaml", "--data.source", "line"),
    *("--graph_export", "null", "--progress", "null", "--trainer.logger.name", "x"),
)
ADAM = ("--model.optimizer", "torch.optim.Adam", "--model.lr_scheduler", "StepLR")
ADAM = (*ADAM, "--model.lr_scheduler.step_size", "2")
MONITOR = ("--trainer.callbacks+=LearningRateMonitor", "--trainer.log_every_n_steps", "1")
RUN = "logs/x/version_0"


def scalars(folder):
    """Every scalar of the event files of a run, as TensorBoard reads them."""
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


def assert_same_files(found, expected):
    for name in ("metrics.csv", "batch_losses.csv"):
        assert (found / name).read_bytes() == (expected / name).read_bytes()
    assert scalars(found) == scalars(expected)
    for name in ("parameters.pt", "best.ckpt", "last.ckpt"):
        one, other = (
            torch.load(each / "checkpoints" / name, weights_only=True) for each in (found, expected)
        )
        one, other = (each.get("state_dict", each) for each in (one, other))
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one)
    one, other = (json.loads((each / "summary.json").read_text()) for each in (found, expected))
    assert {**one, "seconds": 0} == {**other, "seconds": 0}
    assert not [path for path in found.rglob(".*") if path.is_file()]


@pytest.mark.parametrize(
    "options",
    [(), (*ADAM, *MONITOR), ("--model.manual_optimization", "true", "--data.chunk", "5")],
    ids=["plain", "adam_schedule_monitor", "chunks"],
)
def test_a_finished_run_goes_on_to_more_epochs(command, here, options):
    words = (*LINE, *options)
    assert command(*words, "--trainer.max_epochs", "3").status == 0
    outcome = command("fit", "--resume", RUN, "--trainer.max_epochs", "7")
    assert outcome.status == 0, outcome.err
    assert " before\n" in outcome.out
    command(*words, "--trainer.max_epochs", "7")
    assert_same_files(here / RUN, here / "logs/x/version_1")
    assert sorted(path.name for path in (here / "logs/x").iterdir()) == ["version_0", "version_1"]


def test_each_configuration_is_kept(command, here):
    command(*LINE, "--trainer.max_epochs", "1")
    for epochs, rate in ((2, "0.002"), (3, "0.003")):
        words = ("--trainer.max_epochs", str(epochs), "--model.optimizer.lr", rate)
        assert command("fit", "--resume", RUN, *words).status == 0
    kept = [
        yaml.safe_load((here / RUN / name).read_text())["model"]["init_args"]["optimizer"]
        for name in ("config.1.yaml", "config.2.yaml", "config.yaml")
    ]
    assert [each["init_args"]["lr"] for each in kept] == [0.001, 0.002, 0.003]
    config = yaml.safe_load((here / RUN / "config.yaml").read_text())
    assert config["resume"] is None
    assert config["ckpt_path"] is None
    again = command("fit", "--config", f"{RUN}/config.yaml", "--trainer.max_epochs", "1")
    assert again.status == 0  # a run of its own
    assert (here / "logs/x/version_1").is_dir()


def test_what_was_logged_after_the_checkpoint_goes(command, here):
    """Files as a kill leaves them: longer than the checkpoint, their last rows cut off."""
    words = (*LINE, *MONITOR)
    command(*words, "--trainer.max_epochs", "5")
    command(*words, "--trainer.max_epochs", "3")
    killed, longer = here / "logs/x/version_1", here / RUN
    for name in ("metrics.csv", "batch_losses.csv"):
        (killed / name).write_text((longer / name).read_text()[:-7])
    (events,) = killed.glob("events*")
    (more,) = longer.glob("events*")
    # a process writes one file, and the kill may cut its last record off
    later = more.read_bytes()[:-5]
    (killed / more.name).write_bytes(later)
    assert events.exists()
    last = torch.load(killed / "checkpoints/last.ckpt", weights_only=True)
    last["callbacks"]["BestParameters"]["logged"]["time"] = 0.0
    torch.save(last, killed / "checkpoints/last.ckpt")
    events.unlink()
    (killed / ".summary.json.123").write_text("{")  # by a process that was killed as it wrote
    assert command("fit", "--resume", str(killed), "--trainer.max_epochs", "6").status == 0
    command(*words, "--trainer.max_epochs", "6")
    whole = here / "logs/x/version_2"
    for name in ("batch_losses.csv", "metrics.csv"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes()
    assert not (killed / ".summary.json.123").exists()
    found, expected = scalars(killed), scalars(whole)
    assert found["loss/batch"] == expected["loss/batch"]


SWEEP = (
    *("fit", "--config", "linear_regression/lr_momentum_sweep.yaml", "--data.source", "line"),
    *("--model.grid", "{lr: [0.01, 0.1], momentum: [0.0, 0.9]}", "--model.seeds", "[7, 8]"),
    *("--progress", "null", "--trainer.logger.name", "x"),
)


def test_a_sweep_goes_on_to_more_epochs(command, here):
    assert command(*SWEEP, "--trainer.max_epochs", "3").status == 0
    outcome = command("fit", "--resume", RUN, "--trainer.max_epochs", "6")
    assert outcome.status == 0, outcome.err
    command(*SWEEP, "--trainer.max_epochs", "6")
    found, expected = here / RUN, here / "logs/x/version_1"
    for name in ("sweep.csv", "metrics.csv"):
        assert (found / name).read_text() == (expected / name).read_text()
    members = [path.name for path in (expected / "members").iterdir()]
    assert len(members) == 8
    for part in (".", *(f"members/{member}" for member in members)):
        assert scalars(found / part) == scalars(expected / part)
    one, other = (
        torch.load(run / "checkpoints/parameters.pt", weights_only=True)
        for run in (found, expected)
    )
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)
    one, other = (json.loads((run / "summary.json").read_text()) for run in (found, expected))
    assert {**one, "seconds": 0} == {**other, "seconds": 0}


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A folder with a run of two epochs; tests copy it."""
    folder = tmp_path_factory.mktemp("begun")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main([*LINE, "--learning_curves", "null", "--trainer.max_epochs", "2"]) == 0
    return folder


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--resume", "nowhere"), "--resume nowhere: there is no run"),
        (("--resume",), "--resume: give the folder of a run"),
        (
            ("--resume", RUN, "--ckpt_path", f"{RUN}/checkpoints/last.ckpt"),
            "--ckpt_path: leave",
        ),
        (("--resume", RUN, "--seed_everything", "7"), "the run of the checkpoint began with 42"),
        (
            ("--resume", RUN, "--model.optimizer", "Momentum"),
            "is of an optimizer Gradient",
        ),
        (("--resume", RUN), "nothing is left to train"),
    ],
)
def test_what_cannot_go_on_is_refused_and_left_as_it_is(command, begun, here, words, message):
    shutil.copytree(begun / "logs", here / "logs")
    before = {path: path.read_bytes() for path in (here / RUN).rglob("*") if path.is_file()}
    outcome = command("fit", *words)
    assert outcome.status == 2
    assert message in outcome.message
    for path, content in before.items():
        assert path.read_bytes() == content
    assert {path for path in (here / RUN).rglob("*") if path.is_file()} == before.keys()


def test_a_run_without_a_finished_epoch_cannot_go_on(command, here):
    command(*LINE, "--trainer.max_epochs", "1")
    (here / RUN / "checkpoints" / "last.ckpt").unlink()
    outcome = command("fit", "--resume", RUN)
    assert outcome.status == 2
    assert "there is no checkpoints/last.ckpt" in outcome.message


def test_a_second_process_is_refused_while_the_first_one_lives(command, here):
    command(*LINE, "--trainer.max_epochs", "1")
    with FileLock(here / RUN / ".lock"):
        outcome = command("fit", "--resume", RUN, "--trainer.max_epochs", "2")
        assert outcome.status == 2
        assert "is being written by another process" in outcome.message
    assert command("fit", "--resume", RUN, "--trainer.max_epochs", "2").status == 0


@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM])
def test_a_stopped_process_goes_on_as_if_it_had_not_been(here, command, sign):
    words = (*LINE, *ADAM, *MONITOR, "--best_parameters.every", "0.2")
    process = Forked((*words, "--trainer.max_epochs", "100000"), here)
    last = here / RUN / "checkpoints" / "last.ckpt"
    deadline = time.monotonic() + 90
    while not last.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.7)
    process.send_signal(sign)
    _, err = process.communicate(timeout=60)
    if sign == signal.SIGTERM:
        assert f"it goes on with: descentlab fit --resume {RUN}" in err
    epoch = torch.load(last, weights_only=True)["epoch"]
    epochs = ("--trainer.max_epochs", str(epoch + 4))
    outcome = command("fit", "--resume", RUN, *epochs)
    assert outcome.status == 0, outcome.err
    shutil.move(here / RUN, here / "stopped")
    command(*words, *epochs)
    assert_same_files(here / "stopped", here / RUN)
