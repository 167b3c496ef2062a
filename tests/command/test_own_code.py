"""Code of one's own: how a command that finds it is called again, and what is said of others."""

import os
import re
import sys
from pathlib import Path

import pytest
from command_line import RUN, YOUR_DATA

import descentlab
from descentlab.command.going_on import where
from descentlab.runs.folder import Run
from descentlab.runs.terminal import called

SCRIPT = Path(sys.executable).with_name("descentlab")
MODULE = str(Path(descentlab.__file__).with_name("__main__.py"))
QUIET = ("--figures", "none")
OWN = """
import torch
from lightning.pytorch import LightningModule

class TLion(torch.optim.SGD):
    pass

class Line(LightningModule):
    def __init__(self, start: float = 1.0):
        super().__init__()
        self.slope = torch.nn.Parameter(torch.tensor([start]))

    def training_step(self, batch, index):
        return self.slope.square().sum()

    def configure_optimizers(self):
        return TLion(self.parameters(), lr=0.1)

    def train_dataloader(self):
        return torch.utils.data.DataLoader(range(3))
"""
NOT_HERE = "call `python -m descentlab`"


@pytest.fixture
def own(here, monkeypatch):
    """A module `typed` in the working folder, which is looked in for modules."""
    (here / "typed.py").write_text(OWN)
    monkeypatch.syspath_prepend(here)
    yield here
    sys.modules.pop("typed", None)


@pytest.fixture
def called_by(monkeypatch):
    def call(*words):
        monkeypatch.setattr(sys, "orig_argv", list(words))
        monkeypatch.setattr(sys, "argv", [MODULE if "-m" in words else words[0]])

    return call


@pytest.mark.parametrize(
    ("words", "on_path", "shown"),
    [
        (("python", "-m", "descentlab", "fit"), True, "python -m descentlab"),
        ((".venv/bin/python", "-X", "dev", "-m", "descentlab"), False, None),
        (("my python", "-m", "descentlab"), True, "'my python' -m descentlab"),
        (("descentlab", "fit"), True, "descentlab"),
        (("train.py",), True, "descentlab"),
        (("descentlab", "fit"), False, os.path.relpath(SCRIPT)),
    ],
)
def test_a_command_is_called_again_as_it_was(words, on_path, shown, called_by, monkeypatch):
    called_by(*words)
    monkeypatch.setenv("PATH", str(SCRIPT.parent) if on_path else "/usr/bin")
    assert called() == (shown or ".venv/bin/python -m descentlab")


def test_what_a_run_names_at_its_end_is_called_as_the_run_was(command, here, called_by):
    called_by("python3", "-m", "descentlab")
    outcome = command(*YOUR_DATA, *QUIET)
    assert f"python3 -m descentlab test --run {RUN}\n" in outcome.out
    assert f"python3 -m descentlab tensorboard {RUN}\n" in outcome.out


def test_so_is_what_a_stopped_run_goes_on_with(finished, called_by, monkeypatch):
    monkeypatch.chdir(finished)
    called_by("python3", "-m", "descentlab")
    how = f"it goes on with: python3 -m descentlab fit --resume {RUN}"
    assert where(Run(Path(RUN))) == [RUN, how]


def test_so_is_what_a_sweep_names(command, here, called_by):
    called_by("python3", "-m", "descentlab")
    sweep = ("--config", "linear_regression/lr_sweep.yaml", "--trainer.max_epochs", "1")
    assert "to test them: python3 -m descentlab test --run" in command("fit", *sweep, *QUIET).out


def test_a_run_of_a_module_that_is_not_found_says_where_it_may_lie(command, own, monkeypatch):
    fit = ("fit", "--model", "typed.Line", *QUIET, "--trainer.max_epochs", "1")
    assert command(*fit).status == 0
    run = os.path.abspath("logs/Line/version_0")
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each != str(own)])
    for words in (("fit", "--resume", run), ("test", "--run", run)):
        sys.modules.pop("typed", None)
        message = command(*words).message
        assert message.startswith("--model typed.Line: typed lies in the working folder, where")
        assert NOT_HERE in message
        (own / "elsewhere").mkdir(exist_ok=True)
        monkeypatch.chdir(own / "elsewhere")
        message = command(*words).message
        assert message.startswith(f"--model typed.Line: there is no module typed: {NOT_HERE} in t")
        monkeypatch.chdir(own)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--model.optimizer", "typed.TLyon"), "typed has no TLyon; did you mean TLion?"),
        (("--model", "typed.Lime"), "typed has no Lime; did you mean Line?"),
        (("--model", "typed.Other"), "typed has no Other; it has TLion, Line"),
        (("--trainer.callbacks", "typed.Xyz"), "typed has no Xyz; it has TLion, Line"),
        (("--model.optimizer", "typed.sub.TLion"), "typed has no sub; it has TLion, Line"),
        (("--model.optimizer", "torch.optim.Adm"), "torch.optim has no Adm; did you mean Adam?"),
        (("--model.optimizer", "torch.optim.Xyz"), "there is no such optimizer; give one of torch"),
        (("--model.optimizer", "nowhere.X"), f"there is no module nowhere: {NOT_HERE} in the fol"),
        (("--model", "broken.Net"), "broken cannot be imported: there is no nonsuch: install it"),
        (("--model", "unfinished.Net"), "unfinished cannot be imported: invalid syntax (unfinish"),
    ],
)
def test_what_is_wrong_with_an_import_path_is_said(command, own, words, says):
    (own / "broken.py").write_text("import nonsuch\n")
    (own / "unfinished.py").write_text("def (:\n")
    message = command(*YOUR_DATA, *words).message
    assert message.startswith(f"{' '.join(words)}: {says}")


def test_so_it_is_in_python(own):
    says = "typed has no TLyon; did you mean TLion?"
    with pytest.raises(descentlab.UsageError, match=re.escape(says)):
        descentlab.fit("toy/wavy", optimizer="typed.TLyon")
