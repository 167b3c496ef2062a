"""What is taken away from the files of a run that goes on: all that came after its checkpoint."""

import os
import time

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard import SummaryWriter

from descentlab.errors import UsageError
from descentlab.runs.logged_before import LoggedBefore, read_losses, read_table

HEADING = "epoch,loss/val,lr,step"
ROWS = ["0,9.5,,36", ",,0.1,36", "1,8.5,,72", ",,0.1,72", "2,7.5,,108"]


def cut(path, rows, step):
    LoggedBefore(step, 0.0, rows).cut_table(path)
    heading, *kept = path.read_text().splitlines()
    assert heading == HEADING
    return kept


@pytest.mark.parametrize("rows", range(6))
def test_rows_before_the_checkpoint_stay(tmp_path, rows):
    path = tmp_path / "metrics.csv"
    path.write_text("\n".join([HEADING, *ROWS, ""]))
    assert cut(path, rows, step=0) == ROWS[:rows]


def test_rows_of_updates_before_stay_though_they_came_later(tmp_path):
    """Lightning logs the means of an epoch after its checkpoint, at its last update."""
    path = tmp_path / "metrics.csv"
    path.write_text("\n".join([HEADING, *ROWS, ""]))
    assert cut(path, 1, step=72) == [ROWS[0], ROWS[1]]


@pytest.mark.parametrize("bytes_left", range(1, 11))
def test_a_row_that_is_not_whole_goes(tmp_path, bytes_left):
    """Cut short, the step 108 of the last row would be 10 or 1."""
    path = tmp_path / "metrics.csv"
    path.write_text("\n".join([HEADING, *ROWS[:4], ROWS[4][:bytes_left]]))
    assert cut(path, 3, step=72) == ROWS[:3]


def test_a_table_that_is_as_it_was_is_not_written(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_bytes("\r\n".join([HEADING, *ROWS, ""]).encode())
    LoggedBefore(step=0, time=0.0, rows=5).cut_table(path)
    assert path.read_bytes() == "\r\n".join([HEADING, *ROWS, ""]).encode()
    assert LoggedBefore(step=0, time=0.0, rows=5).cut_table(tmp_path / "none.csv") == ([], 0)


def steps(folder):
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    return {tag: [event.step for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


@pytest.fixture
def events(tmp_path):
    """Ten losses, the checkpoint after the fifth, and what a run's end writes."""
    with SummaryWriter(tmp_path) as writer:
        for step in range(5):
            writer.add_scalar("loss", step, step, walltime=100.0 + step)
        writer.add_scalar("mean", 1, 4, walltime=105.5)  # of the epoch, after its checkpoint
        for step in range(5, 10):
            writer.add_scalar("loss", step, step, walltime=101.0 + step)
        writer.add_scalar("loss/best", 1, 0, walltime=120.0)
    (path,) = tmp_path.iterdir()
    return path


def test_events_after_the_checkpoint_go(events):
    LoggedBefore(step=5, time=105.0, rows=0).cut_events(events)
    assert steps(events.parent) == {"loss": [0, 1, 2, 3, 4], "mean": [4]}


def test_events_that_are_all_before_stay_byte_for_byte(events):
    LoggedBefore(step=99, time=time.time(), rows=0).cut_events(events)
    assert steps(events.parent) == {"loss": list(range(10)), "mean": [4]}
    before = events.read_bytes()
    LoggedBefore(step=99, time=time.time(), rows=0).cut_events(events)
    assert events.read_bytes() == before


@pytest.mark.parametrize("lost", [1, 7, 20, 45])
def test_a_record_that_is_not_whole_goes(events, lost):
    events.write_bytes(events.read_bytes()[:-lost])
    LoggedBefore(step=99, time=time.time(), rows=0).cut_events(events)
    assert steps(events.parent)["loss"] == list(range(10))
    assert "loss/best" not in steps(events.parent)


@pytest.mark.parametrize(
    "content", [b"\x8c\xff\n", b'step\n"1\n', None], ids=["bytes", "quote", "no file"]
)
@pytest.mark.parametrize("read", [read_table, read_losses])
def test_a_damaged_table_is_named(tmp_path, read, content):
    path = tmp_path / "table.csv"
    os.mkfifo(path) if content is None else path.write_bytes(content)
    with pytest.raises(
        UsageError, match=r"table\.csv is damaged .*: move it away, and the run goes"
    ):
        read(path)


@pytest.mark.parametrize("row", ["0,text,1.5", "0,1,text", "None,1,1.5"])
def test_losses_that_are_no_numbers_are_named(tmp_path, row):
    path = tmp_path / "batch_losses.csv"
    path.write_text(f"epoch,step,loss\n0,0,2.5\n{row}\n")
    with pytest.raises(UsageError, match=r"batch_losses\.csv is damaged \(.*\): move it away"):
        read_losses(path)


def test_losses_are_read_whole(tmp_path):
    path = tmp_path / "batch_losses.csv"
    assert read_losses(path) == []
    path.write_text("epoch,step,loss\n0,0,2.5\n0,1,nan\n1,2,1.25")
    (first, second) = read_losses(path)
    assert first == (0, 0, 2.5)
    assert repr(second) == "(0, 1, nan)"


def test_the_rows_that_are_left_count(tmp_path):
    """Rows that are not there do not: else later ones would stay after the next stop."""
    path = tmp_path / "metrics.csv"
    path.write_text("\n".join([HEADING, *ROWS, ""]))
    assert LoggedBefore(72, 0.0, 1).cut_table(path) == (HEADING.split(","), 2)
