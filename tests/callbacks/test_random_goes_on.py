"""A run that goes on draws what a run that was never stopped does: batches, dropout, noise."""

import random

import numpy as np
import pytest
import torch
from foreign import fit
from lightning.pytorch import LightningModule, seed_everything
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from descentlab.callbacks import BatchLoss, BestParameters
from descentlab.errors import UsageError
from descentlab.internals.random_state import put_back, random_state
from descentlab.runs.reading import loading


class Noisy(LightningModule):
    """Shuffled batches, dropout, and noise of Python and NumPy."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.4), nn.Linear(8, 1))

    def training_step(self, batch, batch_idx):
        x, y = batch
        noise = random.gauss(0, 0.1) + np.random.normal(0, 0.1)  # noqa: NPY002  # the global one
        loss = ((self.net(x + noise)[:, 0] - y) ** 2).mean()
        self.log("loss/train", loss, on_step=False, on_epoch=True)
        return loss

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.01)

    def train_dataloader(self):
        x = torch.randn(40, 3, generator=torch.Generator().manual_seed(1))
        return DataLoader(TensorDataset(x, x.sum(1)), batch_size=8, shuffle=True)


def trained(folder, epochs, seed, ckpt_path=None):
    """Return the losses of the updates, and the parameters in the end."""
    seed_everything(seed, verbose=False)
    losses, module = BatchLoss(), Noisy()
    loader = module.train_dataloader()
    flags = {"epochs": epochs, "train": loader, "ckpt_path": ckpt_path}
    fit(folder, losses, BestParameters(), module=module, **flags)
    return losses.losses, [p.detach().clone() for p in module.parameters()]


@pytest.mark.filterwarnings("ignore:.*workers|.*val_dataloader|.*number of training batches")
def test_a_run_that_goes_on_draws_as_one_that_never_stopped(tmp_path):
    losses, parameters = trained(tmp_path / "whole", 5, seed=3)
    before, _ = trained(tmp_path / "part", 2, seed=3)
    last = tmp_path / "part" / "checkpoints" / "last.ckpt"
    # of another process all draws may have been others
    after, ended = trained(tmp_path / "rest", 5, seed=8, ckpt_path=last)
    assert before + after == losses
    assert all(map(torch.equal, ended, parameters))
    assert trained(tmp_path / "other", 2, seed=8)[0] != before  # negative control


def test_a_state_is_put_back():
    state = random_state()

    def drawn():
        return random.random(), random.gauss(0, 1), np.random.normal(), float(torch.randn(()))  # noqa: NPY002

    first = drawn()
    assert drawn() != first
    put_back(state)
    assert drawn() == first


@pytest.mark.filterwarnings("ignore:.*workers|.*val_dataloader|.*number of training batches")
@pytest.mark.parametrize("name", ["torch", "python", "numpy"])
def test_a_damaged_state_is_named_and_changes_nothing(tmp_path, name):
    trained(tmp_path, 1, seed=3)
    path = tmp_path / "checkpoints" / "last.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    (key,) = [key for key in checkpoint["callbacks"] if "BestParameters" in key]
    checkpoint["callbacks"][key]["random"][name] = torch.zeros(3)
    torch.save(checkpoint, path)
    damaged = pytest.raises(UsageError, match=r"last\.ckpt does not fit this run, or is damaged")
    with damaged, loading(path):
        trained(tmp_path / "rest", 2, seed=3, ckpt_path=path)
