"""Many updates in one turn of the training loop are the batches one by one, bit for bit."""

import random
import signal
import time

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import Checkpoint, LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch.optim.lr_scheduler import ExponentialLR

from descentlab import callbacks
from descentlab.callbacks import AcceleratorTimer, BatchLoss, BestParameters
from descentlab.datamodules import Line, RegressionData, Steps
from descentlab.internals.many_updates import Turn
from descentlab.modules import LinearRegression, ToyObjective
from descentlab.objectives import CubicMinusSquare
from descentlab.optimizers import Adam, GradientDescent, Momentum

OPTIMIZERS = {
    "gradient-descent": lambda p: GradientDescent(p, lr=0.01),
    "momentum": lambda p: Momentum(p, lr=0.01),
    "adam": lambda p: Adam(p, lr=0.1),
    "torch-sgd": lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9),
    "torch-adam": lambda p: torch.optim.Adam(p, lr=0.1),
}


class Seen(Callback):
    """What can be known of a run where an epoch, or a validation, ends."""

    def __init__(self):
        self.rows = []

    def look(self, trainer, module):
        state = trainer.optimizers[0].state_dict()["state"]
        tensors = [p.detach().clone() for p in module.parameters()]
        tensors += [p.grad.clone() for p in module.parameters() if p.grad is not None]
        tensors += [torch.as_tensor(v).clone() for s in state.values() for v in s.values()]
        logged = {name: float(value) for name, value in trainer.callback_metrics.items()}
        counts = trainer.fit_loop.state_dict()
        counts["epoch_loop.state_dict"].pop("_restarting", None)
        self.rows.append((trainer.global_step, tensors, logged, counts, trainer.is_last_batch))

    def on_train_epoch_end(self, trainer, pl_module):
        self.look(trainer, pl_module)

    def on_validation_start(self, trainer, pl_module):
        self.look(trainer, pl_module)

    def on_validation_end(self, trainer, pl_module):
        self.look(trainer, pl_module)


def regression(manual, optimizer="momentum", kind=LinearRegression, **options):
    return kind(
        optimizer=OPTIMIZERS[optimizer],
        manual_optimization=manual,
        lr_scheduler=lambda o: ExponentialLR(o, 0.9),
        **options,
    )


def line(chunk, size=442, **options):
    return RegressionData("line", line=Line(size=size), chunk=chunk, **options)


def run(folder, module, data, *callbacks, epochs=3, ckpt=None, **flags):
    torch.manual_seed(42)
    losses, seen = BatchLoss(), Seen()
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=CSVLogger(folder, "", ""),
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=any(isinstance(c, Checkpoint) for c in callbacks),
        callbacks=[losses, seen, *callbacks],
        default_root_dir=folder,
        **{"log_every_n_steps": 1, **flags},
    )
    trainer.fit(module, datamodule=data, ckpt_path=ckpt)
    return losses, seen, trainer


def equal(one, other):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(equal, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[k], other[k]) for k in one)
    return one == other or (one != one and other != other)


def same(one, other):
    return (
        equal(one[0].losses, other[0].losses)
        and equal(one[0].steps, other[0].steps)
        and equal(one[1].rows, other[1].rows)
    )


@pytest.fixture
def turns(monkeypatch):
    """How many updates each turn had; none where batches went one by one."""
    made = []
    end = Turn.end

    def counted(turn):
        made.append(turn.made)
        end(turn)

    monkeypatch.setattr(Turn, "end", counted)
    return made


@pytest.mark.parametrize("chunk", ["auto", 7, 100])
@pytest.mark.parametrize("manual", [False, True])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_many_updates_are_the_same_run(tmp_path, turns, optimizer, manual, chunk):
    one = run(tmp_path / "one", regression(manual, optimizer), line(1))
    assert not turns
    many = run(tmp_path / "many", regression(manual, optimizer), line(chunk))
    assert len(one[0].losses) == many[2].global_step == 36
    assert same(one, many)
    assert sum(turns) == 35  # all but the first


MEASURED = {
    callbacks.Stability: "curvature.csv",
    callbacks.GradientStatistics: "gradient_statistics.csv",
    callbacks.GradientAudit: "gradient_audit.csv",
}


@pytest.mark.parametrize("instrument", MEASURED)
@pytest.mark.parametrize("optimizer", ["momentum", "torch-sgd"])  # which a scheduler has wrapped
def test_what_measures_some_updates_leaves_the_others_to_a_turn(
    tmp_path, turns, optimizer, instrument
):
    whole = line("auto", batch_size=16)  # 23 updates an epoch
    bare = run(tmp_path / "bare", regression(False, optimizer), whole, epochs=1)
    turns.clear()
    tables, runs = [], []
    for chunk in (1, "auto"):
        data = line(chunk, batch_size=16)
        folder = tmp_path / str(chunk)
        module = regression(False, optimizer)
        runs.append(run(folder, module, data, instrument(every=5), epochs=1))
        tables.append((folder / MEASURED[instrument]).read_text())
    assert all(equal(bare[0].losses, each[0].losses) for each in runs)
    assert tables[0] == tables[1]
    measured = {int(row.split(",")[0]) for row in tables[1].splitlines()[1:]}
    assert measured == {0, 5, 10, 15, 20}
    assert sum(turns) == 23 - 5


