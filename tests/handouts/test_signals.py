"""Signals end a report at once: real processes, with what was finished written and marked."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from forked import Forked

ROOT = Path(__file__).parents[2]

COURSE = """
import time
from pathlib import Path

from descentlab.handouts import Handout

SLOW = Handout("S", "Slow")


@SLOW.entry("1", "Quick")
def quick(row):
    row.figures("x", "1", 1)


@SLOW.entry("2", "Never ends", "toy/norm")
def endless(row):
    row.figures("y", "1", 1)
    Path("reached").touch()
    {body}


@SLOW.entry("3", "Never reached")
def after(row):
    row.figures("z", "1", 1)
"""
WAITING = "time.sleep(300)"
TRAINING = 'row.fit("--trainer.max_epochs", "1000000", "--batch_loss", "null")'


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "status", "word", "body"),
    [
        pytest.param(signal.SIGINT, 130, "interrupted", WAITING, id="SIGINT-waiting"),
        pytest.param(signal.SIGINT, 130, "interrupted", TRAINING, id="SIGINT-training"),
        pytest.param(signal.SIGTERM, 143, "terminated", TRAINING, id="SIGTERM-training"),
        pytest.param(signal.SIGHUP, 143, "terminated", WAITING, id="SIGHUP-waiting"),
    ],
)
def test_a_signal_ends_it_at_once(tmp_path, number, status, word, body):
    (tmp_path / "slow.py").write_text(COURSE.replace("{body}", body))
    (tmp_path / "tmp").mkdir()
    process = Forked(("reproduce", "slow.py"), tmp_path, TMPDIR=str(tmp_path / "tmp"))
    try:
        wait_for(lambda: under_way(tmp_path, body), process)
        process.send_signal(number)
        start = time.monotonic()
        err = process.communicate(timeout=60)[1]
        assert time.monotonic() - start < 20
    finally:
        process.kill()
    assert process.returncode == status
    page = Path("reports/slow/index.html")
    says = f"{word} after 1 of 3 entries"
    assert err.endswith(f"descentlab: error: {says}: the report so far is {page}\n")
    assert "Traceback" not in err
    assert says in (tmp_path / page).read_text()
    rows = json.loads((tmp_path / "reports/slow/report.json").read_text())
    assert [row["status"] for row in rows] == ["pass", "not run", "not run"]
    assert list((tmp_path / "tmp").glob("descentlab-*")) == []


def under_way(folder, body):
    """Whether the second entry has come to where it stays."""
    events = folder.glob("tmp/descentlab-*/runs/run_*/events.*")  # written when training begins
    return (folder / "reached").exists() and (body == WAITING or any(events))


def wait_for(condition, process):
    end = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.slow
def test_the_project_s_own_report_ends_the_same(tmp_path):
    words = ["--only", "DI-12", "--out", str(tmp_path / "out")]
    process = subprocess.Popen(
        [sys.executable, ROOT / "scripts/reproduce.py", *words],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path), "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_for(lambda: any(tmp_path.glob("descentlab-*/runs/run_1")), process)
        process.terminate()
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 143
    assert "terminated after 0 of 1 entries" in err
