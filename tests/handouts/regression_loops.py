"""Plain loops of linear regression over the batch order of a run, without Lightning."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from handout_runs import Outcome
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split
from torch import Tensor

from descentlab.datamodules import permutation

SEED = 42
BATCH = 32


@dataclass
class Trace:
    """What a loop, or a run, kept: parameters after every epoch, losses, losses of whole sets."""

    slope: Tensor
    bias: Tensor
    losses: list[float]
    sets: dict[str, list[float]] = field(default_factory=dict)

    def least(self, name: str) -> int:
        """Return the epoch of the least loss, the first of equals."""
        return int(np.argmin(self.sets[name]))


def trace_of(outcome: Outcome) -> Trace:
    """Read what a run left in its folder."""
    names = [name for name, least in outcome.summary["least"].items() if least]
    sets = {name: outcome.curve(f"loss/{name}") for name in names}
    return Trace(outcome.theta("slope"), outcome.theta("bias"), outcome.losses, sets)


def diabetes() -> tuple[Tensor, Tensor]:
    """Return body mass index, brought to standard deviation 1, and progression, in float64."""
    data = load_diabetes()
    x = torch.from_numpy(data.data[:, [data.feature_names.index("bmi")]])
    return x / x.square().mean().sqrt(), torch.from_numpy(data.target)


def split(rows: int) -> dict[str, np.ndarray]:
    """Split row numbers 80:20, and the 20 in halves: first validation, then test."""
    train, held = train_test_split(np.arange(rows), test_size=0.2, random_state=42)
    val, test = train_test_split(held, test_size=0.5, random_state=42)
    return {"train": train, "val": val, "test": test}


def batches(x: Tensor, y: Tensor, epoch: int, seed: int = SEED) -> Iterator[tuple[Tensor, Tensor]]:
    order = permutation(seed=seed, epoch=epoch, rows=len(x))
    for first in range(0, len(order), BATCH):
        rows = order[first : first + BATCH]
        yield x[rows], y[rows]


def error(x: Tensor, y: Tensor, slope: Tensor, bias: Tensor) -> Tensor:
    return (x @ slope + bias - y).square().mean()


def autograd_loop(
    sets: dict[str, tuple[Tensor, Tensor]],
    epochs: int,
    rate: float,
    momentum: float = 0.0,
    seed: int = SEED,
) -> Trace:
    """Train as a handout does, with torch.optim.SGD, in the data's precision."""
    x, y = sets["train"]
    slope = torch.zeros(x.shape[1], dtype=x.dtype, requires_grad=True)
    bias = torch.zeros((), dtype=x.dtype, requires_grad=True)
    optimizer = torch.optim.SGD([slope, bias], lr=rate, momentum=momentum)
    slopes, biases, losses = [], [], []
    curves: dict[str, list[float]] = {name: [] for name in sets}
    for epoch in range(epochs):
        for part_x, part_y in batches(x, y, epoch, seed):
            optimizer.zero_grad()
            loss = error(part_x, part_y, slope, bias)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        slopes.append(slope.detach().clone())
        biases.append(bias.detach().clone())
        for name, (all_x, all_y) in sets.items():
            curves[name].append(error(all_x, all_y, slope.detach(), bias.detach()).item())
    return Trace(torch.stack(slopes), torch.stack(biases), losses, curves)


def formula_loop(sets: dict[str, tuple[Tensor, Tensor]], epochs: int, rate: float) -> Trace:
    """Train in NumPy and float64, with the closed-form gradient 2/n A^T (A w - y)."""
    x, y = sets["train"]
    weights = np.zeros(x.shape[1] + 1)
    path, losses = [], []
    curves: dict[str, list[float]] = {name: [] for name in sets}
    for epoch in range(epochs):
        for part_x, part_y in batches(x, y, epoch):
            residual = _design(part_x) @ weights - part_y.numpy()
            losses.append(float(residual @ residual) / len(residual))
            weights = weights - rate * 2 / len(residual) * _design(part_x).T @ residual
        path.append(weights)
        for name, (all_x, all_y) in sets.items():
            curves[name].append(float(np.mean((_design(all_x) @ weights - all_y.numpy()) ** 2)))
    all_weights = torch.from_numpy(np.stack(path))
    return Trace(all_weights[:, :-1], all_weights[:, -1], losses, curves)


def _design(x: Tensor) -> np.ndarray:
    return np.column_stack([x.numpy(), np.ones(len(x))])