def test_another_rate_is_another_run(tmp_path):
    """The negative control of the comparison."""
    one = run(tmp_path / "one", regression(False), line(1))
    assert not same(one, run(tmp_path / "two", regression(False), line("auto", batch_size=31)))
    one[1].rows[0][1][0][0] += 1e-6
    assert not same(one, run(tmp_path / "three", regression(False), line("auto")))


FLAGS = {
    "val_check_interval": [3, 5, 0.25, 0.5],
    "limit_train_batches": [1, 4, 9, 0.7],
    "check_val_every_n_epoch": [1, 2],
    "max_steps": [1, 13, 24],
    "limit_val_batches": [0, 1],
    "accumulate_grad_batches": [2],
    "gradient_clip_val": [0.5],
    "overfit_batches": [3],
    "precision": ["64-true", "bf16-true"],
    "log_every_n_steps": [1, 5],
    "max_time": [{"hours": 1}],
}


BY_LIGHTNING = ("accumulate_grad_batches", "gradient_clip_val")


def drawn_flags(seed, manual):
    drawn = random.Random(seed)
    names = drawn.sample(sorted(FLAGS), k=3)
    flags = {name: drawn.choice(FLAGS[name]) for name in names}
    if manual:  # which Lightning refuses there
        flags = {name: each for name, each in flags.items() if name not in BY_LIGHTNING}
    limit = flags.get("limit_train_batches", 12)
    interval = flags.get("val_check_interval", 0)
    if interval and (limit == 1 or interval > (limit if isinstance(limit, int) else 8)):
        del flags["val_check_interval"]
    if flags.keys() >= {"val_check_interval", "overfit_batches"}:
        del flags["val_check_interval"]
    return flags


