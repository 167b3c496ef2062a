"""GraphExport on modules that are not this project's."""

from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from descentlab.callbacks import graph_export
from descentlab.callbacks.graph_export import GraphExport
from descentlab.drawing.graphs import GraphSizeError, edges, nodes
from descentlab.errors import UsageError

# Lightning makes a LeafSpec, which torch 2.13 deprecates
pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")

FILES = {"loss.dot", "loss.svg", "loss.png"}


class Batches:
    """Eight equal batches."""

    def __iter__(self):
        return iter([(torch.linspace(0, 1, 12).reshape(4, 3), torch.ones(4))] * 8)

    def __len__(self):
        return 8


class Foreign(LightningModule):
    """One linear layer; the loss is (w x + b - y)^2, averaged."""

    def __init__(self, manual=False, fail_at=None, constant=False):
        super().__init__()
        self.automatic_optimization = not manual
        self.fail_at = fail_at
        self.weight = torch.nn.Parameter(torch.tensor([0.3, -0.1, 0.2]))
        self.bias = torch.nn.Parameter(torch.tensor(0.1))

    def training_step(self, batch, batch_idx):
        if batch_idx == self.fail_at:
            raise RuntimeError("broken on purpose")
        x, y = batch
        loss = (x @ self.weight + self.bias - y).square().mean()
        if self.automatic_optimization:
            return loss
        optimizer = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()
        return None

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


EXPECTED = Counter(
    {
        ("weight", "AccumulateGrad"): 1,
        ("AccumulateGrad", "MvBackward0"): 1,
        ("MvBackward0", "AddBackward0"): 1,
        ("bias", "AccumulateGrad"): 1,
        ("AccumulateGrad", "AddBackward0"): 1,
        ("AddBackward0", "SubBackward0"): 1,
        ("SubBackward0", "PowBackward0"): 1,
        ("PowBackward0", "MeanBackward0"): 1,
        ("MeanBackward0", "loss"): 1,
    }
)


def trainer_of(folder, *callbacks, **settings):
    return Trainer(
        **{
            "default_root_dir": folder,
            "logger": False,
            "accelerator": "cpu",
            "max_epochs": 2,
            "callbacks": list(callbacks),
            "enable_checkpointing": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
        }
        | settings
    )


def written(folder):
    return {path.name for path in (Path(folder) / "graphs").glob("*")}


@pytest.mark.parametrize("manual", [False, True], ids=["automatic", "manual"])
def test_the_graph_of_the_loss_is_written(tmp_path, manual):
    trainer_of(tmp_path, GraphExport()).fit(Foreign(manual), Batches())
    assert written(tmp_path) == FILES
    dot = (tmp_path / "graphs/loss.dot").read_text()
    assert edges(dot) == EXPECTED
    assert nodes(dot)["DivBackward0"] == 0
    assert (tmp_path / "graphs/loss.png").read_bytes().startswith(b"\x89PNG")


def test_division_for_accumulation_is_left_out(tmp_path):
    trainer = trainer_of(tmp_path, GraphExport(), accumulate_grad_batches=2)
    trainer.fit(Foreign(), Batches())
    assert edges((tmp_path / "graphs/loss.dot").read_text()) == EXPECTED


def test_the_scale_of_mixed_precision_is_left_out():
    module = SimpleNamespace(automatic_optimization=True)
    scaled = SimpleNamespace(precision_plugin=SimpleNamespace(scaler=object()))
    assert graph_export._added_by_lightning(scaled, module) == ("MulBackward0", "DivBackward0")


def test_options_reach_the_graph(tmp_path):
    trainer_of(tmp_path, GraphExport(attributes=True, saved=True)).fit(Foreign(), Batches())
    dot = (tmp_path / "graphs/loss.dot").read_text()
    assert "exponent" in dot
    assert "fillcolor=orange" in dot
    assert edges(dot) != EXPECTED


class Spy(Callback):
    """Notes what is there after each batch."""

    def __init__(self, folder, export):
        self.folder, self.export = folder, export
        self.files, self.listening = [], []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.listening.append(callable(self.export.on_before_backward))

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.files.append(written(self.folder))


