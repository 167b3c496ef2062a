"""Stops and deaths of a run of two real processes: all end, soon, with one sentence."""

import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress

import pytest
import torch
import yaml
from command_line import RUN as FINISHED

from descentlab.command import several_processes
from forked import Forked

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no such signals here"),
]
WORDS = (
    *("fit", "--config", "linear_regression/split.yaml", "--config", "trainer/ddp.yaml"),
    *("--trainer.max_epochs", "1000000", "--progress", "null"),
)
RUN = "logs/linear_regression/split/version_0"
STARTING, STOPPING = 120, 60  # seconds on a machine that does much else; by itself 20 and 8


def wait_until(happened, seconds):
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def children_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]


def lives(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def run(tmp_path):
    """A run of two processes that has finished an epoch; the main process, and the other one.

    The main process is forked; it starts the other one as a command of its own.
    """
    process = Forked(WORDS, tmp_path)
    try:
        wait_until((tmp_path / RUN / "checkpoints/last.ckpt").exists, STARTING)
        (other,) = children_of(process.pid)
        yield process, other
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="children are found in /proc")
@pytest.mark.parametrize(
    ("number", "to_main", "status", "says"),
    [
        (signal.SIGTERM, True, 143, "terminated"),
        (signal.SIGKILL, False, 1, "another process of the run has ended"),
    ],
    ids=["terminated", "killed"],
)
def test_all_processes_end_together(run, tmp_path, number, to_main, status, says):
    process, other = run
    os.kill(process.pid if to_main else other, number)
    _, err = process.communicate(timeout=STOPPING)
    wait_until(lambda: not lives(other), STOPPING)
    assert process.returncode == status, err
    assert "Traceback" not in err
    how = f"it goes on with: descentlab fit --resume {RUN}"
    said = f"descentlab: error: {says}; what was finished before is in {RUN}; {how}"
    assert err.rstrip("\n").split("\n")[-1] == said.replace("terminated;", "terminated:")
    assert err.count("descentlab: error") == 1
    last = torch.load(tmp_path / RUN / "checkpoints/last.ckpt", weights_only=True)
    kept = torch.load(tmp_path / RUN / "checkpoints/parameters.pt", weights_only=True)
    assert kept["epoch"].tolist() == list(range(last["epoch"] + 1))


@pytest.mark.parametrize(
    ("rank", "first_lives", "expected"),
    [("0", True, True), ("1", True, False), ("1", False, True), ("2", False, False)],
)
def test_one_process_speaks(monkeypatch, rank, first_lives, expected):
    monkeypatch.setenv("LOCAL_RANK", rank)
    monkeypatch.setattr(several_processes, "PARENT", os.getppid() if first_lives else -1)
    assert several_processes.speaks() is expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RuntimeError("[gloo/transport/tcp/pair.cc:547] Connection closed by peer"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("Connection closed by peer"), False),
    ],
)
def test_the_loss_of_another_process_is_told_from_other_errors(error, expected):
    assert several_processes.has_lost_another(error) is expected


@pytest.mark.parametrize("kind", ["validate", "test", "predict"])
def test_what_several_processes_trained_is_evaluated_by_one(
    command, finished, here, monkeypatch, kind
):
    shutil.copytree(finished / FINISHED, here / "one")
    shutil.copytree(finished / FINISHED, here / "two")
    config = here / "two/config.yaml"
    settings = yaml.safe_load(config.read_text())
    settings["trainer"] |= {"accelerator": "cpu", "devices": 2, "strategy": "ddp"}
    config.write_text(yaml.safe_dump(settings))
    monkeypatch.setattr(subprocess, "Popen", None)  # none is started
    for folder in ("one", "two"):
        assert command(kind, "--run", folder).status == 0
    name = "predictions.csv" if kind == "predict" else f"{kind}.json"
    assert (here / "two" / name).read_text() == (here / "one" / name).read_text()
