"""A file is there whole or as it was, also where the disk is full."""

import errno
import os

import pytest
import torch

from descentlab.runs.files import replacing
from descentlab.runs.folder import save_atomically


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


def test_a_folder_that_is_gone_is_named(tmp_path):
    path = tmp_path / "gone" / "values.csv"
    with pytest.raises(OSError, match=r"No such file.*values\.csv"), replacing(path) as file:
        file.write("1")


def test_another_error_is_left_as_it_is(tmp_path):
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "values.csv"):
        _ = 1 / 0
    assert not list(tmp_path.iterdir())
