"""Parameters of any type that come, go or change in a fit: all that was kept can be had later."""

import pickle
from pathlib import PurePosixPath

import pytest
import torch
from foreign import Foreign, fit

from descentlab.callbacks import BatchLoss, BestParameters, LearningCurves, Summary
from descentlab.runs.parameter_history import ParameterHistory, read_history

pytestmark = pytest.mark.filterwarnings("ignore:The 'train_dataloader' does not have many workers")


class Named(Foreign):
    """A parameter that is called as the history calls its epochs."""

    def __init__(self):
        super().__init__()
        self.epoch = torch.nn.Parameter(torch.randn(3))

    def error(self, batch):
        return super().error(batch) + self.epoch.square().sum()


class Complex(Foreign):
    def __init__(self):
        super().__init__()
        self.phase = torch.nn.Parameter(torch.randn(2, dtype=torch.complex64))

    def error(self, batch):
        return super().error(batch) + self.phase.abs().square().sum()


class Changing(Complex):
    def on_train_epoch_start(self):
        if self.current_epoch == 2:
            self.change()


class Added(Changing):
    def change(self):
        self.more = torch.nn.Parameter(torch.randn(2))
        self.trainer.optimizers[0].add_param_group({"params": [self.more]})

    def error(self, batch):
        return super().error(batch) + (self.more.square().sum() if hasattr(self, "more") else 0)


class Gone(Changing):
    def change(self):
        del self.phase
        self.phase = torch.zeros(1)


class Resized(Changing):
    def change(self):
        self.phase = torch.nn.Parameter(torch.randn(5, dtype=torch.complex64))
        self.trainer.optimizers[0].add_param_group({"params": [self.phase]})


class Widened(Changing):
    def change(self):
        self.phase.data = self.phase.data.to(torch.complex128)


class Thawed(Changing):
    """Not a change of what there is, so that nothing is a list: the control."""

    def change(self):
        self.phase.requires_grad_(True)


def kept_by_hand(module):
    """Note the parameters at the end of every epoch."""
    epochs = []

    def note():
        epochs.append({name: p.detach().clone() for name, p in module.named_parameters()})

    module.on_train_epoch_end = note
    return epochs


@pytest.mark.parametrize("kind", [Named, Complex, Added, Gone, Resized, Widened, Thawed])
def test_no_epoch_is_lost(tmp_path, kind):
    torch.manual_seed(1)
    module = kind()
    expected = kept_by_hand(module)
    fit(
        *(tmp_path, Summary(), BatchLoss(), LearningCurves(), BestParameters()),
        module=module,
        epochs=4,
    )
    found = read_history(tmp_path / "checkpoints" / "parameters.pt")
    assert list(found) == [0, 1, 2, 3]
    for epoch, values in enumerate(expected):
        assert found[epoch].keys() == values.keys()
        assert all(torch.equal(found[epoch][name], values[name]) for name in values)
    for name in ("summary.json", "batch_losses.csv", "checkpoints/best.ckpt"):
        assert (tmp_path / name).is_file()
    last = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(last[name], value) for name, value in expected[-1].items())


@pytest.mark.parametrize(
    ("kind", "listed"), [(Thawed, set()), (Added, {"more"}), (Gone, {"phase"})]
)
def test_values_are_stacked_where_they_can_be(tmp_path, kind, listed):
    fit(tmp_path, BestParameters(), module=kind(), epochs=4)
    content = torch.load(tmp_path / "checkpoints" / "parameters.pt", weights_only=True)
    assert {name for name, rows in content.items() if isinstance(rows, list)} == listed


def test_a_history_is_read_and_written_as_it_was(tmp_path):
    fit(tmp_path, BestParameters(), module=Resized(), epochs=4)
    path = tmp_path / "checkpoints" / "parameters.pt"
    again = ParameterHistory(1.0)
    again.read(path)
    again.write(tmp_path / "again.pt")
    first, second = read_history(path), read_history(tmp_path / "again.pt")
    assert first.keys() == second.keys()
    for epoch, values in first.items():
        assert all(torch.equal(second[epoch][name], value) for name, value in values.items())


class Placed(Foreign):
    """Puts into its checkpoints what is read only where that is allowed."""

    def on_save_checkpoint(self, checkpoint):
        checkpoint["place"] = PurePosixPath("elsewhere")


@pytest.mark.filterwarnings("ignore:.*best.ckpt is not (a checkpoint|the best)")
def test_a_checkpoint_with_objects_goes_on_where_they_are_allowed(tmp_path):
    fit(tmp_path, BestParameters(), module=Placed(lr=0.9), epochs=3)
    last, best = tmp_path / "checkpoints" / "last.ckpt", BestParameters()
    with pytest.raises(pickle.UnpicklingError):
        fit(tmp_path / "plain", BestParameters(), module=Placed(), ckpt_path=last)
    rest = tmp_path / "rest"
    trainer = fit(
        rest, best, module=Placed(lr=0.9), epochs=5, ckpt_path=last, fit={"weights_only": False}
    )
    assert trainer.current_epoch == 5
    whole = Foreign(lr=0.9)
    fit(tmp_path / "whole", module=whole, epochs=5)
    state = torch.load(rest / "checkpoints" / "last.ckpt", weights_only=False)["state_dict"]
    assert all(torch.equal(state[name], value) for name, value in whole.state_dict().items())
    assert list(read_history(rest / "checkpoints" / "parameters.pt")) == [0, 1, 2, 3, 4]
