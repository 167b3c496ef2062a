"""Every instrument beside LightningModules that others wrote: it sees each, and changes none."""

import csv
import json

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.demos.boring_classes import BoringModel, DemoModel, ManualOptimBoringModel
from lightning.pytorch.demos.lstm import LightningLSTM, SimpleLSTM
from lightning.pytorch.demos.transformer import LightningTransformer, Transformer
from torch import nn
from torch.utils.data import DataLoader

from descentlab.callbacks import GradientAudit, GradientStatistics, Parity, Stability

WORDS, STEPS = 11, 6


def by_hand(kind):
    """Return the class under manual optimization, if it is not so by itself."""

    class ByHand(kind):
        def __init__(self):
            super().__init__()
            self.automatic_optimization = False

        def training_step(self, batch, batch_idx):
            given = super().training_step(batch, batch_idx)
            optimizer = self.optimizers()
            optimizer.zero_grad()
            self.manual_backward(given["loss"] if isinstance(given, dict) else given)
            optimizer.step()

    return ByHand


class SmallTransformer(LightningTransformer):
    """Embeddings, attention, dropout; tensors that are no buffers, made at the first batch."""

    def __init__(self):
        super().__init__(WORDS)
        self.model = Transformer(WORDS, ninp=8, nhead=2, nhid=8, nlayers=1)

    def prepare_data(self):
        """Download nothing."""


class SmallLSTM(LightningLSTM):
    """Embeddings, and a hidden state that goes from one batch to the next."""

    def __init__(self):
        super().__init__(WORDS)
        self.model = SimpleLSTM(WORDS, ninp=6, nhid=5, nlayers=2)

    def prepare_data(self):
        """Download nothing."""


class TwoOptimizers(BoringModel):
    """Two parts, each with an optimizer and a frozen or shared weight, stepped in turn by hand."""

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False
        self.other = nn.Linear(32, 2)
        self.norm = nn.BatchNorm1d(2)
        self.tied = self.layer
        self.other.bias.requires_grad_(False)

    def training_step(self, batch, batch_idx):
        one, two = self.optimizers()
        for optimizer, part in ((one, self.layer), (two, self.other)):
            self.toggle_optimizer(optimizer)
            loss = self.loss(self.norm(part(batch) + self.tied(batch)))
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()
            self.untoggle_optimizer(optimizer)

    def configure_optimizers(self):
        parameters = [*self.layer.parameters(), *self.norm.parameters()]
        return [torch.optim.SGD(parameters, 0.1), torch.optim.Adam(self.other.parameters(), 0.01)]


def numbers():
    return list(torch.randn(STEPS, 4, 32))


def words():
    texts = torch.randint(0, WORDS, (STEPS, 2, 6))
    return [(text[:, :-1].contiguous(), text[:, 1:].contiguous()) for text in texts]


MODULES = {
    "BoringModel": (BoringModel, numbers),
    "BoringModel by hand": (by_hand(BoringModel), numbers),
    "ManualOptimBoringModel": (ManualOptimBoringModel, numbers),
    "DemoModel": (DemoModel, numbers),
    "DemoModel by hand": (by_hand(DemoModel), numbers),
    "LightningTransformer": (SmallTransformer, words),
    "LightningTransformer by hand": (by_hand(SmallTransformer), words),
    "LightningLSTM": (SmallLSTM, words),
    "LightningLSTM by hand": (by_hand(SmallLSTM), words),
    "two optimizers by hand": (TwoOptimizers, numbers),
}
ALL = pytest.mark.parametrize("name", MODULES)


def trained(name, folder, *callbacks):
    """Fit a module; return it and all that is left: weights, gradients, states, random numbers."""
    kind, data = MODULES[name]
    torch.manual_seed(5)
    module = kind()
    trainer = Trainer(
        max_epochs=2,
        callbacks=list(callbacks),
        default_root_dir=folder,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        limit_val_batches=0,
    )
    trainer.fit(module, DataLoader(data(), batch_size=None))
    assert trainer.global_step == 2 * STEPS * len(trainer.optimizers)
    states = [s for each in trainer.optimizers for s in each.state_dict()["state"].values()]
    kept = [v for state in states for v in state.values() if isinstance(v, torch.Tensor)]
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    return module, [*module.state_dict().values(), *kept, *gradients, torch.get_rng_state()]


