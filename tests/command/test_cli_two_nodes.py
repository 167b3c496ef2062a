"""Two nodes, started by torchrun on the loopback, make the run of one process, and go on as one."""

import csv
import os
import socket
import subprocess
import sys

import pytest
import torch

from descentlab.__main__ import main
from tolerances import FLOAT64

pytestmark = [
    pytest.mark.slow,
    pytest.mark.no_cover,
    pytest.mark.skipif(not torch.distributed.is_available(), reason="no torch.distributed here"),
]
WORDS = (
    *("fit", "--config", "linear_regression/split.yaml", "--progress", "null"),
    *("--graph_export", "null", "--trainer.accelerator", "cpu", "--trainer.precision", "64-true"),
)
NODES = ("--trainer.num_nodes", "2", "--trainer.devices", "1", "--trainer.strategy", "ddp")


def two_nodes(folder, *words):
    """Run a command in two processes that know of each other by an address alone."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = ("--master_addr", "127.0.0.1", "--master_port", str(free.getsockname()[1]))
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--nnodes", "2")
    torchrun += ("--nproc_per_node", "1", *address)
    nodes = [
        subprocess.Popen(
            [*torchrun, "--node_rank", str(rank), "-m", "descentlab", *words, *NODES],
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        for node in nodes:
            said = node.communicate(timeout=200)[0]
            assert node.returncode == 0, said
    finally:
        for node in nodes:
            node.kill()


def numbers(folder, name):
    """Return the numbers of a table of the one run in a folder."""
    (file,) = folder.glob(f"**/version_0/{name}.csv")
    with file.open(encoding="utf-8") as lines:
        rows = [[float(x) if x else 0.0 for x in row.values()] for row in csv.DictReader(lines)]
    return torch.tensor(rows, dtype=torch.float64)


def test_two_nodes_make_the_run_of_one_process_and_it_goes_on_in_one(tmp_path, monkeypatch):
    two, one, other = (tmp_path / name for name in ("two", "one", "other"))
    for folder in (two, one, other):
        folder.mkdir()
    two_nodes(two, *WORDS, "--trainer.max_epochs", "2")
    for folder, epochs, more in (
        (one, "3", ()),
        (other, "3", ("--model.optimizer.lr", "1.01e-3")),  # negative control
    ):
        monkeypatch.chdir(folder)
        assert main([*WORDS, "--trainer.max_epochs", epochs, *more]) == 0
    (config,) = two.glob("**/version_0/config.yaml")
    monkeypatch.chdir(two)
    alone = ("--trainer.num_nodes", "1", "--trainer.strategy", "auto", "--trainer.max_epochs", "3")
    assert main(["fit", "--resume", str(config.parent), *alone]) == 0
    for name in ("metrics", "batch_losses"):
        found, expected = numbers(two, name), numbers(one, name)
        assert len(expected) > 3
        assert torch.allclose(found, expected, rtol=FLOAT64, atol=FLOAT64)
        wrong = numbers(other, name)
        assert not torch.allclose(wrong, expected, rtol=FLOAT64, atol=FLOAT64)
