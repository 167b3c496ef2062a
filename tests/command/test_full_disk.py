"""A disk that is full, and folders that are removed in mid-run: one sentence, and status 1."""

import errno
import os
import shutil
from pathlib import Path

import pytest
from command_line import RUN, YOUR_DATA
from tensorboard.compat.tensorflow_stub.io.gfile import GFile

from descentlab.callbacks import report
from descentlab.command.exception_messages import of_the_disk
from descentlab.datamodules import regression_data
from descentlab.modules import LinearRegression
from descentlab.runs import folder

QUIET = ("--graph_export", "null", "--learning_curves", "null")
HOW = f"it goes on with: descentlab fit --resume {RUN}"


def full(name):
    """Return what writes nothing more to a file of a name, which has no room."""

    def write(path, content):
        if path.name == name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    return write


@pytest.mark.parametrize(
    ("module", "name"),
    [(folder, "graphs/loss.png"), (folder, "figures/fit.svg"), (report, "report.html")],
)
def test_a_disk_that_fills_while_it_is_drawn_is_named(command, here, monkeypatch, module, name):
    with monkeypatch.context() as patch:
        patch.setattr(module, "write_whole", full(Path(name).name))
        outcome = command(*YOUR_DATA)
    assert outcome.status == 1
    says = f"{RUN}/{name}: No space left on device; {HOW}; what was finished before is in {RUN}"
    assert outcome.message == says
    assert "Warning" not in outcome.err
    assert not (here / RUN / name).exists()
    assert command("fit", "--resume", RUN).status == 0
    assert (here / RUN / name).exists()
    assert command("fit", "--resume", RUN).status == 2  # it is whole


@pytest.mark.parametrize(
    ("words", "kept"),
    [("test", "test.json"), ("validate", "validate.json"), ("predict", "predictions.csv")],
)
def test_what_an_evaluation_cannot_write_is_named(command, here, words, kept):
    assert command(*YOUR_DATA, *QUIET).status == 0
    (here / RUN / "report.html").unlink()
    (here / RUN / "report.html").mkdir()
    outcome = command(words, "--run", RUN)
    page = f"{RUN}/report.html"
    rest = f"the results are kept, and {page} is as it was: mend that, and do it again"
    assert (outcome.status, outcome.message) == (1, f"{page}: Is a directory: {rest}")
    assert kept in outcome.out
    assert "Warning" not in outcome.err
    assert (here / RUN / kept).is_file()
    (here / RUN / kept).unlink()
    (here / RUN / kept).mkdir()
    outcome = command(words, "--run", RUN)
    assert outcome.status == 1
    assert outcome.message.startswith(f"{RUN}/{kept}: Is a directory: what was measured is not")


@pytest.mark.parametrize("kept", ["test.json", "sweep_test.csv"])
def test_what_the_evaluation_of_a_sweep_cannot_write_is_named(command, here, kept):
    sweep = ("fit", "--config", "linear_regression/lr_sweep.yaml", "--trainer.max_epochs", "2")
    assert command(*sweep, "--figures", "none").status == 0
    run = "logs/linear_regression/lr_sweep/version_0"
    (here / run / kept).mkdir()
    outcome = command("test", "--run", run)
    assert outcome.status == 1
    assert outcome.message.startswith(f"{run}/{kept}: Is a directory: what was measured is not")


def test_what_the_page_of_a_test_is_made_from_is_named(command, here):
    assert command(*YOUR_DATA, *QUIET).status == 0
    (here / RUN / "summary.json").write_text("{")
    outcome = command("test", "--run", RUN)
    assert outcome.status == 1
    assert f"{RUN}/summary.json is damaged: it is no JSON: the results are kept" in outcome.message
    assert "Warning" not in outcome.err


def test_a_full_disk_has_no_traceback_of_the_thread_that_writes(command, here, monkeypatch):
    def write(file, content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(GFile, "write", write)
    outcome = command(*YOUR_DATA)
    assert outcome.status == 1
    assert "Traceback" not in outcome.err
    assert outcome.message == f"{RUN}: No space left on device"


def test_a_checkpoint_is_not_blamed_for_a_full_disk(command, here, monkeypatch):
    assert command(*YOUR_DATA).status == 0

    def save(content, path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(regression_data, "save_atomically", save)
    outcome = command("fit", "--resume", RUN, "--trainer.max_epochs", "4")
    assert outcome.status == 1
    assert outcome.message == f"{RUN}/split.pt: No space left on device"


def test_an_error_without_a_file_is_told_from_a_full_disk():
    assert of_the_disk(FileNotFoundError(errno.ENOENT, "gone", b"logs/x")) == "logs/x: gone"
    assert of_the_disk(OSError(errno.ENOSPC, "full")) == "full"
    assert "--traceback" in of_the_disk(OSError(errno.EBADF, "closed"))


def removing(monkeypatch, path):
    """Have a folder removed at the end of each epoch."""
    monkeypatch.setattr(LinearRegression, "on_train_epoch_end", lambda _: shutil.rmtree(path))


def test_checkpoints_that_are_removed_in_mid_run_are_written_anew(command, here, monkeypatch):
    removing(monkeypatch, here / RUN / "checkpoints")
    assert command(*YOUR_DATA, "--best_parameters.every", "0").status == 0
    kept = {path.name for path in (here / RUN / "checkpoints").iterdir()}
    assert kept == {"best.ckpt", "last.ckpt", "parameters.pt"}


def test_a_run_that_is_removed_in_mid_run_is_named(command, here, monkeypatch):
    removing(monkeypatch, here / "logs")
    outcome = command(*YOUR_DATA, "--best_parameters.every", "0")
    assert outcome.status == 1
    assert "Traceback" not in outcome.err
    assert "Warning" not in outcome.err
    assert f"{RUN}/" in outcome.message
    assert outcome.message.endswith(": No such file or directory")
