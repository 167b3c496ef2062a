"""BestParameters on a module that is not this project's."""

import os
import shutil

import pytest
import torch
from foreign import Foreign, data, fit
from lightning.pytorch.callbacks import Callback

from descentlab.callbacks import BestParameters, best_parameters
from descentlab.errors import UsageError
from descentlab.runs import parameter_history
from descentlab.runs.files import save_atomically
from descentlab.runs.logger import RunLogger


class Watch(Callback):
    """Keeps every epoch's parameters and validation loss by itself, to compare with."""

    def __init__(self):
        self.parameters, self.losses = [], []

    def on_train_epoch_end(self, trainer, pl_module):
        state = pl_module.state_dict()
        self.parameters.append({name: value.clone() for name, value in state.items()})
        self.losses.append(float(trainer.callback_metrics["loss/val"]))


def same(state, other):
    return state.keys() == other.keys() and all(torch.equal(state[k], other[k]) for k in state)


def load(folder, name):
    return torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)


@pytest.mark.parametrize("manual", [False, True])
def test_best_and_last_are_those_of_their_epochs(tmp_path, manual):
    # lr 0.9 overshoots, so that the best epoch is not the last one
    watch, best = Watch(), BestParameters()
    fit(tmp_path, watch, best, module=Foreign(manual, lr=0.9), epochs=6)
    expected = min(range(6), key=watch.losses.__getitem__)
    assert expected != 5
    assert best.best_epoch == load(tmp_path, "best")["epoch"] == expected
    assert best.best_value == watch.losses[expected]
    assert same(load(tmp_path, "best")["state_dict"], watch.parameters[expected])
    assert load(tmp_path, "last")["epoch"] == 5
    assert same(load(tmp_path, "last")["state_dict"], watch.parameters[5])
    assert not same(watch.parameters[5], watch.parameters[expected])
    assert best.best_model_path == str(tmp_path / "checkpoints" / "best.ckpt")


def test_a_best_within_an_epoch_is_written_though_the_epoch_does_not_end(tmp_path):
    class Breaks(Foreign):
        def on_train_batch_end(self, outputs, batch, batch_idx):
            if self.trainer.current_epoch == 1 and batch_idx == 3:
                raise RuntimeError("on purpose")

    class WatchValidation(Callback):
        def __init__(self):
            self.found = []

        def on_validation_end(self, trainer, pl_module):
            if not trainer.sanity_checking:
                state = {name: v.clone() for name, v in pl_module.state_dict().items()}
                self.found.append((float(trainer.callback_metrics["loss/val"]), state))

    watch, best = WatchValidation(), BestParameters()
    with pytest.raises(RuntimeError, match="on purpose"):
        fit(tmp_path, watch, best, module=Breaks(lr=0.02), epochs=3, val_check_interval=2)
    value, state = min(watch.found, key=lambda pair: pair[0])
    assert value == watch.found[-1][0]  # that of the middle of the second epoch
    assert (best.best_value, best.best_epoch) == (value, 1)
    assert same(load(tmp_path, "best")["state_dict"], state)
    assert load(tmp_path, "best")["global_step"] == 7
    assert load(tmp_path, "last")["epoch"] == 0


def test_every_epoch_can_be_had_later(tmp_path):
    watch = Watch()
    fit(tmp_path, watch, BestParameters(), epochs=4)
    stacked = torch.load(tmp_path / "checkpoints" / "parameters.pt", weights_only=True)
    assert stacked.pop("epoch").tolist() == [0, 1, 2, 3]
    for row, state in enumerate(watch.parameters):
        assert same({name: values[row] for name, values in stacked.items()}, state)


