"""The functions of Python: what the command writes, in a process that stays as it was."""

import json
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import warnings

import matplotlib
import numpy as np
import pandas as pd
import pytest
import torch
from lightning.pytorch import Callback
from matplotlib.figure import Figure
from matplotlib.image import imread
from process_state import changed, differing_files, state

import descentlab
from descentlab.__main__ import main
from descentlab.api.run import FittedRun
from descentlab.drawing.figure import pixels
from descentlab.optimizers import GradientDescent

WAVY = ("--config", "toy/wavy", "--model.start", "-5")
LR = ("--model.optimizer.lr", "0.07")
SHORT = ("--trainer.max_epochs", "6")


class MyDescent(GradientDescent):
    """An optimizer of a notebook."""


class Interrupting(Callback):
    """Ctrl-C within the third update."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == 2:
            signal.raise_signal(signal.SIGINT)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A folder in which two runs were made; tests copy it."""
    folder, before = tmp_path_factory.mktemp("pair"), os.getcwd()
    os.chdir(folder)
    try:
        for rate in (0.05, 0.06):
            descentlab.fit("toy/wavy", max_epochs=3, lr=rate)
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def runs(pair, here):
    """The same two runs, in the working folder."""
    shutil.copytree(pair / "logs", here / "logs")
    return descentlab.load("toy/wavy/0"), descentlab.load("toy/wavy/1")


@pytest.fixture
def unlike_a_new_process(monkeypatch):
    """Settings of a user's own, none of which is that of a new process."""
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(random.SystemRandom().getrandbits(32))
    monkeypatch.setenv("PL_GLOBAL_SEED", "17")
    with matplotlib.rc_context({"axes.grid": True, "figure.facecolor": "0.5"}):
        yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "call"),
    [
        (
            (*WAVY, *SHORT, "--model.optimizer.lr", "0.07"),
            lambda: descentlab.fit("toy/wavy", lr=0.07, start=-5, max_epochs=6),
        ),
        (
            ("--config", "linear_regression/split", *SHORT),
            lambda: descentlab.fit("linear_regression/split", max_epochs=6),
        ),
        (
            ("--config", "linear_regression/momentum_sweep", *SHORT),
            lambda: descentlab.fit("linear_regression/momentum_sweep", max_epochs=6),
        ),
    ],
    ids=["toy", "regression", "sweep"],
)
def test_a_run_is_that_of_the_command_bit_for_bit(words, call, here, unlike_a_new_process, capfd):
    run = call()
    assert capfd.readouterr() == ("", "")
    torch.set_default_dtype(torch.float32)
    with matplotlib.rc_context():
        matplotlib.rc_file_defaults()
        assert main(["fit", *words]) == 0
    other = run.folder.with_name("version_1")
    assert differing_files(run.folder, other) == set()
    assert len(list(run.folder.rglob("*.png"))) > 1 or run.frame.shape[0] > 1
    measured = run.test()
    assert main(["test", "--run", str(other)]) == 0
    ours, theirs = (json.loads((each / "test.json").read_text()) for each in (run.folder, other))
    assert ours == theirs
    if "members" in ours:
        assert run.frame.index.tolist() == measured.index.tolist() == [0, 1, 2, 3]
    if "last" in ours:
        assert measured["last"]["loss"] == ours["last"]["loss"]


def test_files_that_are_not_alike_are_seen(runs, here):
    run, other = runs
    found = differing_files(run.folder, other.folder)
    assert {"config.yaml", "batch_losses.csv", "checkpoints/last.ckpt"} <= found
    again = shutil.copytree(run.folder, here / "again")
    assert differing_files(run.folder, again) == set()
    (again / "figures/epoch_losses.svg").unlink()
    assert differing_files(run.folder, again) == {"figures/epoch_losses.svg"}


STOPPING = "\nstopping after this batch; press Ctrl-C again to stop at once\n"


def refused():
    with pytest.raises(descentlab.UsageError):
        descentlab.fit("toy/wavy", lr="fast")


def interrupted():
    with pytest.raises(KeyboardInterrupt, match=r"finished before is in logs/toy/wavy/version_\d"):
        descentlab.fit("toy/wavy", callbacks=[Interrupting])


CALLS = {
    "fit": lambda: descentlab.fit("toy/wavy", max_epochs=2, deterministic=True),
    "benchmark": lambda: descentlab.fit("toy/wavy", max_epochs=2, benchmark=True),
    "load": lambda: descentlab.load("last"),
    "test": lambda: descentlab.load("last").test(),
    "plot": lambda: [descentlab.load("last").plot(n) for n in (None, "batch_losses")],
    "compare": lambda: descentlab.compare("toy/wavy/0", "toy/wavy/1").plot(),
    "refused": refused,
    "interrupted": interrupted,
}


