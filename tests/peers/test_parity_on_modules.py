"""`Parity` on the modules of others: it follows each rightly, and changes none."""

import lightning_modules as people
import pytest
import torch
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.demos.boring_classes import (
    BoringModel,
    ManualOptimBoringModel,
    RandomDataset,
)
from torch.utils.data import DataLoader

from descentlab.callbacks import Parity

# Lightning's own, about loaders and logging, and Parity's
pytestmark = pytest.mark.filterwarnings("ignore")

AUTOMATIC = (people.Normed, people.Tied, people.Frozen, people.Warmup, people.ClipsItself)
OTHERS = (people.Double, people.StepScheduler, people.Manual)
SEVERAL = (people.ManualAccumulation,)
INSTALLED = (BoringModel, ManualOptimBoringModel)


def heavy(parameters, momentum=0.9):
    return torch.optim.SGD(parameters, lr=0.05, momentum=momentum)


def plain(parameters):
    return torch.optim.SGD(parameters, lr=0.1)


def wrong(parameters):
    return heavy(parameters, 0.8)


def trained(kind, folder, *callbacks):
    seed_everything(2, verbose=False)
    if kind.__module__.startswith("lightning."):
        train = DataLoader(RandomDataset(32, 16), batch_size=4)
    else:
        x = torch.randn(20, 3, generator=torch.Generator().manual_seed(5))
        train = DataLoader([(row, row.sum() + 1) for row in x], batch_size=4)
    flags = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    trainer = Trainer(
        max_epochs=2,
        limit_val_batches=0,
        enable_checkpointing=False,
        default_root_dir=folder,
        accelerator="cpu",
        callbacks=list(callbacks),
        **flags,
    )
    module = kind()
    trainer.fit(module, train)
    values = [value.clone() for value in module.state_dict().values()]
    return [*values, torch.get_rng_state()]


@pytest.mark.parametrize(
    "kind", [*AUTOMATIC, *OTHERS, *SEVERAL, *INSTALLED], ids=lambda kind: kind.__name__
)
def test_it_follows_rightly_and_changes_nothing(tmp_path, kind):
    reference = {people.StepScheduler: torch.optim.AdamW, **dict.fromkeys(INSTALLED, plain)}
    right = Parity(reference.get(kind, heavy))
    found = trained(kind, tmp_path, right)
    assert right.first is None, str(right.first)
    assert right.largest == 0
    assert right.steps > 0
    alone = trained(kind, tmp_path)
    assert all(torch.equal(one, other) for one, other in zip(found, alone, strict=True))
    other = Parity(wrong)  # negative control
    trained(kind, tmp_path, other)
    assert other.first.step <= 2
