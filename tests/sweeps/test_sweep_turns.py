"""Many updates of a sweep in one turn are its updates one by one, bit for bit."""

import pytest
import torch
from lightning.pytorch import Callback, Trainer, seed_everything

from descentlab.datamodules import Line, RegressionData
from descentlab.internals.many_updates import Turn
from descentlab.modules import LinearRegression
from descentlab.optimizers import Adam, GradientDescent
from descentlab.sweeps import Sweep


def fit(chunk, rule=GradientDescent, grid=None, ckpt_path=None, callbacks=(), **options):
    """Return the rows of a sweep, its parameters, and what the trainer counted."""
    seed_everything(5, verbose=False)
    flags = {name: options.pop(name) for name in ("precision", "max_epochs") if name in options}
    module = Sweep(LinearRegression, rule, grid or {"lr": [0.01, 0.05, 0.1]}, **options)
    data = RegressionData("line", line=Line(size=300), chunk=chunk, batch_size=16)
    trainer = Trainer(
        **{
            "max_epochs": 3,
            "accelerator": "cpu",
            "logger": False,
            "enable_checkpointing": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "callbacks": list(callbacks),
            **flags,
        }
    )
    trainer.fit(module, datamodule=data, ckpt_path=ckpt_path)
    return _plain(module.results()), trainer.global_step, trainer.fit_loop.state_dict()


def _plain(value):
    """Return a state with lists in place of tensors, so that NaN is equal to itself as text."""
    if isinstance(value, torch.Tensor):
        return repr(value.tolist())
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


@pytest.fixture
def turns(monkeypatch):
    """How many updates each turn had."""
    counts = []
    end = Turn.end

    def counted(turn):
        counts.append(turn.made)
        end(turn)

    monkeypatch.setattr(Turn, "end", counted)
    return counts


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"rule": Adam, "grid": {"lr": [0.01, 0.1]}, "precision": "64-true"},
        {"rule": torch.optim.RMSprop, "grid": {"lr": [0.01, 0.1]}},
        {"seeds": [1, 2]},
        {"members_at_once": 2},
        {"grid": {"lr": [0.01, 30.0, 1e30]}},
    ],
    ids=["one seed", "Adam", "member by member", "seeds", "groups", "diverging"],
)
def test_by_default_and_one_by_one_are_the_same(turns, options):
    alone = fit(1, **options)
    assert not turns
    assert fit("auto", **options) == alone
    epochs = 3 * (2 if "members_at_once" in options else 1)
    assert turns == [14] * epochs  # of 15 updates an epoch, of which Lightning makes the first
    turns.clear()
    assert fit(4, **options) == alone
    assert turns == [4, 4, 4, 2] * epochs


def test_the_comparison_sees_another_rate():
    """Negative control."""
    assert fit("auto", grid={"lr": [0.01]}) != fit("auto", grid={"lr": [0.01 * (1 + 1e-6)]})


def test_a_callback_that_listens_has_them_one_by_one(turns):
    class Listening(Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            seen.append(trainer.global_step)

    seen = []
    alone = fit("auto", callbacks=[Listening()])
    assert not turns
    assert seen == list(range(1, 46))
    assert fit("auto") == alone