def test_testing_the_best_gives_its_loss(tmp_path):
    best = BestParameters()
    trainer = fit(tmp_path, best, module=Foreign(lr=0.9), epochs=6)
    x, y = data()
    state = load(tmp_path, "best")["state_dict"]
    by_hand = ((x @ state["line.weight"].T + state["line.bias"])[:, 0] - y).square().mean()
    assert by_hand.item() == pytest.approx(best.best_value, rel=1e-6)
    assert trainer.checkpoint_callback is best


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_run_that_breaks_off_has_its_last_finished_epoch(tmp_path, error):
    class Broken(Foreign):
        def on_train_batch_end(self, outputs, batch, batch_idx):
            if len(self.seen) == 13:  # in the middle of epoch 2
                raise error

    watch = Watch()
    with pytest.raises((RuntimeError, SystemExit)):
        fit(tmp_path, watch, BestParameters(every=3600), module=Broken(), epochs=6)
    assert load(tmp_path, "last")["epoch"] == 1
    assert same(load(tmp_path, "last")["state_dict"], watch.parameters[1])
    assert same(load(tmp_path, "best")["state_dict"], watch.parameters[1])


def test_files_are_written_at_intervals_of_time(tmp_path):
    class Look(Callback):
        def __init__(self):
            self.seen = []

        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            path = tmp_path / "checkpoints" / "last.ckpt"
            if batch_idx == 0:
                there = path.exists()
                self.seen.append(torch.load(path, weights_only=True)["epoch"] if there else -1)

    always, never = Look(), Look()
    fit(tmp_path, always, BestParameters(every=0), epochs=3)
    assert always.seen == [-1, 0, 1]
    (tmp_path / "checkpoints" / "last.ckpt").unlink()
    fit(tmp_path, never, BestParameters(every=3600), epochs=3)
    assert never.seen == [-1, 0, 0]  # the first epoch's, and no more
    assert load(tmp_path, "last")["epoch"] == 2


def test_what_was_logged_is_on_the_disk_before_its_checkpoint(tmp_path, monkeypatch):
    order = []
    original = best_parameters.save_atomically

    def save(content, path):
        rows = (path.parents[1] / "metrics.csv").read_text().splitlines()[1:]
        order.append((path.name, len(rows)))
        original(content, path)

    monkeypatch.setattr(best_parameters, "save_atomically", save)
    monkeypatch.setattr(parameter_history, "save_atomically", save)
    logger = RunLogger(save_dir=str(tmp_path), name="x")
    fit(tmp_path, BestParameters(every=0), epochs=2, logger=logger, log_every_n_steps=1)
    names = ["parameters.pt", "best.ckpt", "last.ckpt"]
    assert order == [(name, epochs) for epochs in (1, 2) for name in names]


