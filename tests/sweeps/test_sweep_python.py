"""A sweep from Python: a module, a callback and an evaluation, each added by its user."""

import csv
import json

import pytest
import torch
from lightning.pytorch import Trainer, seed_everything
from own_runs import Varied

from descentlab.callbacks import BestParameters
from descentlab.datamodules import Line, RegressionData
from descentlab.errors import UsageError
from descentlab.optimizers import GradientDescent
from descentlab.runs.folder import Run
from descentlab.runs.logger import RunLogger
from descentlab.sweeps import MemberEvaluation, Sweep, SweepResults, seeded

PARTS = ("numpy", "buffer", "norm")


def data():
    return RegressionData("line", line=Line(size=40), batch_size=10)


def swept(**flags):
    return Sweep(
        lambda: Varied(PARTS),
        lambda params: GradientDescent(params, 0.01),
        {"lr": [1e-3, 1e-2, 5e-2]},
        seeds=[5, 6],
        **flags,
    )


@pytest.fixture(params=["32-true", "64-true"])
def trained(request, tmp_path):
    """A sweep, its trainer, and the trainer's settings."""
    seed_everything(42, verbose=False)
    settings = {
        "accelerator": "cpu",
        "precision": request.param,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "log_every_n_steps": 1,
    }
    trainer = Trainer(
        max_epochs=2,
        logger=RunLogger(tmp_path, name="sweep"),
        callbacks=[SweepResults(), BestParameters()],
        enable_checkpointing=True,
        **settings,
    )
    sweep = swept(members_at_once=2)
    trainer.fit(sweep, datamodule=data())
    return sweep, trainer, settings


def test_results_are_written_and_members_are_measured_as_in_runs_of_their_own(trained):
    sweep, trainer, settings = trained
    run = Run.of(trainer)
    with (run.folder / "sweep.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["seed"] for row in rows] == ["5", "5", "5", "6", "6", "6"]
    other = Trainer(logger=False, enable_checkpointing=False, **settings)
    evaluation = MemberEvaluation("validate", swept().plan, swept().draw, data(), other)
    assert "best.loss/val" in evaluation.of_run(run)
    members = json.loads((run.folder / "validate.json").read_text())["members"]
    held_out = data()
    held_out.trainer = trainer
    held_out.setup("validate")
    (batch,) = held_out.val_dataloader()["val"]
    tolerance = 1e-12 if settings["precision"] == "64-true" else 1e-6
    for member, row in zip(members, rows, strict=True):
        assert member["last"]["loss/val"] == pytest.approx(float(row["last_val"]), rel=tolerance)
        assert member["best"]["loss/val"] == pytest.approx(float(row["best_loss"]), rel=tolerance)
    with seeded(6):
        own = Varied(PARTS).to(batch[0].dtype)
    (last,) = [group for group in sweep.results() if 5 in group["members"]]
    place = last["members"].index(5)
    for name, parameter in own.named_parameters():
        parameter.data = last["last"][name][place]
    assert members[5]["last"]["loss/val"] == pytest.approx(own.loss(batch).item(), rel=tolerance)
    own.mix.zero_()  # negative control: the buffer of another seed
    assert members[5]["last"]["loss/val"] != pytest.approx(own.loss(batch).item(), rel=1e-3)


def test_the_sweep_itself_is_not_measured(trained):
    sweep, _, settings = trained
    other = Trainer(logger=False, enable_checkpointing=False, **settings)
    for measure in (other.test, other.validate):
        with pytest.raises(UsageError, match="measured one by one"):
            measure(sweep, datamodule=data(), verbose=False)


def test_no_callback_is_attached_unasked(tmp_path):
    trainer = Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=RunLogger(tmp_path, name="sweep"),
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
        enable_checkpointing=False,
    )
    trainer.fit(swept(), datamodule=data())
    assert not list(tmp_path.rglob("sweep.csv"))


def test_what_is_drawn_inside_a_seed_leaves_no_trace():
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    first = torch.rand(1)
    with seeded(9):
        torch.rand(5)
    assert torch.equal(torch.cat([first, torch.rand(1)]), expected)
