"""A file is there whole or as it was, also where the disk is full."""

import errno
import os

import pytest
import torch

from descentlab.command.parser import Parser
from descentlab.runs.files import replacing, save_atomically, write_whole
from descentlab.runs.logger import RunLogger


class Full:
    """Takes so many bytes, and then no more."""

    def __init__(self, limit):
        self.limit = limit

    def __call__(self, content):
        self.limit -= len(content)
        if self.limit < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return len(content)


def test_a_full_disk_leaves_the_file_as_it_was_and_is_named(tmp_path, monkeypatch):
    path = tmp_path / "values.pt"
    save_atomically(torch.ones(3), path)
    before = path.read_bytes()

    class Disk:
        write, flush = Full(200), staticmethod(lambda: None)

    save = torch.save
    monkeypatch.setattr(torch, "save", lambda content, file: save(content, Disk))
    with pytest.raises(OSError, match=r"No space left on device.*values\.pt") as raised:
        save_atomically(torch.ones(300), path)
    assert raised.value.filename == str(path)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["values.pt"]


def test_a_file_is_whole_and_on_the_disk_before_it_is_in_its_place(tmp_path, monkeypatch):
    path, seen = tmp_path / "values.csv", []
    path.write_text("0")

    def on_the_disk(descriptor):
        (beside,) = (each for each in tmp_path.iterdir() if each != path)
        assert os.fstat(descriptor).st_ino == beside.stat().st_ino
        seen.append((beside.read_text(), path.read_text()))

    monkeypatch.setattr(os, "fsync", on_the_disk)
    with replacing(path, "w") as file:
        file.write("12")
    assert seen == [("12", "0")]
    assert path.read_text() == "12"


def test_a_folder_that_is_gone_is_named(tmp_path):
    path = tmp_path / "gone" / "values.csv"
    with pytest.raises(OSError, match=r"No such file.*values\.csv"), replacing(path) as file:
        file.write("1")


def test_another_error_is_left_as_it_is(tmp_path):
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "values.csv"):
        _ = 1 / 0
    assert not list(tmp_path.iterdir())


@pytest.fixture
def ended_before_it_is_in_place(monkeypatch):
    """A process that ends when a file is written, and not yet in its place."""

    def end(*_):
        raise KeyboardInterrupt

    return lambda: monkeypatch.setattr("pathlib.Path.replace", end)


def test_a_new_metric_leaves_the_earlier_rows(tmp_path, ended_before_it_is_in_place):
    logger = RunLogger(str(tmp_path))
    logger.log_metrics({"loss": 1.5}, 0)
    logger.save()
    table = tmp_path / "run/version_0/metrics.csv"
    before = table.read_bytes()
    logger.log_metrics({"loss": 0.5, "rate": 0.25}, 1)
    ended_before_it_is_in_place()
    with pytest.raises(KeyboardInterrupt):
        logger.save()
    assert table.read_bytes() == before == b"loss,step\r\n1.5,0\r\n"


def test_a_new_metric_is_a_new_column(tmp_path):
    logger = RunLogger(str(tmp_path))
    logger.log_metrics({"loss": 1.5}, 0)
    logger.save()
    logger.log_metrics({"loss": 0.5, "rate": 0.25}, 1)
    logger.finalize("success")
    rows = (tmp_path / "run/version_0/metrics.csv").read_bytes()
    assert rows == b"loss,rate,step\r\n1.5,,0\r\n0.5,0.25,1\r\n"


def test_a_config_is_written_anew_or_stays(tmp_path, ended_before_it_is_in_place):
    parser = Parser()
    parser.add_argument("--rate", type=float)
    path = tmp_path / "config.yaml"
    parser.save(parser.parse_args(["--rate", "0.5"]), str(path), overwrite=False, multifile=False)
    assert path.read_text() == "rate: 0.5\n"
    ended_before_it_is_in_place()
    with pytest.raises(KeyboardInterrupt):
        parser.save(
            parser.parse_args(["--rate", "0.25"]), str(path), overwrite=True, multifile=False
        )
    assert path.read_text() == "rate: 0.5\n"
    assert [each.name for each in tmp_path.iterdir()] == ["config.yaml"]


@pytest.mark.parametrize("content", ["new", b"new"])
def test_a_link_in_the_place_of_what_is_written_is_not_followed(tmp_path, content):
    elsewhere, path = tmp_path / "elsewhere", tmp_path / "file"
    elsewhere.write_text("theirs")
    for name in (path.name, f".{path.name}.{os.getpid()}"):
        (tmp_path / name).symlink_to(elsewhere)
    write_whole(path, content)
    assert elsewhere.read_text() == "theirs"
    assert not path.is_symlink()
    assert path.read_text() == "new"