def beside(name, folder, callback):
    """Fit with a callback and without, and hold one against the other, bit for bit."""
    module, left = trained(name, folder, callback)
    _, alone = trained(name, folder / "alone")
    assert len(left) == len(alone)
    assert all(map(torch.equal, left, alone))
    return module


def reference(name, wrong=False):
    if name.startswith("DemoModel") is not wrong:
        return lambda parameters: torch.optim.Adam(parameters, 0.02)
    return lambda parameters: torch.optim.SGD(parameters, 0.1)


@ALL
def test_parity(name, tmp_path):
    watch = Parity(reference(name))
    if name.startswith("two"):  # of which the second is Adam
        with pytest.warns(UserWarning, match=r"step 1, other\.weight\["):
            beside(name, tmp_path, watch)
        assert watch.first.parameter == "other.weight"
        return
    beside(name, tmp_path, watch)
    assert (watch.steps, watch.first) == (2 * STEPS, None)
    found = json.loads((tmp_path / "parity.json").read_text())
    assert found == {"steps": 2 * STEPS, "largest": 0.0, "first": None}


@ALL
def test_parity_beside_another_optimizer(name, tmp_path):
    """Negative control."""
    watch = Parity(reference(name, wrong=True))
    with pytest.warns(UserWarning, match="the run leaves its reference at step 1"):
        module, _ = trained(name, tmp_path, watch)
    assert watch.first.parameter in dict(module.named_parameters())


@ALL
def test_gradient_statistics(name, tmp_path):
    module = beside(name, tmp_path, GradientStatistics())
    with (tmp_path / "gradient_statistics.csv").open() as file:
        rows = list(csv.DictReader(file))
    steps = 2 * STEPS * (2 if name.startswith("two") else 1)
    assert {int(row["step"]) for row in rows} == set(range(steps))
    trained_ones = {name for name, p in module.named_parameters() if p.requires_grad}
    assert {row["parameter"] for row in rows} == {"", *trained_ones}
    assert all(float(row["gradient_norm"]) >= 0 for row in rows if row["gradient_norm"])
    assert any(float(row["update_ratio"]) > 0 for row in rows)


@ALL
def test_stability(name, tmp_path):
    watch = Stability(every=4)
    beside(name, tmp_path, watch)
    rows = (tmp_path / "curvature.csv").read_text().splitlines()
    assert len(rows) == 1 + len(watch.found)
    assert [each.step for each in watch.found[:3]] == [0, 4, 8]
    if name.startswith("DemoModel"):  # straight pieces
        assert {each.largest for each in watch.found} == {0.0}
    elif name.split()[0] in ("BoringModel", "ManualOptimBoringModel"):
        torch.manual_seed(5)
        MODULES[name][0]()  # draws its weights before the data
        a = torch.nn.functional.pad(numbers()[0], (0, 1), value=1.0).double()
        largest = torch.linalg.eigvalsh(a.T @ a)[-1].item() / 4
        assert watch.found[0].largest == pytest.approx(largest, rel=1e-5)  # Lanczos' precision
        assert watch.found[0].bound == pytest.approx(2 / largest, rel=1e-5)
    else:
        assert all(0 < each.largest < 100 for each in watch.found)


SLOW = ("LightningTransformer", "LightningLSTM")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow) if name.startswith(SLOW) else name
        for name in MODULES
    ],
)
def test_gradient_audit(name, tmp_path):
    """Of the second audit the hidden state of the LSTM is that of the batches before."""
    watch = GradientAudit(every=9)
    beside(name, tmp_path, watch)
    assert len(watch.found) >= 2
    for _, found in watch.found:
        assert found.verdict == "right"
        assert found.ways == ("differences", "forward mode")
    report = json.loads((tmp_path / "gradient_audit.json").read_text())
    assert (report["audits"], report["first"]) == (len(watch.found), None)


class Halved(nn.Linear):
    """A layer whose bias gets half its gradient."""

    def forward(self, x):
        bias = self.bias / 2
        return nn.functional.linear(x, self.weight, bias + bias.detach())


@pytest.mark.parametrize("name", ["BoringModel", "ManualOptimBoringModel"])
def test_a_wrong_gradient_of_anothers_module_is_named(name, tmp_path, monkeypatch):
    """Negative control."""
    monkeypatch.setattr(nn, "Linear", Halved)
    watch = GradientAudit(every=100)
    with pytest.warns(UserWarning, match=r"the gradient is wrong at step 0, layer\.bias\["):
        trained(name, tmp_path, watch)
    assert {each.parameter for each in watch.found[0][1].wrong} == {"layer.bias"}