@pytest.mark.filterwarnings("ignore:.*overfit|.*[Bb]float16|.*val_check_interval")
@pytest.mark.parametrize("manual", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_whatever_the_trainer_does_between_updates(tmp_path, seed, manual):
    flags = drawn_flags(seed, manual)
    optimizer = random.Random(seed).choice(list(OPTIMIZERS))
    one, many = (
        run(tmp_path / str(chunk), regression(manual, optimizer), line(chunk), **flags)
        for chunk in (1, random.Random(seed).choice(["auto", 2, 5]))
    )
    assert same(one, many), flags


def test_validation_after_no_time_is_after_every_batch(tmp_path, turns):
    many = run(tmp_path, regression(False), line("auto"), val_check_interval={"seconds": 0})
    assert not turns
    assert len(many[0].losses) == 36


@pytest.mark.parametrize("manual", [False, True])
def test_steps_without_data(tmp_path, turns, manual):
    def toy():
        start = [[0.2, 0.3], [0.6, 0.4]]
        return ToyObjective(
            CubicMinusSquare(), start, OPTIMIZERS["adam"], manual_optimization=manual
        )

    one = run(tmp_path / "one", toy(), Steps(9, chunk=1))
    assert not turns
    assert same(one, run(tmp_path / "many", toy(), Steps(9)))
    assert turns == [8, 9, 9]


class Logs(LinearRegression):
    """Logs at some updates, by itself, what only the trainer knows."""

    def loss(self, batch):
        loss = super().loss(batch)
        if self.trainer.training and self.global_step % 5 == 3:
            self.log("seen", loss.detach() + self.trainer.fit_loop.epoch_loop.batch_idx)
            self.log("mean", loss.detach(), on_step=False, on_epoch=True)
        return loss


@pytest.mark.parametrize("manual", [False, True])
@pytest.mark.parametrize("every", [1, 4])
def test_what_a_loss_logs_comes_where_it_came(tmp_path, turns, manual, every):
    kept = []
    for chunk in (1, "auto"):
        folder = tmp_path / str(chunk)
        kept.append(
            run(folder, regression(manual, kind=Logs), line(chunk), log_every_n_steps=every)
        )
    assert max(turns) > 2
    assert same(*kept)
    one, many = ((tmp_path / name / "metrics.csv").read_text() for name in ("1", "auto"))
    assert one == many
    assert one.count("\n") > 6


class Listener(Callback):
    """Looks at each update: at one of the hooks of it."""

    def __init__(self, hook):
        self.seen = []
        setattr(self, hook, self.look)

    def look(self, trainer, pl_module, *_):
        self.seen.append((trainer.global_step, pl_module.bias.item()))


class OwnLosses(BatchLoss):
    """Ours, with something of its own after each batch."""

    def __init__(self):
        super().__init__()
        self.seen = 0

    def on_train_batch_end(self, *arguments):
        self.seen += 1
        super().on_train_batch_end(*arguments)


HOOKS = [
    "on_train_batch_start",
    "on_train_batch_end",
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
]


@pytest.mark.parametrize("manual", [False, True])
@pytest.mark.parametrize("hook", HOOKS)
def test_who_listens_within_an_update_is_heard(tmp_path, turns, hook, manual):
    one, many = Listener(hook), Listener(hook)
    run(tmp_path / "one", regression(manual), line(1), one)
    run(tmp_path / "many", regression(manual), line("auto"), many)
    assert one.seen == many.seen
    assert len(one.seen) == (0 if hook == "on_before_zero_grad" and manual else 36)
    assert not turns


def test_a_callback_made_of_ours_is_heard(tmp_path, turns):
    own = OwnLosses()
    run(tmp_path, regression(False), line("auto"), own)
    assert own.seen == 36
    assert not turns


def test_checkpoints_and_rates_of_each_step_are_kept(tmp_path):
    for name, chunk in (("one", 1), ("many", "auto")):
        keep = ModelCheckpoint(
            tmp_path / name / "kept", "{step}", every_n_train_steps=5, save_top_k=-1
        )
        watch = LearningRateMonitor("step")
        run(tmp_path / name, regression(False), line(chunk), keep, watch)
    one, many = (
        sorted(p.name for p in (tmp_path / n / "kept").glob("*.ckpt")) for n in ("one", "many")
    )
    assert one == many
    assert len(one) == 7
    tables = [(tmp_path / n / "metrics.csv").read_text() for n in ("one", "many")]
    assert tables[0] == tables[1]


def test_a_loss_that_is_not_finite_ends_the_run_where_it_would(tmp_path):
    kept = []
    for chunk in (1, "auto", 7):
        module = LinearRegression(None, lambda p: GradientDescent(p, lr=1e3))
        with pytest.raises(Exception, match="the loss at step") as error:
            run(tmp_path / str(chunk), module, line(chunk, 4000))
        rows = (tmp_path / str(chunk) / "batch_losses.csv").read_text()
        kept.append((str(error.value), rows, module.slope.tolist()))
    assert kept[0][:2] == kept[1][:2]
    assert kept[2][0].split(":")[0] == kept[0][0].split(":")[0]


class Slow(LinearRegression):
    """Takes its time, and is stopped at its 20th update."""

    stopped = 0.0

    def loss(self, batch):
        if self.trainer.training and self.global_step == 20 and not self.stopped:
            self.stopped = time.monotonic()
            signal.raise_signal(signal.SIGTERM)
        time.sleep(0.02)
        return super().loss(batch)


@pytest.mark.filterwarnings("ignore:.*callbacks used to create the checkpoint.*")
def test_a_signal_within_a_turn_is_answered_at_once_and_the_run_goes_on(tmp_path, turns):
    whole = run(tmp_path / "whole", regression(False), line(1, 4000), epochs=1)
    keep = ModelCheckpoint(tmp_path / "kept", "kept", save_on_exception=True)
    part = regression(False, kind=Slow)
    with pytest.raises(SIGTERMException):
        run(tmp_path / "part", part, line("auto", 4000), keep, epochs=1)
    assert time.monotonic() - part.stopped < 0.5
    assert max(turns) < 20  # of 0.02 s each: a turn ends after 0.2 s
    (kept,) = (tmp_path / "kept").glob("*.ckpt")
    rest = run(tmp_path / "rest", regression(False), line(7, 4000), epochs=1, ckpt=kept)
    assert rest[0].first_step == 21
    assert rest[0].losses == whole[0].losses[21:]
    assert equal(rest[1].rows[-1][1], whole[1].rows[-1][1])


@pytest.mark.parametrize(("first", "then"), [("auto", 7), (7, 1), (1, "auto"), (100, "auto")])
@pytest.mark.parametrize("manual", [False, True])
def test_a_run_that_was_stopped_within_an_epoch_goes_on_with_another_chunk(
    tmp_path, first, then, manual
):
    class StopAt(Callback):
        def on_validation_end(self, trainer, pl_module):
            if trainer.global_step == 17:
                trainer.save_checkpoint(tmp_path / "kept.ckpt")
                raise KeyError("here")

    flags = {"val_check_interval": 5}
    whole = run(tmp_path / "whole", regression(manual), line(1), **flags)
    with pytest.raises(KeyError):
        run(tmp_path / "part", regression(manual), line(first), StopAt(), **flags)
    kept = tmp_path / "kept.ckpt"
    rest = run(tmp_path / "rest", regression(manual), line(then), ckpt=kept, **flags)
    assert rest[0].losses == whole[0].losses[17:]
    assert equal(rest[1].rows[-1][1], whole[1].rows[-1][1])


def test_the_timer_and_the_best_parameters_are_told(tmp_path, turns):
    timer, best = AcceleratorTimer(warmup=12, steps=20), BestParameters()
    run(tmp_path, regression(False), line("auto"), timer, best)
    assert turns == [11, 12, 12]
    assert len(timer.step_seconds) == 20
    assert best.last["global_step"] == 36