@pytest.mark.parametrize("name", CALLS)
def test_the_process_stays_as_it_was(name, runs, unlike_a_new_process, capfd):
    before = state()
    CALLS[name]()
    assert changed(before, state()) == []
    assert capfd.readouterr() == ("", STOPPING * (name == "interrupted"))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("python", random.random),
        ("numpy", np.random.rand),
        ("torch", lambda: torch.rand(1)),
        ("dtype", lambda: torch.set_default_dtype(torch.float32)),
        ("deterministic", lambda: torch.use_deterministic_algorithms(True)),
        ("warnings", lambda: warnings.simplefilter("ignore")),
        ("loggers", lambda: logging.getLogger("lightning.pytorch").setLevel(7)),
        ("signals", lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN)),
        ("matplotlib", lambda: matplotlib.rcParams.update({"lines.linewidth": 7})),
        ("folder", lambda: os.chdir("..")),
        ("environment", lambda: os.environ.update(DESCENTLAB_TEST="1")),
    ],
)
def test_what_a_call_would_leave_changed_is_seen(name, change, here, unlike_a_new_process):
    level = logging.getLogger("lightning.pytorch").level
    handler = signal.getsignal(signal.SIGTERM)
    with warnings.catch_warnings():
        before = state()
        change()
        assert changed(before, state()) == [name]
    logging.getLogger("lightning.pytorch").setLevel(level)
    signal.signal(signal.SIGTERM, handler)
    torch.use_deterministic_algorithms(False)
    os.environ.pop("DESCENTLAB_TEST", None)


def test_frames_have_each_number_to_its_last_bit(here):
    run = descentlab.fit("linear_regression/split", max_epochs=3)
    lines = (run.folder / "batch_losses.csv").read_text().splitlines()[1:]
    assert [repr(loss) for loss in run.updates["loss"]] == [line.split(",")[2] for line in lines]
    assert run.updates.index.tolist() == [int(line.split(",")[1]) for line in lines]
    assert run.frame.index.tolist() == [pd.NA, 0, 1, 2]
    assert (run.frame.index.name, run.updates.index.name) == ("epoch", "step")
    assert run.frame.loc[2, "loss/train"] == run.summary["last"]["train"]
    least = run.summary["least"]["val"]
    assert run.frame.loc[least["epoch"], "loss/val"] == least["loss"]
    assert set(run.test(epoch=1)) == {"last", "best", "epoch 1"}
    assert repr(descentlab.load("last")) == repr(run)
    assert f"{run.summary['least']['val']['loss']:.6g}" in repr(run)


def test_a_figure_is_that_of_the_run_and_shows_itself(here):
    run = descentlab.fit("linear_regression/split", max_epochs=3, trajectory="Trajectory")
    for name in ("trajectory", "fit"):
        figure = run.plot(name)
        assert isinstance(figure, Figure)
        drawn = (imread(run.folder / f"figures/{name}.png") * 255).round()[..., :3]
        assert np.abs(pixels(figure).astype(float)[..., :3] - drawn).max() <= 1, name
        assert figure._repr_png_().startswith(b"\x89PNG")
    curves = run.plot("epoch_losses").axes[0].get_lines()
    assert curves[0].get_ydata().tolist() == run.frame["loss/train"].tolist()
    losses = run.plot("batch_losses").axes[0].get_lines()[0].get_ydata()
    assert losses.tolist() == run.updates["loss"].tolist()
    assert run.plot().axes[0].get_title() == run.plot("trajectory").axes[0].get_title()
    with pytest.raises(descentlab.UsageError, match="has no figure losses: it has batch_losses"):
        run.plot("losses")


def test_runs_are_compared_as_by_the_command(here, runs, capsys):
    run, other = runs
    found = descentlab.compare(run, other, out="ours")
    assert main(["compare", str(run.place), str(other.place), "--out", "theirs"]) == 0
    assert capsys.readouterr().out.startswith(repr(found))
    for name in ("compare.html", "compare.png"):
        ours, theirs = ((here / each / name).read_bytes() for each in ("ours", "theirs"))
        assert ours == theirs, name
    assert "they part after 1 update" in repr(found)
    with pytest.raises(descentlab.UsageError, match="give two runs or more"):
        descentlab.compare(run)


def test_a_class_and_a_run_stand_for_their_names(here):
    without = {"learning_curves": None, "graph_export": None}
    run = descentlab.fit("toy/wavy", max_epochs=2, optimizer=MyDescent, lr=0.1, **without)
    path = run.config["model"]["init_args"]["optimizer"]["class_path"]
    assert path == f"{MyDescent.__module__}.MyDescent"
    again = descentlab.fit(resume=run, max_epochs=5)
    assert again.folder == run.folder
    assert again.summary["steps"] == 5


def test_the_package_is_imported_without_torch():
    code = "import sys, descentlab; assert 'fit' in dir(descentlab); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("False\n", "")
    with pytest.raises(AttributeError, match="module 'descentlab' has no attribute 'fits'"):
        _ = descentlab.fits


def test_the_rows_that_a_module_logs_one_after_another_are_one_of_an_epoch(tmp_path):
    table = tmp_path / "metrics.csv"
    table.write_text("epoch,loss/train,loss/val,step\n0,,2.5,7\n0,3.0,,7\n1,,2.0,11\n1,,1.5,15\n")
    frame = FittedRun(tmp_path).frame
    assert frame.index.tolist() == [0, 1, 1]
    assert frame["loss/val"].tolist() == [2.5, 2.0, 1.5]
    assert frame["loss/train"].isna().tolist() == [False, True, True]
    assert frame["loss/train"].iloc[0] == 3.0
