"""Every shipped config: its form, and a trial run of it."""

import importlib
import re

import pytest
import torch
import yaml
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.model_helpers import is_overridden

from descentlab.command.configs import FOLDER, shipped
from forked import Forked
from tolerances import FLOAT64

CONFIGS = shipped()
PARTS = [name for name in CONFIGS if name.startswith(("trainer/", "debug/"))]
EXPERIMENTS = [name for name in CONFIGS if name not in PARTS]
SPLIT = ("fit", "--config", "linear_regression/split.yaml")
DATA = {
    "linear_regression/your_data.yaml": ("--data.x_path", "X.pt", "--data.y_path", "y.pt"),
}


def test_all_of_them_are_here():
    files = {path for path in FOLDER.rglob("*") if path.suffix in (".yaml", ".yml")}
    assert files == set(CONFIGS.values())
    assert sorted(PARTS) == [
        *("debug/fast.yaml", "debug/overfit.yaml", "debug/profile.yaml"),
        *("trainer/cpu.yaml", "trainer/ddp.yaml", "trainer/gpu.yaml"),
    ]


@pytest.mark.parametrize("name", CONFIGS)
def test_its_form(name):
    text = CONFIGS[name].read_text(encoding="utf-8")
    lines = text.splitlines()
    assert text.endswith("\n")
    assert len(lines) < 25
    assert re.match(r"# \S.{15,}", lines[0]), "say first what it is"
    assert all(len(line) <= 100 for line in lines)
    assert not re.search(r"[:\[ ]\d+e-?\d", text), "write 1.0e-3: YAML takes 1e-3 for text"
    assert isinstance(yaml.safe_load(text), dict)


def test_the_form_of_numbers_is_looked_at():
    """Negative control for the pattern above."""
    assert re.search(r"[:\[ ]\d+e-?\d", "lr: 1e-3")
    assert not re.search(r"[:\[ ]\d+e-?\d", "lr: 1.0e-3")
    assert isinstance(yaml.safe_load("lr: 1e-3")["lr"], str)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_trial_run(command, here, name):
    path = yaml.safe_load(CONFIGS[name].read_text(encoding="utf-8"))["model"]["class_path"]
    module, _, kind = path.rpartition(".")
    model = getattr(importlib.import_module(module), kind)
    steps = {"fit": "training_step", "test": "test_step", "predict": "predict_step"}
    does = next(word for word, step in steps.items() if is_overridden(step, model, LightningModule))
    words = (does, "--config", name, "--config", "debug/fast.yaml", *DATA.get(name, ()))
    outcome = command(*words)
    assert outcome.status == 0, outcome.err
    if does == "fit":
        assert not (here / "logs").exists()  # a trial run writes nothing
    else:
        assert f"is not made for fit: use {does}" in command("fit", *words[1:]).message


@pytest.mark.parametrize("name", ["trainer/cpu.yaml", "debug/fast.yaml"])
def test_a_part_goes_with_an_experiment(command, here, name):
    words = ("--config", name, "--config", "debug/fast.yaml")
    assert command(*SPLIT, *words).status == 0


def test_overfit_goes_to_the_least_loss_of_one_batch(command, here):
    words = ("--config", "debug/overfit.yaml", "--model.optimizer.lr", "0.2")
    data = ("--data.x_path", "X.pt", "--data.y_path", "y.pt", "--data.batch_size", "8")
    assert command(*SPLIT, *words, *data, "--trainer.precision", "64-true").status == 0
    run = here / "logs/linear_regression/split/version_0"
    split = torch.load(run / "split.pt", weights_only=True)
    rows = split["train"][:8]
    x, y = torch.load("X.pt").double()[rows], torch.load("y.pt").double()[rows]
    matrix = torch.cat([x, torch.ones(8, 1, dtype=torch.float64)], 1)
    least = torch.linalg.lstsq(matrix, y).solution
    state = torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    assert float(state["slope"]) == pytest.approx(float(least[0]), abs=FLOAT64)
    assert float(state["bias"]) == pytest.approx(float(least[1]), abs=FLOAT64)


def test_profile_says_where_the_time_goes(here, command, caplog):
    caplog.set_level("INFO")
    outcome = command(*SPLIT, "--config", "debug/profile.yaml", "--trainer.max_epochs", "1")
    assert outcome.status == 0
    assert "optimizer_step" in caplog.text


def test_gpu_runs_or_says_that_there_is_none(command, here):
    outcome = command(*SPLIT, "--config", "trainer/gpu.yaml", "--config", "debug/fast.yaml")
    if torch.cuda.is_available():
        assert outcome.status == 0
    else:
        assert outcome.status == 2
        assert outcome.message.startswith("--trainer.accelerator gpu: there is none here")


@pytest.mark.slow
def test_two_processes_make_one_run(tmp_path):
    words = (*SPLIT, "--config", "trainer/ddp.yaml", "--trainer.max_epochs", "2")
    process = Forked(words, tmp_path)  # which starts the other one as a command of its own
    try:
        out, err = process.communicate(timeout=180)
    finally:
        process.kill()
    assert process.returncode == 0, err
    folder = tmp_path / "logs/linear_regression/split"
    assert [path.name for path in folder.iterdir()] == ["version_0"]
    assert out.count("least validation loss") == 1
    assert (folder / "version_0/summary.json").exists()
