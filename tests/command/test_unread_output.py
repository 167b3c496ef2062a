"""Output that nobody reads any more: the command goes on to its end, and keeps its status."""

import subprocess
import sys
from pathlib import Path

import pytest
from command_line import RUN, YOUR_DATA, write_data

import descentlab


def unread(words, folder):
    """Run a command whose output is closed before it prints, and return its status."""
    process = subprocess.Popen(
        [sys.executable, "-m", "descentlab", *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    process.stdout.close()
    return process.wait(timeout=60)


@pytest.mark.parametrize(
    ("words", "status"), [(["configs"], 0), (["runs"], 0), (["configs", "x"], 2)]
)
def test_a_command_that_nobody_reads_has_its_own_status(tmp_path, words, status):
    assert unread(words, tmp_path) == status


def test_a_fit_that_nobody_reads_trains_to_its_end(tmp_path):
    write_data(tmp_path)
    assert unread([*YOUR_DATA, "--figures", "none"], tmp_path) == 0
    assert descentlab.load(tmp_path / RUN).summary["steps"] > 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_output_that_a_full_disk_does_not_take_is_an_error():
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-m", "descentlab", "configs"], stdout=full)
    assert done.returncode != 0
