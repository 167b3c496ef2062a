"""Chunks of batches make the same updates as the batches one by one."""

import pytest
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from test_two_ways import fit
from torch.optim.lr_scheduler import ExponentialLR

from descentlab.callbacks import AcceleratorTimer, BatchLoss
from descentlab.datamodules import Chunk, Line, RegressionData, TensorLoader
from descentlab.errors import UsageError
from descentlab.modules import LinearRegression
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


def run(tmp_path, chunk, optimizer, *callbacks, epochs=3, compile=False, size=442, **flags):
    losses, seen = BatchLoss(), Epochs()
    module = LinearRegression(
        optimizer=optimizer,
        manual_optimization=True,
        compile=compile,
        lr_scheduler=lambda o: ExponentialLR(o, 0.9),
    )
    data = RegressionData(chunk=chunk, source="line", line=Line(size=size))
    _, trainer = fit(
        module, data, epochs, [losses, seen, *callbacks], default_root_dir=tmp_path, **flags
    )
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


@pytest.mark.parametrize("chunk", [2, 5, 12, 1000])
@pytest.mark.parametrize("optimizer", RULES)
def test_chunks_are_the_same_run_bit_for_bit(tmp_path, optimizer, chunk):
    one, many = run(tmp_path, 1, optimizer), run(tmp_path, chunk, optimizer)
    assert len(one[0].losses) == many[2].global_step == 36
    assert same(one, many)


@pytest.mark.parametrize("optimizer", RULES)
def test_chunks_that_come_out_even(tmp_path, optimizer):
    one, many = (run(tmp_path, chunk, optimizer, size=320) for chunk in (1, 4))
    assert len(one[0].losses) == 24
    assert same(one, many)


@pytest.mark.parametrize("precision", ["bf16-true", "64-true"])
@pytest.mark.parametrize("optimizer", RULES)
def test_chunks_in_another_precision(tmp_path, optimizer, precision):
    one, many = (run(tmp_path, chunk, optimizer, precision=precision) for chunk in (1, 5))
    assert same(one, many)
    assert one[1].seen[0][1][0].dtype == (torch.float64 if "64" in precision else torch.bfloat16)


def test_another_rate_is_another_run(tmp_path):
    """The negative control of the comparison."""
    one = run(tmp_path, 1, lambda p: GradientDescent(p, lr=0.01))
    assert not same(one, run(tmp_path, 5, lambda p: GradientDescent(p, lr=0.0101)))


def test_max_steps_ends_within_a_chunk(tmp_path):
    optimizer = RULES[1].values[0]
    one = run(tmp_path, 1, optimizer, epochs=-1, max_steps=17)
    many = run(tmp_path, 5, optimizer, epochs=-1, max_steps=17)
    assert many[2].global_step == 17
    assert many[0].losses == one[0].losses


@pytest.mark.filterwarnings("ignore:.*callbacks used to create the checkpoint.*")
def test_an_epochs_checkpoint_goes_on_with_another_chunk(tmp_path):
    optimizer = RULES[1].values[0]
    whole = run(tmp_path, 1, optimizer, epochs=5)
    keep = ModelCheckpoint(tmp_path / "part", filename="kept")
    run(tmp_path / "part", 5, optimizer, keep, epochs=2)
    rest = run(tmp_path / "rest", 3, optimizer, epochs=5, ckpt_path=tmp_path / "part" / "kept.ckpt")
    assert rest[0].first_step == 24
    assert rest[0].losses == whole[0].losses[24:]
    assert rest[2].global_step == 60


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
    assert max(whole[0].losses[:4]) < 1000 < min(rest[0].losses[:4])
    assert rest[0].losses == whole[0].losses[24:]


class Listener(Callback):
    """Something that looks at gradients, so that the short way must not be taken."""

    def __init__(self):
        self.norms = []

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        self.norms.append([p.grad.norm().item() for p in pl_module.parameters()])


def test_who_listens_within_an_update_is_heard(tmp_path):
    one, many = Listener(), Listener()
    alone = run(tmp_path, 1, RULES[0].values[0], one)
    chunked = run(tmp_path, 12, RULES[0].values[0], many)
    assert one.norms == many.norms
    assert len(one.norms) == 36
    assert same(alone, chunked)


def test_the_timer_counts_updates(tmp_path):
    timer = AcceleratorTimer(warmup=12)
    run(tmp_path, 12, RULES[0].values[0], timer)
    assert len(timer.step_seconds) == 24


def test_automatic_optimization_says_what_to_do(tmp_path):
    with pytest.raises(UsageError, match=r"add --model\.manual_optimization true"):
        fit(LinearRegression(), RegressionData(chunk=2))


def test_a_chunk_holds_the_batches_of_the_loader():
    x, y = torch.arange(23.0), torch.arange(23)
    plain = list(TensorLoader(x, y, batch_size=3, shuffle=True, seed=5))
    loader = TensorLoader(x, y, batch_size=3, shuffle=True, seed=5, chunk=3)
    chunks = list(loader)
    assert len(chunks) == len(loader) == 3
    assert all(isinstance(chunk, Chunk) for chunk in chunks)
    batches = [batch for chunk in chunks for batch in chunk.batches()]
    assert len(batches) == len(plain) == 8
    pairs = zip(batches, plain, strict=True)
    assert all(torch.equal(one[0], two[0]) and torch.equal(one[1], two[1]) for one, two in pairs)


def test_a_position_within_an_epoch_keeps_its_chunk():
    loader = TensorLoader(torch.arange(20), batch_size=2, chunk=3)
    state = {"seed": 0, "epoch": 0, "position": 1, "chunk": 2}
    with pytest.raises(UsageError, match="chunk = 2, this run has 3"):
        loader.load_state_dict({**state, "rows": 20, "batch_size": 2})
    with pytest.raises(UsageError, match="chunk = 0 is below 1"):
        TensorLoader(torch.arange(20), chunk=0)
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
    assert calls[3:] == [1] * 5
    calls = calls[:3]
    assert calls == [2, 2, 2]  # of 12 batches the last is short, and the first of all descended
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
    with pytest.raises(UsageError, match="is 1: add --data"):
        run(tmp_path, 1, lambda p: GradientDescent(p, lr=0.01), compile=True)


def test_an_optimizer_that_is_no_rule_is_not_compiled_and_says_so(tmp_path):
    def sgd(params):
        return torch.optim.SGD(params, lr=0.01)

    with pytest.warns(UserWarning, match="SGD is none: the updates go uncompiled"):
        compiled = run(tmp_path, 5, sgd, compile=True)
    assert same(compiled, run(tmp_path, 5, sgd))
