"""The alternatives to a fit: the loop of the handout, a leaner one, and a stock Lightning project.

All of them train the same line on the same batches in the same order and keep the same outputs: the
loss of every update, both sets' losses and the parameters after every epoch.
"""

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from torch import Tensor, nn
from torch.utils.data import DataLoader, Sampler, TensorDataset

from descentlab.datamodules import Line, noisy_line, permutation, split_rows

LEARNING_RATE = 0.01
BATCH_SIZE = 32
SEED = 42


@dataclass
class Outputs:
    """What every contender keeps."""

    batch_losses: list[float] = field(default_factory=list)
    epoch_losses: list[tuple[float, float]] = field(default_factory=list)
    parameters: list[list[Tensor]] = field(default_factory=list)

    def final(self) -> list[float]:
        """Return slope and bias at the end."""
        return [float(value) for value in self.parameters[-1]]


@dataclass(frozen=True)
class Problem:
    """Points near a line, and how they are split into a training and a validation set."""

    all_x: Tensor
    all_y: Tensor
    indices: dict[str, Tensor]
    batch_size: int = BATCH_SIZE

    @classmethod
    def of(cls, updates_per_epoch: int, batch_size: int = BATCH_SIZE) -> "Problem":
        """Return a problem whose training set makes that many batches of that size."""
        rows = batch_size * updates_per_epoch * 5 // 4
        x, y = noisy_line(Line(size=rows))
        return cls(x.float(), y.float(), split_rows(rows, (0.8, 0.1, 0.1), SEED), batch_size)

    def rows(self, name: str) -> tuple[Tensor, Tensor]:
        """Return inputs and targets of the set of that name."""
        return self.all_x[self.indices[name]], self.all_y[self.indices[name]]


class EpochOrder(Sampler[int]):
    """The order of each epoch that `TensorLoader` has too, in the way of torch's RandomSampler."""

    def __init__(self, rows: int) -> None:
        self.rows, self.epoch = rows, 0

    def __iter__(self) -> Iterator[int]:
        order = permutation(SEED, self.epoch, self.rows).tolist()
        self.epoch += 1
        return iter(order)

    def __len__(self) -> int:
        return self.rows


def loader(problem: Problem) -> DataLoader[tuple[Tensor, ...]]:
    """Return the handout's loader."""
    dataset = TensorDataset(*problem.rows("train"))
    return DataLoader(dataset, batch_size=problem.batch_size, sampler=EpochOrder(len(dataset)))


def plain(problem: Problem, epochs: int, sliced: bool = False) -> Outputs:
    """Run the handout's loop, over a DataLoader or over tensors split once an epoch."""
    slope, bias = torch.zeros(1, requires_grad=True), torch.zeros((), requires_grad=True)
    optimizer = torch.optim.SGD([slope, bias], lr=LEARNING_RATE)
    kept = Outputs()
    batches = loader(problem)
    train, val = problem.rows("train"), problem.rows("val")

    def mean_squared_error(x: Tensor, y: Tensor) -> Tensor:
        return ((x @ slope + bias - y) ** 2).mean()

    for epoch in range(epochs):
        for x, y in _split(train, epoch, problem.batch_size) if sliced else batches:
            optimizer.zero_grad()
            loss = mean_squared_error(x, y)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            kept.batch_losses.append(loss.item())
        with torch.no_grad():
            losses = (mean_squared_error(*train).item(), mean_squared_error(*val).item())
            kept.epoch_losses.append(losses)
            kept.parameters.append([slope.clone(), bias.clone()])
    return kept


def _split(rows: tuple[Tensor, Tensor], epoch: int, size: int) -> Iterator[tuple[Tensor, ...]]:
    order = permutation(SEED, epoch, len(rows[0]))
    return zip(*(torch.split(part[order], size) for part in rows), strict=True)


