"""Runs that one, two and three processes make alike; the mains of those processes."""

import csv
import faulthandler
import logging
import os
import socket
import time
import warnings

import torch
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from torch import multiprocessing
from torch.optim.lr_scheduler import ReduceLROnPlateau, StepLR
from torch.utils.data import DataLoader, TensorDataset

from descentlab.callbacks import BatchLoss, BestParameters
from descentlab.datamodules import InitialStates, Line, RandomBatch, RegressionData, Steps
from descentlab.errors import UsageError
from descentlab.modules import LinearDynamics, LinearRegression, ToyObjective, TwoLayerNet
from descentlab.optimizers import Adam, GradientDescent, Momentum
from descentlab.runs.logger import RunLogger
from forked import measured, measurement, unmeasured

EPOCHS = 2
DEADLINE = 100  # seconds for a group of processes, of which 25 are expected


def gradient_descent(parameters):
    return GradientDescent(parameters, lr=0.02)


def momentum(parameters):
    return Momentum(parameters, lr=0.01, momentum=0.9)


def adam(parameters):
    return Adam(parameters, lr=0.01)


def lbfgs(parameters):
    return torch.optim.LBFGS(parameters, lr=0.5, max_iter=4, line_search_fn="strong_wolfe")


def every_epoch(optimizer):
    return StepLR(optimizer, step_size=1, gamma=0.5)


def plateau(optimizer):
    return ReduceLROnPlateau(optimizer, patience=0, factor=0.5, threshold=0.5)


def bowl(theta):
    return (theta**2).sum()


def line(batch_size=5, size=23, split=(0.8, 0.1, 0.1)):
    """Return 18 training rows in batches of 5, 5, 5 and 3, two for validation, three more."""
    return RegressionData("line", line=Line(size=size), batch_size=batch_size, split=split)


class Cosine(LightningModule):
    """A module that is not ours, on torch's own DataLoader; one batch, as its order is torch's."""

    def __init__(self, rows):
        super().__init__()
        self.rows = rows
        self.linear = torch.nn.Linear(1, 1)

    def train_dataloader(self):
        x = torch.linspace(-1, 1, self.rows)[:, None]
        return DataLoader(
            TensorDataset(x, x.cos()), batch_size=self.rows // self.trainer.world_size
        )

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def training_step(self, batch, batch_idx):
        x, y = batch
        return ((self.linear(x) - y) ** 2).mean()


class OwnData(LinearRegression):
    """Ours, on torch's own DataLoaders."""

    def __init__(self, rows, validation_rows=12):
        super().__init__(1, gradient_descent)
        self.sizes = rows, validation_rows

    def _loader(self, rows):
        x = torch.linspace(-1, 1, rows)[:, None]
        return DataLoader(
            TensorDataset(x, x[:, 0].cos()), batch_size=rows // self.trainer.world_size
        )

    def train_dataloader(self):
        return self._loader(self.sizes[0])

    def val_dataloader(self):
        return self._loader(self.sizes[1])


class WrongWeight(LinearRegression):
    """Negative control: the parts of a batch count alike, whatever their rows."""

    gives_whole_loss = False

    def training_step(self, batch, batch_idx):
        return self.loss(batch)


#: name -> module, data (None for the module's own), options of the trainer
CASES = {
    "automatic": lambda: (LinearRegression(None, momentum), line(), {}),
    "manual": lambda: (
        LinearRegression(None, momentum, every_epoch, manual_optimization=True),
        line(),
        {},
    ),
    "smaller_than_world": lambda: (LinearRegression(None, momentum), line(1, 4, None), {}),
    "accumulated": lambda: (
        LinearRegression(None, gradient_descent),
        line(),
        {"accumulate_grad_batches": 2},
    ),
    "plateau": lambda: (LinearRegression(None, gradient_descent, plateau), line(4), {}),
    "closure": lambda: (LinearRegression(None, lbfgs), line(7), {}),
    "one_row_held_out": lambda: (
        LinearRegression(None, gradient_descent),
        line(3, 10, (0.8, 0.1, 0.1)),
        {},
    ),
    "chunk": lambda: (
        LinearRegression(None, momentum, manual_optimization=True),
        RegressionData("line", line=Line(size=23), batch_size=5, chunk=2),
        {},
    ),
    "sum": lambda: (TwoLayerNet(3, 4, 2, adam, every_epoch), RandomBatch(7, 3, 2), {}),
    "sum_by_hand": lambda: (
        TwoLayerNet(3, 4, 2, adam, manual_optimization=True),
        RandomBatch(7, 3, 2),
        {},
    ),
    "dynamics": lambda: (LinearDynamics(5, optimizer=gradient_descent), InitialStates(5), {}),
    "no_data": lambda: (ToyObjective(bowl, [1.0, -2.0], momentum), Steps(4), {}),
    "own_data": lambda: (OwnData(24), None, {}),
    "foreign": lambda: (Cosine(24), None, {}),
}
REFUSED = {
    "rows": lambda: (OwnData(23), None, {}),
    "validation_rows": lambda: (OwnData(24, 5), None, {}),
}


