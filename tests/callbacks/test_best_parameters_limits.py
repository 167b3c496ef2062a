"""BestParameters where little is known, where files are gone or of others, and by the clock."""

import shutil
import time
from types import SimpleNamespace

import pytest
import torch
from foreign import Foreign, data, fit, loader
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback
from test_best_parameters import Watch, load

from descentlab.callbacks import BestParameters, best_parameters
from descentlab.errors import UsageError

QUIET = {"logger": False, "enable_progress_bar": False, "accelerator": "cpu"}


def checkpoints(folder):
    return sorted(path.name for path in (folder / "checkpoints").iterdir())


def test_without_a_word_files_are_written_every_thirty_seconds(tmp_path, monkeypatch):
    """By a clock on which an epoch takes ten."""

    class Look(Callback):
        def __init__(self):
            self.seen = []

        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if batch_idx == 0:
                there = (tmp_path / "checkpoints" / "last.ckpt").exists()
                self.seen.append(load(tmp_path, "last")["epoch"] if there else None)

    module, look = Foreign(), Look()
    clock = SimpleNamespace(monotonic=lambda: 10.0 * module.current_epoch, time=time.time)
    monkeypatch.setattr(best_parameters, "time", clock)
    fit(tmp_path, BestParameters(), look, module=module, epochs=9)
    assert look.seen == [None, 0, 0, 0, 3, 3, 3, 6, 6]
    assert BestParameters().history_mb == 64


@pytest.mark.parametrize("name", ["every", "history_mb"])
@pytest.mark.parametrize("value", [-1e-9, float("nan")])
def test_a_limit_below_zero_is_refused(name, value):
    with pytest.raises(UsageError, match=f"{name} must be a number >= 0, and {value} was given"):
        BestParameters(**{name: value})
    for least in (0, 0.5):
        assert getattr(BestParameters(**{name: least}), name) == least


def test_nothing_is_best_before_a_fit_and_where_nothing_is_measured(tmp_path):
    class Silent(Foreign):
        def validation_step(self, batch, batch_idx):
            pass

    ours = BestParameters()
    assert (ours.best, ours.last, ours.best_epoch, ours.best_model_path) == (None, None, -1, "")
    fit(tmp_path, ours, module=Silent(), epochs=2)
    assert (ours.best, ours.best_epoch, ours.best_model_path) == (None, -1, "")
    assert checkpoints(tmp_path) == ["last.ckpt", "parameters.pt"]
    rest = BestParameters()
    last = tmp_path / "checkpoints" / "last.ckpt"
    fit(tmp_path / "rest", rest, module=Silent(), epochs=4, ckpt_path=last)
    assert list(rest.history.epochs) == [0, 1, 2, 3]


class Logs(Foreign):
    """Logs the training loss of each batch, as it is."""

    def training_step(self, batch, batch_idx):
        loss = super().training_step(batch, batch_idx)
        self.log("loss/train", loss, on_step=True, on_epoch=False)
        return loss

    def validation_step(self, batch, batch_idx):
        pass


def test_a_batch_before_a_validation_is_not_measured_by_it(tmp_path):
    ours, module = BestParameters(monitor="loss/train"), Logs(lr=0.9)
    fit(tmp_path, ours, module=module, epochs=6, val_check_interval=2)
    ends = module.seen[4::5]  # what the training loop has logged at the end of an epoch
    assert ours.best_value == min(ends)
    assert ours.best_epoch == ends.index(min(ends))
    between = [loss for number, loss in enumerate(module.seen) if number % 5 in (1, 3)]
    assert min(between) < min(ends)  # negative control: one of these would be taken


def test_what_is_measured_outside_of_training_is_not_best(tmp_path):
    """By the check before the first epoch, or by a validation after the last."""
    ours, module, watch = BestParameters(), Foreign(lr=3.0), Watch()
    x, y = data()
    design = torch.cat([x, torch.ones_like(x)], 1)
    slope, bias = torch.linalg.lstsq(design, y[:, None]).solution
    module.line.weight.data[:] = slope + 1e-3
    module.line.bias.data[:] = bias
    trainer = fit(tmp_path, ours, watch, module=module, epochs=3)
    assert ours.best_value == min(watch.losses)
    kept = ours.best_epoch, ours.best_value
    module.line.weight.data[:] = slope
    module.line.bias.data[:] = bias
    for again in (trainer, Trainer(callbacks=[ours], default_root_dir=tmp_path / "b", **QUIET)):
        (found,) = again.validate(module, loader(batch_size=40), verbose=False)
        assert found["loss/val"] < kept[1]
        assert (ours.best_epoch, ours.best_value) == kept


def test_a_folder_that_was_removed_is_made_again(tmp_path):
    class Removes(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if trainer.global_step == 12:
                shutil.rmtree(tmp_path / "checkpoints")

    fit(tmp_path, BestParameters(), Removes(), epochs=3)
    assert checkpoints(tmp_path) == ["best.ckpt", "last.ckpt", "parameters.pt"]


def test_a_checkpoint_of_a_run_without_them_is_gone_on_from(tmp_path):
    trainer = fit(tmp_path, module=Foreign(lr=0.02), epochs=2)
    trainer.save_checkpoint(tmp_path / "two.ckpt")
    watch, ours = Watch(), BestParameters()
    module = Foreign(lr=0.02)
    fit(tmp_path / "a", watch, ours, module=module, epochs=4, ckpt_path=tmp_path / "two.ckpt")
    assert ours.best_value == min(watch.losses)
    assert list(ours.history.epochs) == [2, 3]


def test_a_history_that_is_gone_begins_anew(tmp_path):
    fit(tmp_path, BestParameters(), module=Foreign(lr=0.02), epochs=2)
    (tmp_path / "checkpoints" / "parameters.pt").unlink()
    ours, last = BestParameters(), tmp_path / "checkpoints" / "last.ckpt"
    fit(tmp_path / "rest", ours, module=Foreign(lr=0.02), epochs=4, ckpt_path=last)
    assert list(ours.history.epochs) == [2, 3]
    assert ours.best_epoch == 3


def test_a_best_of_another_run_that_is_worse_is_not_taken(tmp_path):
    fit(tmp_path / "worse", BestParameters(), module=Foreign(lr=0.001), epochs=4)
    fit(tmp_path, BestParameters(), module=Foreign(lr=0.02), epochs=3)
    shutil.copy(tmp_path / "worse" / "checkpoints" / "best.ckpt", tmp_path / "checkpoints")
    ours, last = BestParameters(), tmp_path / "checkpoints" / "last.ckpt"
    with pytest.warns(UserWarning, match="is not the best of epoch 2: best starts anew"):
        fit(tmp_path / "rest", ours, module=Foreign(lr=0.02), epochs=4, ckpt_path=last)
    assert ours.best_epoch == 3
    assert ours.best["global_step"] == 20


class Remembers(Foreign):
    """Has a state of its own beside its tensors."""

    def get_extra_state(self):
        return {"batches": len(self.seen)}

    def set_extra_state(self, state):
        pass


@pytest.mark.parametrize("kind", [Foreign, Remembers])
def test_what_is_best_and_last_is_held_once(tmp_path, kind):
    ours = BestParameters()
    fit(tmp_path, ours, module=kind(lr=0.02), epochs=3)
    assert ours.best_epoch == 2
    places = [
        {name: v.data_ptr() for name, v in each["state_dict"].items() if torch.is_tensor(v)}
        for each in (ours.best, ours.last)
    ]
    assert places[0] == places[1]
    assert len(places[0]) == 2
