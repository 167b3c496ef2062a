"""The soak: what it compares is seen when it is wrong, and a short form of it finds nothing."""

import csv
import json
import os
import subprocess
import sys

import pytest
import torch
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from pages import ROOT
from soaks.artefacts import differences
from soaks.fuzz import MOST_BUSY, wrong
from soaks.kills import answered
from soaks.warm import Ended


def events(path, values):
    with path.open("wb") as file:
        writer = RecordWriter(file)
        for step, value in enumerate(values):
            summary = Summary(value=[Summary.Value(tag="loss", simple_value=value)])
            event = Event(wall_time=step, step=step, summary=summary)
            writer.write(event.SerializeToString())


@pytest.fixture
def pair(tmp_path):
    """Two folders that hold the same run, the second one at another time."""
    for number, name in enumerate(("found", "expected")):
        run = tmp_path / name
        (run / "checkpoints").mkdir(parents=True)
        (run / "batch_losses.csv").write_text("epoch,step,loss\n0,0,2.5\n0,1,nan\n")
        (run / "summary.json").write_text(json.dumps({"steps": 2, "seconds": number}))
        state = {"slope": torch.tensor([0.1, float("nan")]), "time": float(number)}
        torch.save({"epoch": 1, "state_dict": state}, run / "checkpoints/last.ckpt")
        torch.save({"epoch": torch.arange(2)}, run / "checkpoints/parameters.pt")
        events(run / f"events.out.tfevents.{number}", [2.5, 1.25])
    return tmp_path / "found", tmp_path / "expected"


def test_what_differs_in_its_clocks_alone_is_the_same(pair):
    assert differences(*pair) == []


def lose_a_row(run):
    rows = list(csv.reader((run / "batch_losses.csv").read_text().splitlines()))
    with (run / "batch_losses.csv").open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows[:-1])


def change_a_bit(run):
    path = run / "checkpoints/last.ckpt"
    content = torch.load(path, weights_only=True)
    slope = content["state_dict"]["slope"]
    slope[0] = torch.nextafter(slope[0], torch.tensor(1.0))
    torch.save(content, path)


def lose_an_epoch(run):
    torch.save({"epoch": torch.arange(1)}, run / "checkpoints/parameters.pt")


FAULTS = {
    "a row lost": (lose_a_row, "batch_losses.csv differs"),
    "a bit of a parameter": (change_a_bit, "last.ckpt differs in state_dict.slope"),
    "an epoch lost": (lose_an_epoch, "parameters.pt differs"),
    "a file lost": (lambda run: (run / "summary.json").unlink(), "summary.json is missing"),
    "a file too many": (lambda run: (run / ".split.pt.7").touch(), ".split.pt.7 is left over"),
    "a number": (
        lambda run: (run / "summary.json").write_text('{"steps": 3}'),
        "summary.json differs",
    ),
    "a scalar twice": (
        lambda run: events(run / "events.out.tfevents.0", [2.5, 2.5, 1.25]),
        "loss has 3 values, others than the 2",
    ),
    "a curve lost": (
        lambda run: (run / "events.out.tfevents.0").unlink(),
        "loss has 0 values, others than the 2",
    ),
}


@pytest.mark.parametrize(("plant", "says"), FAULTS.values(), ids=FAULTS.keys())
def test_a_planted_fault_is_seen(pair, plant, says):
    plant(pair[0])
    (line,) = differences(*pair)
    assert says in line


def ended(status=2, err="descentlab: error: x.pt is empty\n", busy=1.0, memory=1):
    return Ended(status, busy, busy, memory, err, "")


BAD = {
    "traceback": ended(err="Traceback (most recent call last):\ndescentlab: error: x\n"),
    "unforeseen": ended(
        1, "descentlab: error: KeyError: 1 (in a.py:3); --traceback shows the whole\n"
    ),
    "without a word": ended(1, ""),
    "killed": ended(-11, ""),
    "long": ended(busy=MOST_BUSY + 1),
    "large": ended(memory=1 << 40),
    "hanging": None,
}


@pytest.mark.parametrize("answer", BAD.values(), ids=BAD.keys())
def test_a_wrong_answer_is_seen(answer):
    assert len(wrong(answer)) == 1


def test_a_right_answer_is_none():
    assert wrong(ended()) == wrong(ended(0, "")) == []
    assert answered(ended(143), (143,)) == answered(ended(0, ""), (143,)) == []
    assert answered(ended(143, "bye\n"), (143,)) == ["the last line is 'bye'"]
    assert answered(ended(1, "descentlab: error: no\n"), (143,))


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")
def test_a_short_soak_finds_nothing(tmp_path):
    words = ("--minutes", "5", "--seed", "5", "--kinds", "kills", "fuzz", "--cases")
    words += ("2", "13", "21", "43")  # SIGKILL at a moment and before a write, of two kinds
    found = subprocess.run(
        [sys.executable, str(ROOT / "scripts/soak.py"), *words],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert found.returncode == 0, found.stderr
    assert "0 failed (seed 5)" in found.stdout
    assert not list(tmp_path.glob("*/kills"))
