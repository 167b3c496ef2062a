"""LightningModules of others, trained with and without the instruments: the same, bit for bit.

Updates are counted from outside, by a hook on every optimizer's step; losses by a spy that asks the
module itself.
"""

import csv
import json
from pathlib import Path

import lightning_modules as people
import pytest
import torch
from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.callbacks import EMAWeightAveraging, StochasticWeightAveraging
from lightning.pytorch.demos.boring_classes import (
    BoringModel,
    DemoModel,
    ManualOptimBoringModel,
    RandomDataset,
)
from lightning.pytorch.utilities import CombinedLoader
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils.data import DataLoader, IterableDataset

from descentlab.callbacks import (
    AcceleratorTimer,
    BatchLoss,
    BestParameters,
    GraphExport,
    LearningCurves,
    Summary,
)
from descentlab.runs.logger import RunLogger

# Lightning's own, about loaders, logging and the sizes of batches
pytestmark = pytest.mark.filterwarnings("ignore")


def rows(number=20):
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(number, 3, generator=generator)
    return [(row, row.sum() + 1) for row in x]


def loader(shape=lambda x, y: (x, y), number=20):
    return DataLoader([shape(*row) for row in rows(number)], batch_size=4)


class Stream(IterableDataset):
    """Rows without a length."""

    def __iter__(self):
        return iter(rows())


def boring():
    return DataLoader(RandomDataset(32, 16), batch_size=4)


def case(module, train=loader, val=None, settings=None, callbacks=list):
    return module, train, val, settings or {}, callbacks


ACCUMULATED = {"accumulate_grad_batches": 3}
CASES = {
    "no validation": case(people.Plain),
    "validation": case(people.Validated, val=loader),
    "validation within an epoch": case(
        people.Validated, val=loader, settings={"val_check_interval": 2}
    ),
    "validation every other epoch": case(
        people.Validated, val=loader, settings={"check_val_every_n_epoch": 2}
    ),
    "several validation loaders": case(people.SeveralSets, val=lambda: [loader(), loader()]),
    "keys and metrics of others": case(people.LogsEverything, val=loader),
    "dict batches": case(
        people.DictBatches, lambda: loader(lambda x, y: {"x": x, "nested": {"y": y}})
    ),
    "named batches": case(people.NamedBatches, lambda: loader(people.Pair)),
    "several training loaders": case(
        people.SeveralTrainLoaders,
        lambda: CombinedLoader({"a": loader(), "b": loader(number=9)}, "max_size_cycle"),
    ),
    "no length": case(people.Plain, lambda: DataLoader(Stream(), batch_size=4)),
    "skipped batches": case(people.Skips),
    "shared": case(people.Tied),
    "frozen": case(people.Frozen),
    "lazy": case(people.Lazy),
    "complex": case(people.Complex),
    "sparse": case(people.Sparse),
    "norm and dropout": case(people.Normed, val=loader),
    "double": case(people.Double),
    "warm-up in optimizer_step": case(people.Warmup),
    "clips itself": case(people.ClipsItself),
    "clipped by the trainer": case(people.Plain, settings={"gradient_clip_val": 0.1}),
    "hooks": case(people.HooksOfItsOwn),
    "accumulation": case(people.Plain, settings=ACCUMULATED),
    "stopped by steps": case(people.Validated, val=loader, settings={"max_steps": 7}),
    "scheduler by step": case(people.StepScheduler),
    "plateau": case(people.Plateau, val=loader),
    "LBFGS": case(people.LBFGS),
    "manual": case(people.Manual),
    "manual LBFGS": case(people.ManualLBFGS),
    "manual accumulation": case(people.ManualAccumulation),
    "truncated time": case(people.TruncatedTime),
    "GAN": case(people.GAN),
    "averaged at the end": case(
        people.Plain, callbacks=lambda: [StochasticWeightAveraging(0.01, swa_epoch_start=1)]
    ),
    "averaged always": case(people.Validated, val=loader, callbacks=lambda: [EMAWeightAveraging()]),
    "Lightning's boring": case(BoringModel, boring, boring),
    "Lightning's manual": case(ManualOptimBoringModel, boring, boring),
    "Lightning's demo": case(lambda: DemoModel(4, 32), boring),
}
#: batches whose training step gives no loss, which have no row
WITHOUT_LOSS = {"manual accumulation", "GAN"}
#: training steps that make several updates and give one loss, which has one row
SEVERAL_UPDATES = {"truncated time"}