def test_only_the_first_batch_does_anything_and_painting_waits(tmp_path):
    export = GraphExport()
    spy = Spy(tmp_path, export)
    trainer = trainer_of(tmp_path, export, spy)
    trainer.fit(Foreign(), Batches())
    assert spy.listening == [True] + 15 * [False]
    assert all(files == {"loss.dot"} for files in spy.files)
    assert written(tmp_path) == FILES
    (tmp_path / "graphs/loss.dot").unlink()
    trainer_of(tmp_path, export).fit(Foreign(), Batches())
    assert written(tmp_path) == FILES


def test_training_is_the_same_with_it_and_without(tmp_path):
    ends = []
    for callbacks in ([], [GraphExport(attributes=True, saved=True)]):
        module = Foreign()
        trainer_of(tmp_path, *callbacks).fit(module, Batches())
        ends.append(torch.cat([module.weight.detach(), module.bias.detach()[None]]))
    assert torch.equal(*ends)
    assert not torch.equal(ends[0], torch.tensor([0.3, -0.1, 0.2, 0.1]))


def test_a_trial_run_and_other_processes_write_nothing(tmp_path, monkeypatch):
    trainer_of(tmp_path, GraphExport(), fast_dev_run=True).fit(Foreign(), Batches())
    monkeypatch.setattr(graph_export, "run_to_write", lambda trainer: None)
    trainer_of(tmp_path, GraphExport()).fit(Foreign(), Batches())
    assert list(tmp_path.iterdir()) == []


def test_a_large_graph_is_written_and_not_painted(tmp_path, caplog):
    size = sum(nodes_of_expected().values())
    with caplog.at_level("INFO"):
        trainer_of(tmp_path, GraphExport(max_nodes=size - 1)).fit(Foreign(), Batches())
    assert written(tmp_path) == {"loss.dot"}
    assert f"{size} nodes, more than max_nodes={size - 1}" in caplog.text
    trainer_of(tmp_path, GraphExport(max_nodes=size)).fit(Foreign(), Batches())
    assert written(tmp_path) == FILES


def nodes_of_expected():
    return {"weight": 1, "bias": 1, "AccumulateGrad": 2, "others": 5, "loss": 1}


def test_a_run_that_breaks_off_has_its_picture(tmp_path):
    with pytest.raises(RuntimeError, match="on purpose"):
        trainer_of(tmp_path, GraphExport()).fit(Foreign(fail_at=3), Batches())
    assert written(tmp_path) == FILES


def test_a_run_that_breaks_off_before_its_first_loss_has_none(tmp_path):
    with pytest.raises(RuntimeError, match="on purpose"):
        trainer_of(tmp_path, GraphExport()).fit(Foreign(fail_at=0), Batches())
    assert written(tmp_path) == set()


@pytest.mark.parametrize(
    ("broken", "left"), [("computational_graph", set()), ("to_svg", {"loss.dot"})]
)
def test_a_picture_that_fails_costs_a_warning_only(tmp_path, monkeypatch, broken, left):
    def fail(*args, **kwargs):
        raise OSError("no room")

    monkeypatch.setattr(graph_export, broken, fail)
    trainer = trainer_of(tmp_path, GraphExport())
    with pytest.warns(UserWarning, match="graph of the loss was not .* no room") as caught:
        trainer.fit(Foreign(), Batches())
    assert len([w for w in caught if w.category is not FutureWarning]) == 1
    assert trainer.global_step == 16
    assert written(tmp_path) == left


def test_a_graph_too_large_for_graphviz_costs_a_note_only(tmp_path, monkeypatch, caplog):
    def fail(dot):
        raise GraphSizeError("too many long edges.")

    monkeypatch.setattr(graph_export, "to_svg", fail)
    with caplog.at_level("INFO"):
        trainer_of(tmp_path, GraphExport()).fit(Foreign(), Batches())
    assert "too many long edges. It is" in caplog.text
    assert written(tmp_path) == {"loss.dot"}


def test_tensorboard_has_the_picture(tmp_path):
    logger = TensorBoardLogger(tmp_path, name="run", version=0)
    trainer_of(tmp_path, GraphExport(), logger=logger, log_every_n_steps=1).fit(
        Foreign(), Batches()
    )
    events = EventAccumulator(logger.log_dir).Reload()
    assert events.Tags()["images"] == ["picture/graph"]
    (image,) = events.Images("picture/graph")
    assert min(image.width, image.height) > 300
    assert written(logger.log_dir) == FILES


def test_max_nodes_is_checked():
    with pytest.raises(UsageError, match="max_nodes must be at least 1, and 0 was given"):
        GraphExport(max_nodes=0)
