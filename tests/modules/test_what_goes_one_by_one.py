"""The table of docs/performance.md: what has many updates in one turn, and what one by one."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.profilers import SimpleProfiler
from test_many_updates import HOOKS, Listener, equal
from torch.optim.lr_scheduler import ExponentialLR, LinearLR
from torch.utils.data import DataLoader, TensorDataset

from descentlab import callbacks as ours
from descentlab.datamodules import Line, RegressionData, Steps
from descentlab.internals.many_updates import Turn
from descentlab.modules import LinearRegression, ToyObjective, chunks
from descentlab.modules.one_by_one import why_one_by_one
from descentlab.objectives import CubicMinusSquare
from descentlab.optimizers import Adam, GradientDescent, Momentum
from descentlab.sweeps import Sweep

PAGE = Path(__file__).parents[2] / "docs" / "performance.md"


def momentum(parameters):
    return Momentum(parameters, lr=0.01)


class Ours(LinearRegression):
    """A loss of its own."""

    def loss(self, batch):
        return super().loss(batch) / 2


class OwnStep(Momentum):
    def step(self, closure=None):
        return super().step(closure)


class OwnOptimizer(torch.optim.SGD):
    pass


class OwnData(LinearRegression):
    def train_dataloader(self):
        x = torch.linspace(-1, 1, 40)[:, None]
        return DataLoader(TensorDataset(x, x[:, 0].cos()), batch_size=5)


class OwnSweep(Sweep):
    def training_step(self, batch, batch_idx):
        return super().training_step(batch, batch_idx)


class OwnTransfer(RegressionData):
    def on_after_batch_transfer(self, batch, dataloader_idx):
        return batch


class EachStep(LinearRegression):
    def configure_optimizers(self):
        optimizer = momentum(self.parameters())
        scheduler = {"scheduler": LinearLR(optimizer), "interval": "step"}
        return {"optimizer": optimizer, "lr_scheduler": scheduler}


class StabilityThatListens(ours.Stability):
    """One that has a hook of its own beside those of its base."""

    def on_before_backward(self, trainer, pl_module, loss):
        super().on_before_backward(trainer, pl_module, loss)


def overridden(name):
    """Return a module with a method that calls the one of its base, and does no more."""

    def own(self, *arguments, **named):
        return getattr(super(kind, self), name)(*arguments, **named)

    kind = type("Own", (LinearRegression,), {name: own})
    return kind


def hooked(module):
    module.bias.register_hook(lambda gradient: gradient)


def hooked_step(parameters):
    rule = momentum(parameters)
    rule.register_step_post_hook(lambda *_: None)
    return rule


def made_by(optimizer):
    return {"optimizer": optimizer}


def keeping(**when):
    return {"callbacks": lambda folder: [ModelCheckpoint(folder / "kept", save_top_k=-1, **when)]}


def one(make):
    return {"callbacks": lambda folder: [make()]}


def flag(name, value):
    return {"flags": {name: value}}


MODULE_HOOKS = ["training_step", "descend", "optimizer_step", "backward", *HOOKS]

#: the rows of the table, each with cases of it
TABLE = {
    "a rule of `descentlab.optimizers`, as it is written": [
        {},
        made_by(lambda p: Adam(p, lr=0.1)),
        made_by(lambda p: GradientDescent(p, lr=0.1)),
    ],
    "an optimizer of `torch.optim`": [
        made_by(lambda p: torch.optim.SGD(p, lr=0.01)),
        made_by(lambda p: torch.optim.AdamW(p, lr=0.01)),
    ],
    "`LBFGS`, which measures the loss anew within a step": [
        made_by(lambda p: torch.optim.LBFGS(p, lr=0.1))
    ],
    "an optimizer of your own, or with a `step` of its own": [
        made_by(lambda p: OwnOptimizer(p, lr=0.01)),
        made_by(lambda p: OwnStep(p, lr=0.01)),
    ],
    "a learning rate that is a tensor": [
        made_by(lambda p: Momentum(p, lr=torch.tensor(0.01))),
        made_by(lambda p: torch.optim.SGD(p, lr=torch.tensor(0.01))),
    ],
    "manual optimization": [{"manual": True}],
    "`loss` of your own": [{"kind": Ours}],
    "`training_step`, `descend`, `optimizer_step`, `backward` or a hook of an update of your own": [
        *({"kind": overridden(name)} for name in MODULE_HOOKS),
        {"kind": overridden("descend"), "manual": True},
        {"kind": overridden("on_after_batch_transfer")},
        {"data": OwnTransfer},
    ],
    "a hook on the optimizer's step, or on the gradient of a parameter": [
        made_by(hooked_step),
        {"change": hooked},
    ],
    "`BatchLoss`, `AcceleratorTimer`, `Progress`, `BestParameters`, `LearningCurves`": [
        one(getattr(ours, name)) for name in ("BatchLoss", "AcceleratorTimer", "BestParameters")
    ]
    + [
        {**one(ours.Progress), **flag("enable_progress_bar", True)},
        {"callbacks": lambda _: [ours.BatchLoss(), ours.LearningCurves()]},
    ],
    "`Stability`, `GradientAudit`, `GradientStatistics`, between the updates that they look at": [
        one(lambda: ours.Stability(every=4)),
        one(lambda: ours.GradientStatistics(every=4)),
        one(lambda: ours.GradientAudit(every=7)),
        {"callbacks": lambda _: [ours.Stability(every=3), ours.GradientAudit(every=5)]},
    ],
    "`Parity`, which is told of each step": [
        one(lambda: ours.Parity(lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9))),
        one(lambda: ours.Parity(lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9), every=100)),
    ],
    "these three at every update": [
        one(lambda: ours.GradientStatistics(every=1)),
        one(lambda: ours.Stability(every=1)),
        one(lambda: ours.GradientAudit(every=1)),
        one(lambda: StabilityThatListens(every=4)),
    ],
    "a callback that has a hook of an update or of a batch, Lightning's progress bars among them": [
        *(one(lambda hook=hook: Listener(hook)) for hook in HOOKS),
        {**one(TQDMProgressBar), **flag("enable_progress_bar", True)},
    ],
    "`ModelCheckpoint` at the end of epochs or of validations": [keeping()],
    "`ModelCheckpoint` every n steps, or by time": [
        keeping(every_n_train_steps=50),
        keeping(train_time_interval=timedelta(hours=1)),
    ],
    "`LearningRateMonitor`, `Timer` (`max_time`)": [
        one(LearningRateMonitor),
        flag("max_time", {"hours": 1}),
    ],
    "a scheduler that is stepped at the end of an epoch": [
        {"scheduler": lambda o: ExponentialLR(o, 0.9)}
    ],
    "`limit_train_batches`, `val_check_interval`, `max_steps`, `check_val_every_n_epoch`, "
    "`overfit_batches`": [
        flag("limit_train_batches", 5),
        flag("val_check_interval", 3),
        flag("max_steps", 9),
        flag("check_val_every_n_epoch", 2),
        flag("overfit_batches", 4),
    ],
    "`val_check_interval` by time": [flag("val_check_interval", "00:01:00:00")],
    "`accumulate_grad_batches`": [flag("accumulate_grad_batches", 2)],
    "`gradient_clip_val`": [flag("gradient_clip_val", 0.1)],
    "`precision`: 32-true, 64-true": [flag("precision", "32-true"), flag("precision", "64-true")],
    "`precision`: 16 bits, true or mixed": [
        flag("precision", "bf16-true"),
        flag("precision", "bf16-mixed"),
    ],
    "several processes": [{"processes": True}],
    "a profiler": [flag("profiler", SimpleProfiler())],
    "a `DataLoader`, or another loader of your own": [{"kind": OwnData, "data": None}],
    "a sweep, but for the first update of each epoch": [{"sweep": Sweep}],
    "a `training_step` of a sweep's own": [{"sweep": OwnSweep}],
    "gradients that add up (`zero_grad: false`)": [{"toy": True}],
}
MANY = {
    "a rule of `descentlab.optimizers`, as it is written",
    "an optimizer of `torch.optim`",
    "manual optimization",
    "`loss` of your own",
    "`BatchLoss`, `AcceleratorTimer`, `Progress`, `BestParameters`, `LearningCurves`",
    "`Stability`, `GradientAudit`, `GradientStatistics`, between the updates that they look at",
    "`Parity`, which is told of each step",
    "`ModelCheckpoint` at the end of epochs or of validations",
    "a sweep, but for the first update of each epoch",
    "a scheduler that is stepped at the end of an epoch",
    "`limit_train_batches`, `val_check_interval`, `max_steps`, `check_val_every_n_epoch`, "
    "`overfit_batches`",
    "`precision`: 32-true, 64-true",
}
ROWS = [
    pytest.param(row, case, id=f"{number}-{index}")
    for number, (row, cases) in enumerate(TABLE.items())
    for index, case in enumerate(cases)
]


def made(case, chunk):
    """Return the module and the data of a case."""
    if "toy" in case:
        start = [[0.2, 0.3], [0.6, 0.4]]
        return ToyObjective(CubicMinusSquare(), start, momentum, zero_grad=False), Steps(8, chunk)
    options = {"line": Line(size=300), "chunk": chunk}
    data = case.get("data", RegressionData)
    if "sweep" in case:
        grid = {"lr": [0.01, 0.1]}
        return case["sweep"](LinearRegression, Momentum, grid), RegressionData("line", **options)
    module = case.get("kind", LinearRegression)(
        1,
        case.get("optimizer", momentum),
        case.get("scheduler"),
        manual_optimization=case.get("manual", False),
    )
    case.get("change", lambda module: None)(module)
    return module, data and data("line", **options)


def fit(case, chunk, folder):
    torch.manual_seed(3)
    module, data = made(case, chunk)
    attached = case.get("callbacks", lambda folder: [])(folder)
    trainer = Trainer(
        **{
            "max_epochs": 2,
            "accelerator": "cpu",
            "logger": CSVLogger(folder, "", ""),
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "enable_checkpointing": any(hasattr(each, "best_model_path") for each in attached),
            "callbacks": attached,
            "log_every_n_steps": 1,
            **case.get("flags", {}),
        }
    )
    trainer.fit(module, datamodule=data)
    return [p.detach() for p in module.parameters()], trainer.global_step


@pytest.fixture
def turns(monkeypatch):
    """How many updates each turn had; none where batches went one by one."""
    counts = []
    end = Turn.end

    def counted(turn):
        counts.append(turn.made)
        end(turn)

    monkeypatch.setattr(Turn, "end", counted)
    return counts


@pytest.mark.filterwarnings(
    "ignore:You have overridden|.*overfit|.*[Bb]float16|.*workers|.*exists and is not empty"
)
@pytest.mark.filterwarnings("ignore:.*is larger than the number of|.*val_dataloader|.*bottleneck")
@pytest.mark.parametrize(("row", "case"), ROWS)
def test_each_row_of_the_table_is_so_and_changes_nothing(tmp_path, turns, monkeypatch, row, case):
    if "processes" in case:
        from descentlab.modules import one_by_one

        monkeypatch.setattr(one_by_one, "SingleDeviceStrategy", Callback)
    alone = fit(case, 1, tmp_path / "one")
    assert not turns
    assert equal(fit(case, "auto", tmp_path / "many"), alone)
    assert bool(turns) == (row in MANY)


def test_the_page_has_this_table():
    text = PAGE.read_text().partition("<!-- turns -->")[2].partition("<!-- end of turns -->")[0]
    rows = re.findall(r"^\| (.+) \| (many|one by one) \|$", text, re.MULTILINE)
    assert rows == [(row, "many" if row in MANY else "one by one") for row in TABLE]


class Listens(Callback):
    """Has a hook of an update in the first epoch, and none after it."""

    def on_train_start(self, trainer, pl_module):
        self.on_before_backward = lambda *_: None

    def on_train_epoch_end(self, trainer, pl_module):
        self.__dict__.pop("on_before_backward", None)


def test_it_is_asked_ever_more_seldom_and_many_are_made_again(tmp_path, turns, monkeypatch):
    asked = []

    def why(*arguments):
        asked.append(why_one_by_one(*arguments))
        return asked[-1]

    monkeypatch.setattr(chunks, "why_one_by_one", why)
    _, steps = fit({**one(Listens), **flag("max_epochs", 6)}, "auto", tmp_path)
    refusals = [reason for reason in asked if reason]
    assert set(refusals) == {"Listens has on_before_backward"}
    assert 2 < len(refusals) < steps / 6  # updates of the first epoch
    assert turns
