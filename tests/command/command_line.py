"""What the tests of the command line share, besides their fixtures."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch

YOUR_DATA = (
    *("fit", "--config", "linear_regression/your_data.yaml", "--data.x_path", "X.pt"),
    *("--data.y_path", "y.pt", "--trainer.max_epochs", "2"),
)
RUN = "logs/linear_regression/your_data/version_0"


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    status: int
    out: str
    err: str

    @property
    def message(self):
        """The last line on stderr, without the program's name."""
        last = self.err.rstrip("\n").split("\n")[-1]
        assert last.startswith("descentlab: error: "), self.err
        return last.removeprefix("descentlab: error: ")


def digest(folder):
    """All files under a folder, and the folders of runs, each with a hash of its content."""
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in Path(folder).rglob("*")
        if path.is_file() or path.name.startswith("version_")
    }


def write_data(folder):
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(60, 1, generator=generator)
    torch.save(x, folder / "X.pt")
    torch.save(2 * x[:, 0] - 1 + 0.1 * torch.randn(60, generator=generator), folder / "y.pt")
