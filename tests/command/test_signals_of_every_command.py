"""Ctrl-C, SIGTERM and SIGHUP in the midst of each command that is no LightningCLI's."""

import os
import signal
import sys

import pytest
from command_line import YOUR_DATA

from comparison.made import make_run
from descentlab.command.commands import OF_THEIR_OWN
from descentlab.command.going_on import SaveConfig
from forked import Forked

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no such signals here"),
]

#: the status and the word of each
ANSWERS = {
    signal.SIGINT: (130, "interrupted"),
    signal.SIGHUP: (143, "terminated"),
    signal.SIGTERM: (143, "terminated"),
}


class Strike:
    """What looks at the functions of a process that are called, and sends it a signal at one."""

    def __init__(self, number, place):
        self.number, self.place = int(number), place

    def __call__(self, frame, event, what):
        where = f"{frame.f_globals.get('__name__')}.{frame.f_code.co_name}"
        if event == "call" and where == f"descentlab.{self.place}":
            sys.setprofile(None)
            os.write(1, b"it came to it")
            os.kill(os.getpid(), self.number)


COURSE = """
from descentlab.handouts import Handout

ONE = Handout("O", "One")


@ONE.entry("1", "Quick")
def quick(row):
    row.figures("x", "1", 1)
"""

TWO = ("logs/line/version_0", "logs/line/version_1")
SGD = ("torch.optim.SGD", "--against", "torch.optim.SGD", "--lr", "0.1", "--steps", "3")
UNFINISHED = "{} before the command was finished"
#: the words of a command, one of its functions, and what is said of it
MIDSTS = (
    (("configs",), "__main__._first_comment", UNFINISHED),
    (("runs",), "comparison.listing._row", UNFINISHED),
    (("runs",), "runs.terminal.show", UNFINISHED),
    (("compare", *TWO), "comparison.differences.parting", UNFINISHED),
    (("compare", *TWO), "runs.files.write_whole", UNFINISHED),
    (("verify", *SGD), "verify.verification.compare", UNFINISHED),
    (("verify", *SGD, "--html", "page.html"), "verify.page.verification_page", UNFINISHED),
    (("reproduce", "course.py"), "handouts.course.load", UNFINISHED),
    (
        ("reproduce", "course.py"),
        "handouts.runner.run_entry",
        "{} after 0 of 1 entries: the report so far is reports/course/index.html",
    ),
    (("tensorboard", TWO[0]), "comparison.tensorboard._link", "{}: TensorBoard has ended"),
)


@pytest.fixture
def folder(tmp_path):
    """A folder with two runs and a course."""
    for run in TWO:
        make_run(tmp_path / run)
    (tmp_path / TWO[0] / "events.out.tfevents.0").touch()
    (tmp_path / "course.py").write_text(COURSE)
    return tmp_path


@pytest.mark.parametrize("number", ANSWERS)
@pytest.mark.parametrize(("words", "place", "says"), MIDSTS, ids=[each[1] for each in MIDSTS])
def test_a_signal_in_the_midst_of_a_command_is_one_sentence(folder, words, place, says, number):
    (folder / "temporary").mkdir()
    strike = Strike(number, place)
    process = Forked(words, folder, strike, TMPDIR=str(folder / "temporary"))
    try:
        out, err = process.communicate()
    finally:
        process.kill()
    status, word = ANSWERS[number]
    assert "it came to it" in out, err
    assert process.returncode == status, err
    assert "Traceback" not in err
    assert err.count("descentlab: error: ") == 1
    last = err.removesuffix("\n").split("\n")[-1]
    assert last.startswith(f"descentlab: error: {says.format(word)}")
    assert not list((folder / "temporary").glob("*"))
    assert not list(folder.rglob(".*.[0-9]*")), "a file was left half written"


@pytest.mark.parametrize("number", ANSWERS)
@pytest.mark.parametrize(
    "place",
    ["runs.logger._take_lock", "command.going_on.save_config", "modules.descent_module.measure"],
)
def test_a_fit_that_is_stopped_before_it_trains_leaves_no_folder(folder, place, number):
    logs = sorted((folder / "logs").rglob("*"))
    process = Forked(
        ("fit", "--config", "linear_regression/split.yaml"), folder, Strike(number, place)
    )
    try:
        out, err = process.communicate()
    finally:
        process.kill()
    status, word = ANSWERS[number]
    assert "it came to it" in out, err
    assert process.returncode == status, err
    assert err.endswith(f"descentlab: error: {word} before the command was finished\n")
    assert sorted((folder / "logs").rglob("*")) == logs


def test_so_does_one_that_is_interrupted_in_a_process_of_others(command, here, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(SaveConfig, "save_config", interrupted)
    outcome = command(*YOUR_DATA)
    assert outcome.message.endswith("before the command was finished")
    assert not (here / "logs").exists()


def test_every_command_is_here():
    assert {words[0] for words, _, _ in MIDSTS} == set(OF_THEIR_OWN)
