"""`GradientAudit` on the modules of others: none is accused, and none is changed."""

import lightning_modules as people
import pytest
import torch
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.demos.boring_classes import BoringModel, ManualOptimBoringModel
from lightning.pytorch.demos.lstm import LightningLSTM, SimpleLSTM
from lightning.pytorch.demos.transformer import LightningTransformer, Transformer
from test_parity_on_modules import trained
from torch.utils.data import DataLoader
from torchmetrics import MeanSquaredError

from descentlab.callbacks import GradientAudit, GradientStatistics, Parity, Stability

# Lightning's own, about loaders and logging
pytestmark = pytest.mark.filterwarnings("ignore")

KINDS = (people.Normed, people.Tied, people.Frozen, people.Double, people.LogsEverything)
MANUAL = (people.Manual, people.ManualAccumulation, people.GAN, people.TruncatedTime)
INSTALLED = (BoringModel, ManualOptimBoringModel)


@pytest.mark.parametrize("kind", [*KINDS, *MANUAL, *INSTALLED], ids=lambda kind: kind.__name__)
def test_none_is_accused_and_none_is_changed(tmp_path, kind):
    watch = GradientAudit(every=4)
    found = trained(kind, tmp_path, watch)
    alone = trained(kind, tmp_path)
    assert all(torch.equal(one, other) for one, other in zip(found, alone, strict=True))
    assert len(watch.found) >= 2
    assert {each.verdict for _, each in watch.found} == {"right"}


class Transforms(LightningTransformer):
    def __init__(self):
        super().__init__(vocab_size=2)
        self.model = Transformer(11, ninp=6, nhead=2, nhid=5, nlayers=1)

    def prepare_data(self):
        """Download nothing."""


class Remembers(LightningLSTM):
    """Keeps its hidden state, and the graph behind it, from one batch to the next."""

    def __init__(self):
        super().__init__(vocab_size=2)
        self.model = SimpleLSTM(11, ninp=6, nhid=5, nlayers=2)

    def prepare_data(self):
        """Download nothing."""


class Measured(people.Plain):
    """The loss is a metric of torchmetrics, which keeps a state."""

    def __init__(self):
        super().__init__()
        self.metric = MeanSquaredError()

    def error(self, batch):
        x, y = batch
        return self.metric(self.net(x)[:, 0], y)


def trained_on_words(kind, folder, *callbacks):
    seed_everything(2, verbose=False)
    words = torch.randint(0, 11, (12, 8), generator=torch.Generator().manual_seed(4))
    flags = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    trainer = Trainer(
        max_epochs=2,
        accelerator="cpu",
        limit_val_batches=0,
        enable_checkpointing=False,
        default_root_dir=folder,
        callbacks=list(callbacks),
        **flags,
    )
    module = kind()
    trainer.fit(module, DataLoader([(row[:-1], row[1:]) for row in words], batch_size=3))
    return [*(value.clone() for value in module.state_dict().values()), torch.get_rng_state()]


@pytest.mark.parametrize("kind", [Transforms, Remembers, Measured, *INSTALLED])
def test_the_four_together_change_nothing(tmp_path, kind):
    fit = trained_on_words if kind in (Transforms, Remembers) else trained
    lr = {Measured: {"lr": 0.05, "momentum": 0.9}}.get(kind, {"lr": 0.1})
    parity = Parity(lambda p: torch.optim.SGD(p, **lr), every=3)
    audit, curvature = GradientAudit(every=3), Stability(every=3)
    found = fit(kind, tmp_path, audit, parity, curvature, GradientStatistics())
    alone = fit(kind, tmp_path)
    assert all(torch.equal(one, other) for one, other in zip(found, alone, strict=True))
    assert len(audit.found) >= 2
    assert {each.verdict for _, each in audit.found} <= {"right", "not differentiable here"}
    if kind is not Remembers:  # its optimizer is not SGD
        assert (parity.first, parity.largest) == (None, 0)
    assert (tmp_path / "gradient_statistics.csv").read_text().count("\n") > 8
