"""Compiled updates are the batches one by one within rounding, and go on as they were."""

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from torch.optim.lr_scheduler import ExponentialLR

from descentlab.callbacks import BatchLoss
from descentlab.datamodules import Line, RegressionData
from descentlab.errors import UsageError
from descentlab.modules import LinearRegression
from descentlab.modules.compiled import CompiledUpdates
from descentlab.optimizers import Adam, GradientDescent, Momentum

RULES = [
    pytest.param(lambda p: GradientDescent(p, lr=0.01), id="gradient-descent"),
    pytest.param(lambda p: Momentum(p, lr=0.01), id="momentum"),
    pytest.param(lambda p: Adam(p, lr=0.1), id="adam"),
    pytest.param(lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9), id="torch-sgd"),
]


class Epochs(Callback):
    """The parameters and the count of updates after every epoch."""

    def __init__(self):
        self.seen = []

    def on_train_epoch_end(self, trainer, pl_module):
        state = trainer.optimizers[0].state_dict()["state"]
        tensors = [p.detach().clone() for p in pl_module.parameters()]
        tensors += [torch.as_tensor(v).clone() for s in state.values() for v in s.values()]
        self.seen.append((trainer.global_step, tensors, dict(trainer.callback_metrics)))


def run(
    tmp_path,
    chunk,
    optimizer,
    *callbacks,
    epochs=3,
    compile=False,
    size=442,
    ckpt_path=None,
    manual=True,
):
    losses, seen = BatchLoss(), Epochs()
    module = LinearRegression(
        optimizer=optimizer,
        manual_optimization=manual,
        compile=compile,
        lr_scheduler=lambda o: ExponentialLR(o, 0.9),
    )
    data = RegressionData(chunk=chunk, source="line", line=Line(size=size))
    torch.manual_seed(42)
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=bool(callbacks),
        callbacks=[losses, seen, *callbacks],
        default_root_dir=tmp_path,
    )
    trainer.fit(module, datamodule=data, ckpt_path=ckpt_path)
    return losses, seen, trainer


def same(one, other):
    return (
        one[0].losses == other[0].losses
        and len(one[1].seen) == len(other[1].seen)
        and all(
            mine[0] == theirs[0]
            and all(map(torch.equal, mine[1], theirs[1]))
            and mine[2] == theirs[2]
            for mine, theirs in zip(one[1].seen, other[1].seen, strict=True)
        )
    )