def test_a_best_that_was_written_just_before_a_kill_is_taken(tmp_path):
    """Killed between the writing of best.ckpt and of last.ckpt."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    expected = BestParameters()
    fit(whole, expected, module=Foreign(lr=0.1), epochs=6)
    fit(cut, BestParameters(), module=Foreign(lr=0.1), epochs=3)
    newer = tmp_path / "newer"
    fit(newer, BestParameters(), module=Foreign(lr=0.1), epochs=4)
    shutil.copy(newer / "checkpoints" / "best.ckpt", cut / "checkpoints")
    again = BestParameters()
    last = cut / "checkpoints" / "last.ckpt"
    fit(tmp_path / "rest", again, module=Foreign(lr=0.1), epochs=6, ckpt_path=last)
    assert (again.best_value, again.best_epoch) == (expected.best_value, expected.best_epoch)
    assert same(again.best["state_dict"], expected.best["state_dict"])


def test_leftovers_of_a_killed_process_go(tmp_path):
    left = tmp_path / "checkpoints" / ".parameters.pt.12345"
    left.parent.mkdir()
    left.touch()
    fit(tmp_path, BestParameters(), epochs=1)
    assert sorted(path.name for path in left.parent.iterdir()) == [
        "best.ckpt",
        "last.ckpt",
        "parameters.pt",
    ]


def test_going_on_from_last_equals_never_having_stopped(tmp_path):
    whole, part, rest = tmp_path / "whole", tmp_path / "part", tmp_path / "rest"
    first, second = Watch(), Watch()
    one, two = BestParameters(), BestParameters()
    fit(whole, first, one, module=Foreign(lr=0.9), epochs=6)
    fit(part, BestParameters(), module=Foreign(lr=0.9), epochs=4)
    last = part / "checkpoints" / "last.ckpt"
    fit(rest, second, two, module=Foreign(lr=0.9), epochs=6, ckpt_path=last)
    assert all(map(same, second.parameters, first.parameters[4:]))
    assert len(second.parameters) == 2
    assert (two.best_epoch, two.best_value) == (one.best_epoch, one.best_value)
    assert two.best_epoch < 4  # it was found before the run stopped
    assert same(load(rest, "best")["state_dict"], load(whole, "best")["state_dict"])
    both = [torch.load(f / "checkpoints" / "parameters.pt") for f in (whole, rest)]
    assert same(both[0], both[1])


def test_a_best_that_is_gone_starts_anew_with_a_warning(tmp_path):
    fit(tmp_path, BestParameters(), module=Foreign(lr=0.9), epochs=4)
    (tmp_path / "checkpoints" / "best.ckpt").unlink()
    best = BestParameters()
    with pytest.warns(UserWarning, match=r"best.ckpt is not the best of epoch \d+"):
        fit(
            tmp_path / "rest",
            best,
            module=Foreign(lr=0.9),
            epochs=6,
            ckpt_path=tmp_path / "checkpoints" / "last.ckpt",
        )
    assert best.best_epoch >= 4


def test_the_history_has_a_limit(tmp_path):
    with pytest.warns(UserWarning, match="parameters.pt ends before epoch 2.*history_mb"):
        fit(tmp_path, BestParameters(history_mb=16e-6), epochs=5)  # two epochs of two floats
    stacked = torch.load(tmp_path / "checkpoints" / "parameters.pt", weights_only=True)
    assert stacked["epoch"].tolist() == [0, 1]
    assert load(tmp_path, "last")["epoch"] == 4


def test_no_history_if_so_asked(tmp_path):
    fit(tmp_path, BestParameters(history_mb=0), epochs=2)
    assert not (tmp_path / "checkpoints" / "parameters.pt").exists()


def test_a_metric_that_is_not_logged_is_named(tmp_path):
    with pytest.raises(UsageError, match="monitor='loss/vla' is not logged: logged are loss/val"):
        fit(tmp_path, BestParameters(monitor="loss/vla"))


def test_a_folder_that_cannot_be_written_is_named_before_training(tmp_path):
    (tmp_path / "file").write_text("in the way")
    module = Foreign()
    with pytest.raises(UsageError, match=r"file.checkpoints cannot be written \(Not a directory\)"):
        fit(tmp_path / "file", BestParameters(), module=module)
    assert module.seen == []


def test_a_trial_run_writes_nothing(tmp_path):
    fit(tmp_path, BestParameters(), fast_dev_run=True)
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "kept.ckpt"
    save_atomically({"epoch": 1}, path)
    with pytest.raises(Exception, match="pickle"):
        save_atomically({"epoch": lambda: 2}, path)
    assert torch.load(path) == {"epoch": 1}
    assert os.listdir(tmp_path) == ["kept.ckpt"]


@pytest.mark.parametrize(
    "content",
    [
        {"epoch": torch.tensor([0, 1, 1]), "slope": torch.ones(3, 1)},
        {"epoch": torch.arange(2), "slope": [torch.ones(1), "text"]},
        {"epoch": torch.arange(2), "slope": torch.ones(3, 1)},
        {"epoch": torch.arange(2), "slope": torch.tensor(1.0)},
        {"epoch": torch.arange(2), 5: torch.ones(2)},
        {"epoch": torch.arange(2.0), "slope": torch.ones(2)},
        {"epoch": torch.ones(2, 2, dtype=torch.int64), "slope": torch.ones(2)},
        {"slope": torch.ones(2)},
        [1],
    ],
)
def test_what_is_no_history_is_named(tmp_path, content):
    path = tmp_path / "parameters.pt"
    torch.save(content, path)
    with pytest.raises(UsageError, match=r"parameters\.pt holds no parameters of epochs"):
        parameter_history.read_history(path)
    sound = {"epoch": torch.tensor([3, 1]), "slope": [None, torch.ones(2)], "bias": torch.arange(2)}
    torch.save(sound, path)
    read = parameter_history.read_history(path)
    assert {epoch: sorted(values) for epoch, values in read.items()} == {
        3: ["bias"],
        1: ["bias", "slope"],
    }
