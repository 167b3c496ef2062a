"""Runs that start at the same time: every one gets a folder of its own."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import torch
from command_line import YOUR_DATA, digest, write_data

from descentlab.errors import UsageError
from descentlab.runs.logger import RunLogger
from forked import Forked

PROCESSES = 4


def test_many_loggers_at_once_get_a_folder_each(tmp_path):
    together = Barrier(16)

    def take(_):
        logger = RunLogger(str(tmp_path), name="runs")
        together.wait()
        logger.take_folder()
        return logger.version

    with ThreadPoolExecutor(16) as pool:
        versions = list(pool.map(take, range(16)))
    assert sorted(versions) == list(range(16))
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {
        f"version_{version}" for version in versions
    }


def test_of_many_loggers_for_one_folder_the_later_are_refused(tmp_path):
    RunLogger(str(tmp_path), version=7).take_folder()
    (tmp_path / "run/version_7/config.yaml").write_text("a: 1\n")
    with pytest.raises(UsageError, match="version_7 holds another run"):
        RunLogger(str(tmp_path), version=7).take_folder()


def test_a_free_number_is_asked_for_anew_when_another_takes_it(tmp_path, monkeypatch):
    monkeypatch.setattr(RunLogger, "_get_next_version", lambda _: 0)  # all see the same number
    versions = [RunLogger(str(tmp_path)).version for _ in range(3)]
    assert versions == [0, 1, 2]


def test_a_folder_is_discarded_only_by_the_one_that_made_it(tmp_path):
    ours, theirs = RunLogger(str(tmp_path)), RunLogger(str(tmp_path), version=0)
    ours.take_folder()
    (tmp_path / "run/version_0/config.yaml").write_text("a: 1\n")
    before = digest(tmp_path)
    with pytest.raises(UsageError):
        theirs.take_folder()
    theirs.discard()
    assert digest(tmp_path) == before
    ours.discard()
    assert not (tmp_path / "run/version_0").exists()


@pytest.mark.slow
def test_processes_that_start_together_do_not_mix(tmp_path):
    write_data(tmp_path)
    words = (*YOUR_DATA, "--learning_curves", "null", "--graph_export", "null")
    running = [
        Forked((*words, "--seed_everything", str(seed)), tmp_path) for seed in range(PROCESSES)
    ]
    for process in running:
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
    folder = tmp_path / "logs/linear_regression/your_data"
    assert sorted(path.name for path in folder.iterdir()) == [
        f"version_{number}" for number in range(PROCESSES)
    ]
    for path in folder.iterdir():
        assert len(list(path.glob("events.out.tfevents.*"))) == 1
        checkpoint = torch.load(path / "checkpoints/last.ckpt", weights_only=True)
        assert checkpoint["epoch"] == 1
