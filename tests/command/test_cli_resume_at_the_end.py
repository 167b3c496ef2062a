"""`fit --resume RUN` where nothing is left to train: what the end of a run writes is there."""

import os
import pickle
import shutil

import pytest
import torch
from command_line import digest
from lightning.pytorch import Trainer
from lightning.pytorch.utilities.exceptions import SIGTERMException
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from descentlab.__main__ import main
from descentlab.callbacks import BestParameters, FitPicture, GraphExport, LearningCurves, Summary
from descentlab.internals.lightning import end_in_any_case
from descentlab.sweeps import SweepResults
from soaks.artefacts import differences

RUN = "logs/x/version_0"
COMMON = (
    *("--data.source", "line", "--trainer.max_epochs", "3", "--progress", "null"),
    *("--trainer.logger.name", "x"),
)
LINE = ("fit", "--config", "linear_regression/split.yaml", *COMMON)
SWEEP = (
    *("fit", "--config", "linear_regression/lr_momentum_sweep.yaml", *COMMON),
    *("--model.grid", "{lr: [0.01, 0.1], momentum: [0.0, 0.9]}", "--model.members_at_once", "3"),
)

DRAW = {LearningCurves: "_draw", FitPicture: "_draw", GraphExport: "_paint"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folders of a run and of a sweep that were never stopped."""
    folders = {}
    with pytest.MonkeyPatch.context() as patch:
        for words in (LINE, SWEEP):
            folder = tmp_path_factory.mktemp("whole")
            patch.chdir(folder)
            assert main(list(words)) == 0
            folders[words] = folder / RUN
    return folders


def stopped_at(monkeypatch, kind, hook, error):
    """Have the first call of a hook end the run."""

    def stop(*_):
        raise error

    monkeypatch.setattr(kind, hook, stop)


@pytest.mark.parametrize(
    ("words", "kind", "hook"),
    [
        (LINE, Summary, "on_train_end"),
        (LINE, BestParameters, "on_train_end"),
        (LINE, LearningCurves, "on_fit_end"),
        (LINE, FitPicture, "on_fit_end"),
        (LINE, GraphExport, "on_fit_end"),
        (SWEEP, SweepResults, "on_train_end"),
        (SWEEP, BestParameters, "on_train_end"),
    ],
)
@pytest.mark.parametrize("error", [SIGTERMException, KeyboardInterrupt])
def test_a_run_that_was_stopped_at_its_end_is_brought_to_it(
    here, whole, monkeypatch, words, kind, hook, error
):
    with monkeypatch.context() as patch:
        stopped_at(patch, kind, hook, error)
        if kind in DRAW:  # nor does an exception draw them
            patch.setattr(kind, DRAW[kind], lambda *_: None)
        if kind is SweepResults:
            patch.setattr(kind, "on_exception", lambda *_: None)
        assert main(list(words)) in (130, 143)
    assert differences(here / RUN, whole[words])
    assert main(["fit", "--resume", RUN]) == 0
    assert differences(here / RUN, whole[words]) == []
    for path in whole[words].rglob("*.png"):
        place = path.relative_to(whole[words])
        assert (here / RUN / place).read_bytes() == path.read_bytes(), place


def test_ctrl_c_while_the_files_are_closed_is_one_sentence(here, whole, monkeypatch, capsys):
    closes = EventFileWriter.close

    def stop(writer):
        closes(writer)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(EventFileWriter, "close", stop)
        assert main(list(LINE)) in (130, 143)
    assert f"it goes on with: descentlab fit --resume {RUN}" in capsys.readouterr().err
    assert main(["fit", "--resume", RUN]) == 0
    assert differences(here / RUN, whole[LINE]) == []


def test_a_run_that_is_whole_says_so_and_stays_as_it_is(command, whole):
    for folder in whole.values():
        before = digest(folder)
        outcome = command("fit", "--resume", str(folder))
        assert outcome.status == 2
        assert f"nothing is left to train, and {folder} is whole: trainer." in outcome.message
        assert digest(folder) == before


def test_results_that_were_removed_are_written_again(here, command):
    assert command(*LINE).status == 0
    summary = here / RUN / "summary.json"
    before = summary.read_text()
    summary.unlink()
    assert command("fit", "--resume", RUN).status == 0
    assert before.partition('"seconds"')[0] == summary.read_text().partition('"seconds"')[0]


def test_what_ends_in_any_case_is_sent_to_other_processes():
    trainer = Trainer(logger=False, enable_checkpointing=False, accelerator="cpu")
    end_in_any_case(trainer)
    loop = pickle.loads(pickle.dumps(trainer)).fit_loop  # as `ddp_spawn` does
    assert loop.run.args == (loop,)


@pytest.mark.parametrize("words", [("fit", "--resume"), ("test", "--run")])
@pytest.mark.parametrize("name", ["split.pt", "report.html", "figures/fit.svg"])
def test_a_pipe_in_a_run_is_not_waited_for(here, command, whole, words, name):
    shutil.copytree(whole[LINE], here / RUN)
    assert command("test", "--run", RUN).status == 0  # the control: as it was
    (here / RUN / name).unlink()
    os.mkfifo(here / RUN / name)
    more = ("--trainer.max_epochs", "4") if words[0] == "fit" else ()
    outcome = command(*words, RUN, *more)
    assert outcome.status == 2
    assert outcome.message == (
        f"{RUN}/{name} is neither a file nor a folder: move it out of the run"
    )


def test_a_run_that_was_ended_early_is_at_its_end(here, command, tmp_path):
    stop = ("--trainer.callbacks", "EarlyStopping", "--trainer.callbacks.monitor", "loss/train")
    patience = ("--trainer.callbacks.min_delta", "1e9", "--trainer.callbacks.patience")
    words = (*LINE, *stop, *patience, "2", "--trainer.max_epochs", "9")
    assert command(*words).status == 0  # the first epoch, and two without a gain that counts
    expected = tmp_path / "expected"
    shutil.copytree(here / RUN, expected)
    outcome = command("fit", "--resume", RUN)
    assert outcome.status == 2
    assert "is whole: a callback, such as EarlyStopping, has ended it early" in outcome.message
    assert differences(here / RUN, expected) == []
    (here / RUN / "summary.json").unlink()  # what is written at the end alone
    assert command("fit", "--resume", RUN).status == 0
    assert differences(here / RUN, expected) == []
    assert command("fit", "--resume", RUN, *stop, *patience, "4").status == 0  # and two more
    last = torch.load(here / RUN / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["epoch"] == 4
