"""The cost of many rows: the loader beside DataLoader, and the memory of a fit on mapped files."""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from descentlab.datamodules import TensorLoader

from .measure import Row, in_turn, seconds_of

SCRIPTS = Path(__file__).parents[1]

#: what one DataLoader's time is taken over; it takes minutes for all rows
DATALOADER_ROWS = 2**19
BATCH_SIZES = (32, 4096)

#: the peak of a process's memory over what it has after a fit on a few rows of the same kind
PROBE = """
import sys
from benchmarks.fits import quietly
from benchmarks.measure import peak_memory
folder = sys.argv[1]
def fit(prefix):
    paths = [f"--data.{name}_path={folder}/{prefix}{name}.npy" for name in "xy"]
    flags = ["--data.batch_size=4096", "--trainer.max_epochs=1", "--trainer.accelerator=cpu"]
    out = f"--trainer.logger.save_dir={folder}"
    quietly(["fit", "--config=linear_regression/your_data", *paths, *flags, out])
fit("few_")
before = peak_memory()
fit("")
print(peak_memory() - before)
"""


def rows(quick: bool) -> list[Row]:
    """Compare an epoch of the loader with one of a DataLoader, by the time of a row.

    Returns:
        A row for each batch size; the facts of the last one have the memory of a fit.
    """
    count, rounds = (10**6, 2) if quick else (10**7, 5)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        x, y = _files(folder, count)
        found = [_row(x, y, size, rounds) for size in BATCH_SIZES]
        words = [sys.executable, "-c", PROBE, name]
        done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=SCRIPTS)
        data = sum((folder / file).stat().st_size for file in ("x.npy", "y.npy"))
        found[-1].facts["size of the data, MB"] = data / 1e6
        found[-1].facts["peak memory of a fit over the size of the data"] = int(done.stdout) / data
    return found


def _files(folder: Path, count: int) -> tuple[Tensor, Tensor]:
    """Write some rows, and a thousand for a first fit, and return them as memory-mapped tensors."""
    generator = np.random.default_rng(0)
    x = generator.standard_normal((count, 1), dtype=np.float32)
    y = (2 * x[:, 0] + 1).astype(np.float32)
    for prefix, size in (("", count), ("few_", 1000)):
        np.save(folder / f"{prefix}x.npy", x[:size])
        np.save(folder / f"{prefix}y.npy", y[:size])
    mapped = (np.load(folder / f"{name}.npy", mmap_mode="c") for name in "xy")
    x_mapped, y_mapped = map(torch.from_numpy, mapped)
    return x_mapped, y_mapped


def _row(x: Tensor, y: Tensor, size: int, rounds: int) -> Row:
    ours = TensorLoader(x, y, batch_size=size, shuffle=True)
    part = TensorDataset(x[:DATALOADER_ROWS], y[:DATALOADER_ROWS])
    theirs = DataLoader(part, batch_size=size, shuffle=True)
    check(ours, x, y)
    seconds = in_turn(
        {"ours": _per_row(ours, len(x)), "DataLoader(TensorDataset)": _per_row(theirs, len(part))},
        rounds,
    )
    title = f"{len(x):,} rows, batches of {size:,}"
    return Row.of(title, "s a row", seconds.pop("ours"), seconds)


def _per_row(batches: Iterable[object], count: int) -> Callable[[], float]:
    def epoch() -> None:
        for _ in batches:
            pass

    return lambda: seconds_of(epoch) / count


def check(loader: TensorLoader, x: Tensor, y: Tensor) -> None:
    """Make sure that the loader hands over every row once, inputs beside their targets.

    Raises:
        RuntimeError: if it does not.
    """
    total, count = 0.0, 0
    for number, batch in enumerate(loader):
        inputs, targets = cast(tuple[Tensor, Tensor], batch)
        total, count = total + float(targets.double().sum()), count + len(inputs)
        if number < 10 and not torch.equal(2 * inputs[:, 0] + 1, targets):
            raise RuntimeError("the loader hands over inputs with the targets of other rows")
    expected = float(y.double().sum())
    if count != len(x) or abs(total - expected) > 1e-6 * len(x):
        raise RuntimeError(f"the loader hands over {count} rows of {len(x)}, or some twice")