@pytest.mark.filterwarnings("ignore:.*callbacks used to create the checkpoint.*")
@pytest.mark.parametrize("optimizer", RULES[:3])
def test_a_compiled_run_goes_on(tmp_path, optimizer, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    whole = run(tmp_path, 1, optimizer, epochs=5)
    keep = ModelCheckpoint(tmp_path / "part", filename="kept")
    run(tmp_path / "part", 4, optimizer, keep, epochs=2, compile=True)
    kept = tmp_path / "part" / "kept.ckpt"
    rest = run(tmp_path / "rest", 4, optimizer, epochs=5, compile=True, ckpt_path=kept)
    assert rest[0].losses == pytest.approx(whole[0].losses[24:], rel=1e-5)
    assert rest[2].global_step == 60


@pytest.mark.filterwarnings("ignore:.*callbacks used to create the checkpoint.*")
@pytest.mark.parametrize("optimizer", RULES[:1])
def test_a_run_that_goes_on_is_compiled_from_its_first_update_on(tmp_path, optimizer, monkeypatch):
    """What is compiled rounds otherwise; here it says what it made, by a loss that is too large."""

    def other(function, **_):
        def compiled(*args):
            values, states, losses = function(*args)
            return values, states, losses + 1000

        return compiled

    monkeypatch.setattr(torch, "compile", other)
    keep = ModelCheckpoint(tmp_path / "part", filename="kept")
    whole = run(tmp_path / "whole", 4, optimizer, epochs=5, compile=True)
    run(tmp_path / "part", 4, optimizer, keep, epochs=2, compile=True)
    kept = tmp_path / "part" / "kept.ckpt"
    rest = run(tmp_path / "rest", 4, optimizer, epochs=5, compile=True, ckpt_path=kept)
    assert whole[0].losses[0] < 1000 < min(rest[0].losses[:4])
    assert rest[0].losses == whole[0].losses[24:]


def test_a_chunk_below_one_is_refused():
    with pytest.raises(UsageError, match="chunk = 0 is below 1"):
        RegressionData(chunk=0)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, while it compiles
@pytest.mark.parametrize("optimizer", RULES[:3])
def test_compiled_chunks_are_the_same_within_rounding(tmp_path, optimizer, monkeypatch):
    from descentlab.modules import chunks

    monkeypatch.setattr(chunks, "BLOCK", 4)  # short, to compile soon
    calls = []
    original = chunks.CompiledUpdates.__call__

    def counted(self, blocks):
        calls.append(len(blocks))
        return original(self, blocks)

    monkeypatch.setattr(chunks.CompiledUpdates, "__call__", counted)
    one = run(tmp_path, 1, optimizer)
    many = run(tmp_path, 12, optimizer, compile=True)
    even = [run(tmp_path, chunk, optimizer, compile=chunk == 4, size=320) for chunk in (1, 4)]
    assert even[1][0].losses == pytest.approx(even[0][0].losses, rel=1e-5)
    # of 12 batches the last is short, and the first of all goes by itself; then of 8 batches
    assert sum(calls) == 3 * 2 + 1 + 2 * 2
    assert many[2].global_step == 36
    assert many[0].losses == pytest.approx(one[0].losses, rel=1e-5)
    for mine, theirs in zip(one[1].seen, many[1].seen, strict=True):
        assert mine[0] == theirs[0]
        for tensor, other in zip(mine[1], theirs[1], strict=True):
            torch.testing.assert_close(tensor, other, rtol=1e-5, atol=1e-5)


def test_without_a_compiler_the_updates_go_on(tmp_path, monkeypatch):
    from descentlab.modules import chunks

    def fail(self, blocks):
        raise torch._dynamo.exc.BackendCompilerFailed("inductor", RuntimeError("no compiler"), None)

    monkeypatch.setattr(chunks.CompiledUpdates, "__call__", fail)
    one = run(tmp_path, 1, RULES[0].values[0])
    with pytest.warns(UserWarning, match="not compiled, and go on uncompiled"):
        many = run(tmp_path, 12, RULES[0].values[0], compile=True)
    assert same(one, many)


def test_to_compile_needs_a_chunk(tmp_path):
    with pytest.raises(UsageError, match=r"data\.chunk is 1: leave data\.chunk out"):
        run(tmp_path, 1, lambda p: GradientDescent(p, lr=0.01), compile=True)


def test_an_optimizer_that_is_no_rule_is_not_compiled_and_says_so(tmp_path):
    def sgd(params):
        return torch.optim.SGD(params, lr=0.01)

    with pytest.warns(UserWarning, match="SGD is none: the updates go uncompiled"):
        compiled = run(tmp_path, 5, sgd, compile=True)
    assert same(compiled, run(tmp_path, 5, sgd))


def test_who_listens_has_the_updates_uncompiled_and_is_told_so(tmp_path):
    class Listener(Callback):
        seen = 0

        def on_train_batch_end(self, *_):
            self.seen += 1

    listener = Listener()
    with pytest.warns(UserWarning, match="Listener has on_train_batch_end: the updates go one by"):
        compiled = run(tmp_path, "auto", RULES[0].values[0], listener, compile=True)
    assert listener.seen == 36
    assert same(compiled, run(tmp_path, 1, RULES[0].values[0]))


@pytest.mark.parametrize("manual", [False, True])
def test_to_compile_needs_no_other_flag(tmp_path, manual, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    monkeypatch.setattr("descentlab.modules.chunks.BLOCK", 3)
    calls = []
    original = CompiledUpdates.__call__

    def counted(self, blocks):
        calls.append(len(blocks))
        return original(self, blocks)

    monkeypatch.setattr(CompiledUpdates, "__call__", counted)
    for optimizer in (each.values[0] for each in RULES[:3]):
        calls.clear()
        one = run(tmp_path, 1, optimizer, manual=manual)
        many = run(tmp_path, "auto", optimizer, compile=True, manual=manual)
        assert sum(calls) == 3 * 3  # of 12 updates an epoch 11 whole, in the first epoch less one
        assert calls[0] == 1
        assert many[2].global_step == 36
        assert many[0].losses == pytest.approx(one[0].losses, rel=1e-5, abs=1e-6)
        # observed: 8e-8 of a loss that began at 4
