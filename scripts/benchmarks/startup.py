"""The time that the command takes to answer, beside a stock LightningCLI."""

import subprocess
import sys
import tempfile
from pathlib import Path

from .measure import Row, in_turn, seconds_of

STOCK = """
import torch
from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.cli import LightningCLI
from torch.utils.data import DataLoader, TensorDataset


class Line(LightningModule):
    def __init__(self, lr: float = 0.01):
        super().__init__()
        self.lr = lr
        self.line = torch.nn.Linear(1, 1)

    def training_step(self, batch, batch_idx):
        x, y = batch
        return torch.nn.functional.mse_loss(self.line(x), y)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.lr)


class Points(LightningDataModule):
    def train_dataloader(self):
        return DataLoader(TensorDataset(torch.randn(64, 1), torch.randn(64, 1)), batch_size=32)


if __name__ == "__main__":
    LightningCLI(Line, Points)
"""


def startup(quick: bool) -> list[Row]:
    """Compare `fit --help` with that of a stock LightningCLI, and time `--version`.

    Returns:
        A row for each: processes from their start to their end.
    """
    with tempfile.TemporaryDirectory() as folder:
        stock = Path(folder) / "stock.py"
        stock.write_text(STOCK, encoding="utf-8")
        commands = {
            "fit --help": [sys.executable, "-m", "descentlab", "fit", "--help"],
            "stock LightningCLI, fit --help": [sys.executable, str(stock), "fit", "--help"],
            "--version": [sys.executable, "-m", "descentlab", "--version"],
            "python -c pass": [sys.executable, "-c", "pass"],
        }
        timed = {
            name: lambda words=words: seconds_of(
                lambda: subprocess.run(words, check=True, capture_output=True)
            )
            for name, words in commands.items()
        }
        seconds = in_turn(timed, rounds=2 if quick else 5)
    return [
        Row.of(ours, "s a process", seconds[ours], {other: seconds[other]})
        for ours, other in (
            ("fit --help", "stock LightningCLI, fit --help"),
            ("--version", "python -c pass"),
        )
    ]
