"""Checkpoints that are read as plain values: what is damaged is named."""

import pytest
import torch

from descentlab.errors import UsageError
from descentlab.runs.reading import read_checkpoint, read_plain


@pytest.mark.parametrize("odd", [{}, None, "3", 1.5, True])
@pytest.mark.parametrize("loop", ["fit_loop", "test_loop"])
def test_a_loop_that_counts_in_what_is_no_number_is_damaged(tmp_path, loop, odd):
    def saved(count):
        progress = {"total": {"ready": 3, "completed": 3}, "current": {"ready": count}}
        loops = {loop: {"state_dict": {"total": "mine"}, "batch_progress": progress}}
        content = {"epoch": 1, "state_dict": {}, "pytorch-lightning_version": "2.6.6"}
        torch.save({**content, "loops": loops}, tmp_path / "last.ckpt")
        return tmp_path / "last.ckpt"

    assert read_checkpoint(saved(2))["epoch"] == 1
    with pytest.raises(UsageError, match=r"last\.ckpt is damaged, its loops count in what is no"):
        read_checkpoint(saved(odd))


@pytest.mark.parametrize("share", [0.01, 0.3, 0.5, 0.99])
def test_a_file_that_is_cut_off_is_damaged(tmp_path, share):
    """Of a large one torch says that an argument is invalid, as a disk might."""
    path = tmp_path / "last.ckpt"
    torch.save({"values": torch.randn(20_000)}, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(UsageError, match=r"last\.ckpt is damaged$"):
        read_plain(path)
