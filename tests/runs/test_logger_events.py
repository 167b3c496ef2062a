"""Every point that a run logs is in its event file, whoever writes that file."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer import event_file_writer
from torch.utils.tensorboard import SummaryWriter

from descentlab.internals import SPEED_TRICKS
from descentlab.runs import logger as logger_module
from descentlab.runs.logger import RunLogger


class OwnOffsetFile:
    """A file as TensorFlow's: opened once, and written at an offset of its own."""

    def __init__(self, name, mode):
        self.file = os.open(name, os.O_WRONLY | os.O_CREAT)
        self.offset = 0

    def write(self, data):
        self.offset += os.pwrite(self.file, data, self.offset)

    def flush(self):
        os.fsync(self.file)

    def close(self):
        os.close(self.file)


@pytest.fixture(params=["stub", "own offset"])
def writes(request, monkeypatch):
    """TensorBoard with its own stub for files, or with files as those of TensorFlow."""
    if request.param == "own offset":
        files = SimpleNamespace(
            GFile=OwnOffsetFile, makedirs=lambda p: os.makedirs(p, exist_ok=True)
        )
        monkeypatch.setattr(
            event_file_writer, "tf", SimpleNamespace(io=SimpleNamespace(gfile=files))
        )
    return request.param


def log_a_run(folder):
    """Log 600 points in three series, with single values before, between and after them."""
    logger = RunLogger(str(folder), version=0)
    for epoch in range(3):
        logger.log_metrics({"loss/val": float(epoch)}, step=200 * epoch)
        values = [1000.0 * epoch + k for k in range(200)]
        logger.log_series("loss/batch", values, 200 * epoch)
        logger.experiment.add_scalar("other", epoch, epoch)
    logger.finalize("success")
    return logger.log_dir


def points(folder, tag):
    read = EventAccumulator(folder, size_guidance={"scalars": 0}).Reload()
    return [(event.step, event.value) for event in read.Scalars(tag)]


EXPECTED = [(200 * epoch + k, 1000.0 * epoch + k) for epoch in range(3) for k in range(200)]


def test_all_points_are_read_back(writes, tmp_path):
    folder = log_a_run(tmp_path)
    assert points(folder, "loss/batch") == EXPECTED
    assert points(folder, "loss/val") == [(0, 0.0), (200, 1.0), (400, 2.0)]
    assert points(folder, "other") == [(0, 0.0), (1, 1.0), (2, 2.0)]


def test_points_appended_behind_a_writer_with_an_offset_of_its_own_vanish(
    writes, tmp_path, monkeypatch
):
    def append(writer, records):
        writer.flush()
        with open(writer.file_writer.event_writer._file_name, "ab") as file:
            file.write(records)
        return True

    monkeypatch.setattr(logger_module, "write_records", append)
    folder = log_a_run(tmp_path)
    if writes == "stub":
        assert points(folder, "loss/batch") == EXPECTED
    else:  # the negative control: what the test above would see
        try:
            found = points(folder, "loss/batch")
        except KeyError:
            found = []
        assert len(found) < len(EXPECTED)


@pytest.mark.skipif(not SPEED_TRICKS, reason="bulk records are for speed: that is off")
def test_points_are_written_in_bulk_only_where_the_stub_writes(writes, tmp_path, monkeypatch):
    single = []
    add_scalar = SummaryWriter.add_scalar

    def counted(self, tag, *args, **kwargs):
        single.append(tag)
        return add_scalar(self, tag, *args, **kwargs)

    monkeypatch.setattr(SummaryWriter, "add_scalar", counted)
    log_a_run(tmp_path)
    assert single.count("loss/batch") == (0 if writes == "stub" else len(EXPECTED))


@pytest.mark.parametrize("again", ["a run that goes on", "a second fit of the trainer"])
def test_event_files_of_one_second_are_read_in_the_order_in_which_they_were_begun(
    tmp_path, monkeypatch, again
):
    """Also where their numbers, 9 and 10, are in another order as text."""
    monkeypatch.setattr(event_file_writer, "_global_uid", event_file_writer.AtomicCounter(9))
    first = RunLogger(str(tmp_path), version=0)
    first.experiment.add_scalar("a", 1.0, 0)
    first.finalize("success")
    second = first
    if again == "a run that goes on":
        second = RunLogger(str(tmp_path), version=0)
        second.go_on(Path(first.log_dir), None)
    second.experiment.add_scalar("a", 2.0, 1)
    second.finalize("success")
    read = EventAccumulator(first.log_dir).Reload()
    assert [(event.step, event.value) for event in read.Scalars("a")] == [(0, 1.0), (1, 2.0)]