class Spy(Callback):
    """Note the loss that a batch has before its update, asked of the module itself."""

    def __init__(self):
        self.losses = []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if hasattr(pl_module, "error"):
            with torch.random.fork_rng(), torch.no_grad():
                self.losses.append(float(pl_module.error(batch)))


def fit(name, folder, instruments):
    make, train, val, settings, callbacks = CASES[name]
    seed_everything(11)
    module = make()
    logger = RunLogger(save_dir=folder) if instruments else False
    trainer = Trainer(
        **{"max_epochs": 3, "num_sanity_val_steps": 0} | settings,
        logger=logger,
        callbacks=[*callbacks(), *instruments],
        accelerator="cpu",
        default_root_dir=folder,
        enable_checkpointing=any(isinstance(each, BestParameters) for each in instruments),
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, train(), val() if val else None)
    return module, trainer


def instruments():
    kinds = (BatchLoss, LearningCurves, GraphExport, AcceleratorTimer, BestParameters, Summary)
    return [kind() for kind in kinds]


@pytest.mark.usefixtures("white_pictures")  # below they are drawn
@pytest.mark.parametrize("name", CASES)
def test_parameters_are_those_without_instruments_and_files_are_right(name, tmp_path):
    steps = []
    handle = register_optimizer_step_post_hook(lambda *_: steps.append(1))
    try:
        plain, _ = fit(name, tmp_path, [])
    finally:
        handle.remove()
    watched, trainer = fit(name, tmp_path, instruments())
    expected, found = plain.state_dict(), watched.state_dict()
    assert expected.keys() == found.keys()
    assert all(torch.equal(value, found[key]) for key, value in expected.items())
    assert_files(name, trainer, watched, len(steps))


def assert_files(name, trainer, module, updates):
    run = Path(trainer.loggers[0].log_dir)
    assert json.loads((run / "summary.json").read_text())["steps"] == updates
    last = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    state = module.state_dict()
    assert all(torch.equal(last["state_dict"][key], state[key]) for key in state)
    losses = rows_of(run / "batch_losses.csv")
    if name in WITHOUT_LOSS:
        assert losses == []
    elif name in SEVERAL_UPDATES:
        assert len(losses) == updates / 3
    else:
        skipped = {
            step for step in range(updates) if name == "skipped batches" and step % 5 % 3 == 1
        }
        expected = [step for step in range(updates) if step not in skipped]
        assert [step for step, _ in losses] == expected


def rows_of(path):
    with open(path) as file:
        return [(int(row["step"]), float(row["loss"])) for row in csv.DictReader(file)]


@pytest.mark.parametrize(
    "name",
    ["no validation", "dict batches", "shared", "complex", "LBFGS", "warm-up in optimizer_step"],
)
def test_the_losses_are_those_that_the_module_has_before_each_update(name, tmp_path):
    spy = Spy()
    _, trainer = fit(name, tmp_path, [spy, *instruments()])
    found = [loss for _, loss in rows_of(f"{trainer.loggers[0].log_dir}/batch_losses.csv")]
    assert found == pytest.approx(spy.losses, rel=1e-6)


class Meddles(Callback):
    """Draws a number, as an instrument must not."""

    def on_train_batch_start(self, *_):
        torch.rand(1)


def test_an_instrument_that_draws_is_seen(tmp_path):
    """Negative control."""
    plain, _ = fit("norm and dropout", tmp_path, [])
    watched, _ = fit("norm and dropout", tmp_path, [Meddles()])
    state = watched.state_dict()
    assert not all(torch.equal(value, state[key]) for key, value in plain.state_dict().items())