def optax_scan(
    problem: Problem, rates: Sequence[float] | None = None, folder: Path | None = None
) -> Callable[[int], Outputs]:
    """Return the same in JAX: an epoch is one compiled `lax.scan` over the batches.

    Args:
        problem: has the rows.
        rates: one learning rate for each of several lines that are fitted under `vmap`; what is
            kept is then of the last one.
        folder: where the records of a fit are written: the loss of every update, and at each
            epoch's end the losses of both sets and the parameters; None for nowhere.
    """
    import jax
    import optax

    arrays = {name: [part.numpy() for part in problem.rows(name)] for name in ("train", "val")}

    def mean_squared_error(line: Any, x: Any, y: Any) -> Any:
        return ((x @ line[0] + line[1] - y) ** 2).mean()

    def epoch_of(rate: Any, carry: Any, x: Any, y: Any) -> Any:
        rule = optax.sgd(rate)

        def update(carry: Any, batch: Any) -> Any:
            line, state = carry
            loss, gradient = jax.value_and_grad(mean_squared_error)(line, *batch)
            moves, state = rule.update(gradient, state)
            return (optax.apply_updates(line, moves), state), loss

        carry, losses = jax.lax.scan(update, carry, (x, y))
        ends = [mean_squared_error(carry[0], *arrays[name]) for name in ("train", "val")]
        return carry, losses, ends

    several = jax.jit(jax.vmap(epoch_of, in_axes=(0, 0, None, None)))
    every = jax.numpy.array(rates or [LEARNING_RATE])

    def run(epochs: int) -> Outputs:
        line = (jax.numpy.zeros((len(every), 1)), jax.numpy.zeros(len(every)))
        carry, kept = (line, optax.sgd(LEARNING_RATE).init(line)), Outputs()
        for path in [folder / f"{name}.csv" for name in ("updates", "epochs")] if folder else []:
            path.write_text("")
        for epoch in range(epochs):
            order = permutation(SEED, epoch, len(arrays["train"][0])).numpy()
            x, y = (part[order] for part in arrays["train"])
            batches = x.reshape(-1, problem.batch_size, 1), y.reshape(-1, problem.batch_size)
            carry, losses, ends = several(every, carry, *batches)
            kept.batch_losses += losses[-1].tolist()
            kept.epoch_losses.append((float(ends[0][-1]), float(ends[1][-1])))
            kept.parameters.append([torch.tensor(part[-1].tolist()) for part in carry[0]])
            if folder:
                _record(folder, epoch, kept, len(batches[0]))
        return kept

    return run


def _record(folder: Path, epoch: int, kept: Outputs, updates: int) -> None:
    """Append what an epoch gave to two tables."""
    first = len(kept.batch_losses) - updates
    rows = enumerate(kept.batch_losses[first:], start=first)
    with (folder / "updates.csv").open("a") as file:
        file.write("".join(f"{epoch},{step},{loss!r}\n" for step, loss in rows))
    last = [*kept.epoch_losses[-1], *(part.tolist() for part in kept.parameters[-1])]
    with (folder / "epochs.csv").open("a") as file:
        file.write(f"{epoch},{','.join(map(str, last))}\n")


class Stock(LightningModule):
    """What a newcomer to Lightning writes."""

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(1, 1)
        nn.init.zeros_(self.line.weight)
        nn.init.zeros_(self.line.bias)

    def _loss(self, batch: list[Tensor]) -> Tensor:
        x, y = batch
        return nn.functional.mse_loss(self.line(x)[:, 0], y)

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        """Return the loss, logged for the step and for the epoch."""
        loss = self._loss(batch)
        self.log("loss/train", loss, on_step=True, on_epoch=True, prog_bar=True)
        return loss

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        """Log the loss."""
        self.log("loss/val", self._loss(batch), prog_bar=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return plain SGD."""
        return torch.optim.SGD(self.parameters(), lr=LEARNING_RATE)


def stock(problem: Problem, epochs: int) -> None:
    """Run a stock Lightning project with the same outputs: loggers, two checkpoints, its bar."""
    validation = DataLoader(TensorDataset(*problem.rows("val")), batch_size=problem.batch_size)
    with (
        tempfile.TemporaryDirectory() as folder,
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        contextlib.ExitStack() as afterwards,
    ):
        warnings.simplefilter("ignore")
        notes = logging.getLogger("lightning.pytorch")
        afterwards.callback(notes.setLevel, notes.level)
        notes.setLevel(logging.ERROR)
        trainer = Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            logger=[TensorBoardLogger(folder), CSVLogger(folder)],
            callbacks=[
                ModelCheckpoint(monitor="loss/val", filename="best"),
                ModelCheckpoint(filename="last", enable_version_counter=False),
            ],
            log_every_n_steps=1,
            enable_model_summary=False,
        )
        trainer.fit(Stock(), loader(problem), validation)