class Save(Callback):
    """A checkpoint in the middle of the second epoch, after the sixth of eight updates."""

    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == 6:
            trainer.save_checkpoint(f"{trainer.log_dir}/middle.ckpt")


def fit(case, folder, world, ckpt=None):
    """Make one run and return what it found: parameters, and the rows of its tables."""
    seed_everything(1, verbose=False)
    torch.manual_seed(1 + int(os.environ.get("LOCAL_RANK", 0)))  # they disagree, and rank 0 decides
    torch.set_default_dtype(torch.float64)
    module, data, options = case()
    trainer = Trainer(
        accelerator="cpu",
        devices=world,
        strategy="ddp" if world > 1 else "auto",
        precision="64-true",
        max_epochs=EPOCHS,
        logger=RunLogger(folder),
        callbacks=[BatchLoss(), BestParameters(), Save()],
        num_sanity_val_steps=-1,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )
    trainer.fit(module, datamodule=data, ckpt_path=ckpt)
    found = {"parameters": {name: p.detach().clone() for name, p in module.named_parameters()}}
    run = trainer.log_dir  # asked of all ranks: Lightning broadcasts it
    if trainer.is_global_zero:
        found |= {name: table(f"{run}/{name}.csv") for name in ("metrics", "batch_losses")}
    if trainer.is_global_zero and found["metrics"]:  # without a validation nothing is best
        best = torch.load(f"{run}/checkpoints/best.ckpt", weights_only=True)
        found["best"] = best["state_dict"]
        found["best_value"] = best["callbacks"]["BestParameters"]["best_value"]
    return found


def table(path):
    """Return the numbers of a file by (row, column); of one that is not there, none."""
    if not os.path.exists(path):
        return {}
    with open(path, encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {f"{n} {k}": float(row[k]) for n, row in enumerate(rows) for k in row if row[k]}


def all_cases(folder, world, middle=None):
    """Make all runs, and those that go on from a checkpoint of other processes."""
    found = {name: fit(case, f"{folder}/{name}", world) for name, case in CASES.items()}
    found["control"] = fit(
        lambda: (WrongWeight(None, momentum), line(), {}), f"{folder}/wrong", world
    )
    for name in ("automatic", "manual") if middle else ():
        path = f"{middle}/{name}/run/version_0/middle.ckpt"
        found[f"{name} resumed"] = fit(CASES[name], f"{folder}/{name}_resumed", world, path)
    others = dict(REFUSED) if world > 1 else {}
    if middle:
        others["batch_size"] = lambda: (LinearRegression(None, momentum), line(2), {})
    path = f"{middle}/automatic/run/version_0/middle.ckpt"
    for name, case in others.items():
        try:
            fit(case, f"{folder}/{name}", world, path if name == "batch_size" else None)
        except UsageError as error:
            found[f"refused {name}"] = str(error)
    return found


def work(rank, world, port, folder, middle, measurement):
    """Be one of several processes."""
    os.environ |= {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(world),
        "NODE_RANK": "0",
        "LOCAL_RANK": str(rank),
    }
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    faulthandler.dump_traceback_later(DEADLINE - 5)  # where a group that does not end hangs
    with measured(measurement):
        torch.save(all_cases(folder, world, middle), f"{folder}/rank{rank}.pt")
    torch.distributed.barrier()  # none ends while another still talks to it
    torch.distributed.destroy_process_group()


def group(world, folder, middle=None):
    """Run all cases in several processes, and return what each of them found."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    folder.mkdir()
    words = (world, port, str(folder), middle and str(middle), measurement())
    with unmeasured():
        running = multiprocessing.start_processes(
            work, words, nprocs=world, join=False, start_method="forkserver"
        )
    deadline = time.monotonic() + DEADLINE
    try:
        while not running.join(timeout=1):
            assert time.monotonic() < deadline, f"{world} processes did not end"
    finally:
        for process in running.processes:
            process.kill()
    return [torch.load(folder / f"rank{rank}.pt") for rank in range(world)]
