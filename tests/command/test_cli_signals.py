"""Runs that are stopped from outside, as real processes: what was finished is there and loads."""

import csv
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from command_line import digest

from descentlab.command.stop import Stop
from forked import Forked

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no such signals here"),
]
WORDS = (
    *("fit", "--config", "linear_regression/split.yaml", "--trainer.max_epochs", "1000000"),
    *("--trainer.precision", "64-true", "--best_parameters.every", "0.5"),
)
RUN = "logs/linear_regression/split/version_0"


NUMBERS = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)
#: the status and the word of each
ANSWERS = {
    signal.SIGINT: (130, "interrupted"),
    signal.SIGHUP: (143, "terminated"),
    signal.SIGTERM: (143, "terminated"),
}


#: takes signals as at a terminal, also where the tests run in the background, and runs a command
LISTENING = """
import os, signal, sys
for number in (signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_DFL)
os.execvp(sys.argv[1], sys.argv[1:])
"""


@pytest.fixture
def listening():
    """This process takes signals so, for one test."""
    before = [signal.getsignal(number) for number in NUMBERS]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    for number, handler in zip(NUMBERS, before, strict=True):
        signal.signal(number, handler)


@pytest.fixture
def start(tmp_path):
    """Start Python with a command, as at a terminal; it does not outlive the test.

    It is not measured: where Python starts a measurement, before the command, a Ctrl-C is lost.
    """
    running = []
    unmeasured = {k: value for k, value in os.environ.items() if not k.startswith("COVERAGE_")}

    def begin(*words, before=()):
        process = subprocess.Popen(
            [sys.executable, "-c", LISTENING, *before, sys.executable, "-m", "descentlab", *words],
            cwd=tmp_path,
            env={**unmeasured, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        return process

    yield begin
    for process in running:
        process.kill()
        process.communicate()


@pytest.fixture
def running(tmp_path):
    """A long run that has finished an epoch, and does not outlive the test."""
    process = Forked(WORDS, tmp_path)
    try:
        wait_for(process, tmp_path / RUN / "checkpoints/last.ckpt")
        yield process
    finally:
        process.kill()


def wait_for(process, path):
    deadline = time.monotonic() + 60
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("number", "status", "says"),
    [
        (signal.SIGINT, 130, f"interrupted: what was finished before is in {RUN}"),
        (signal.SIGTERM, 143, f"terminated: what was finished before is in {RUN}"),
        (signal.SIGHUP, 143, f"terminated: what was finished before is in {RUN}"),
    ],
)
def test_a_stopped_run_keeps_what_it_finished(running, tmp_path, number, status, says):
    checkpoints = tmp_path / RUN / "checkpoints"
    first = torch.load(checkpoints / "last.ckpt", weights_only=True)["epoch"]
    running.send_signal(number)
    out, err = running.communicate(timeout=60)
    assert running.returncode == status, err
    assert "Traceback" not in out + err
    how = f"it goes on with: descentlab fit --resume {RUN}"
    assert err.rstrip("\n").split("\n")[-1] == f"descentlab: error: {says}; {how}"
    assert err.count("descentlab: error") == 1

    last = torch.load(checkpoints / "last.ckpt", weights_only=True)
    best = torch.load(checkpoints / "best.ckpt", weights_only=True)
    kept = torch.load(checkpoints / "parameters.pt", weights_only=True)
    assert last["epoch"] >= first
    assert best["epoch"] <= last["epoch"]
    assert kept["epoch"].tolist() == list(range(last["epoch"] + 1))
    assert torch.equal(kept["slope"][-1], last["state_dict"]["slope"])
    with (tmp_path / RUN / "batch_losses.csv").open() as file:
        steps = [int(row["step"]) for row in csv.DictReader(file)]
    assert steps == list(range(len(steps)))
    assert last["global_step"] <= len(steps) <= last["global_step"] + 12  # the epoch begun


def test_what_was_stopped_goes_on_and_can_be_tested(running, tmp_path, monkeypatch, command):
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=60)
    before = digest(tmp_path / "logs")
    monkeypatch.chdir(tmp_path)
    last = torch.load(f"{RUN}/checkpoints/last.ckpt", weights_only=True)
    words = ("fit", "--config", f"{RUN}/config.yaml", "--ckpt_path", f"{RUN}/checkpoints/last.ckpt")
    epochs = str(last["epoch"] + 3)
    assert command(*words, "--trainer.max_epochs", epochs).status == 0
    assert before.items() <= digest(tmp_path / "logs").items()
    assert command("test", "--run", RUN).status == 0


def test_a_run_under_nohup_outlives_its_terminal(start, tmp_path):
    process = start(*WORDS, before=("nohup",))
    last = tmp_path / RUN / "checkpoints/last.ckpt"
    wait_for(process, last)
    process.send_signal(signal.SIGHUP)
    epoch = torch.load(last, weights_only=True)["epoch"]
    deadline = time.monotonic() + 30
    while torch.load(last, weights_only=True)["epoch"] == epoch:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 143


def wait_until_it_listens(process):
    """Wait for the handlers that a command sets first of all, the one of SIGHUP last."""
    state, deadline = Path(f"/proc/{process.pid}/status"), time.monotonic() + 60
    caught = re.compile(r"SigCgt:\s*([0-9a-f]+)")
    while not int(caught.search(state.read_text())[1], 16) >> (signal.SIGHUP - 1) & 1:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="handlers are seen in /proc")
@pytest.mark.parametrize("delay", [0, 1.5, 4.0])
@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_at_any_time_gives_one_message(start, number, delay):
    process = start(*WORDS)
    wait_until_it_listens(process)
    time.sleep(delay)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    status, says = ANSWERS[number]
    assert process.returncode == status, err
    assert "Traceback" not in out + err
    assert err.count(f"descentlab: error: {says}") == 1


@pytest.mark.usefixtures("listening")
def test_handlers_are_as_they_were_after_a_command():
    before = [signal.getsignal(number) for number in NUMBERS]
    with Stop().on_signals():
        assert signal.getsignal(signal.SIGHUP) is not before[1]
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # as Lightning leaves it
    assert [signal.getsignal(number) for number in NUMBERS] == before


def test_the_first_ctrl_c_waits_for_the_batch_and_the_second_does_not(monkeypatch, capfd):
    received = []
    stop = Stop()
    with monkeypatch.context() as patch:
        patch.setattr(signal, "getsignal", lambda _: received.append)  # Lightning listens
        patch.setattr(signal, "raise_signal", received.append)
        stop._interrupt(signal.SIGINT, None)
        assert received == [signal.SIGTERM]
        assert "press Ctrl-C again to stop at once" in capfd.readouterr().err
        with pytest.raises(KeyboardInterrupt):
            stop._interrupt(signal.SIGINT, None)


@pytest.mark.parametrize("training", [True, False])
def test_what_is_stopped_at_once_ends_without_a_word_of_others(monkeypatch, capfd, training):
    left, asked = [], []
    stop = Stop(ends_process=True)
    stop.places = lambda: ["logs/x", "it goes on with: y"]
    monkeypatch.setattr(os, "_exit", left.append)
    with monkeypatch.context() as patch:
        patch.setattr(signal, "getsignal", lambda _: asked.append if training else signal.SIG_DFL)
        patch.setattr(signal, "raise_signal", asked.append)
        if training:
            stop._interrupt(signal.SIGINT, None)
            assert asked == [signal.SIGTERM]
            assert "press Ctrl-C again" in capfd.readouterr().err
        with pytest.raises(KeyboardInterrupt):  # as the process goes on here
            stop._interrupt(signal.SIGINT, None)
    assert left == [130]
    said = "interrupted: what was finished before is in logs/x; it goes on with: y"
    assert capfd.readouterr().err == f"\ndescentlab: error: {said}\n"


DEAF = """
import signal, threading
from lightning.pytorch import Callback


class Deaf(Callback):
    def wait(self):
        open("waits", "w").close()
        while True:
            try:
                threading.Event().wait(60)
            except BaseException:
                print("it was raised within a library", flush=True)

    def on_train_batch_end(self, trainer, module, outputs, batch, index):
        if trainer.current_epoch == 2:
            self.wait()

    def on_fit_end(self, trainer, module):
        self.wait()

    def on_test_start(self, trainer, module):
        self.wait()
"""


IN_C = """
from datetime import timedelta
from lightning.pytorch import Callback
from torch.distributed import TCPStore


class Deaf(Callback):
    def on_fit_start(self, trainer, module):
        open("waits", "w").close()
        TCPStore("127.0.0.1", 0, 2, is_master=True, timeout=timedelta(seconds=60))
"""


def answer_of_the_deaf(tmp_path, words, number, times=1, deaf=DEAF):
    """Return the last line of a command that waits in a library when it gets a signal."""
    (tmp_path / "deaf.py").write_text(deaf)
    process = Forked((*words, "--trainer.callbacks+=deaf.Deaf"), tmp_path)
    try:
        wait_for(process, tmp_path / "waits")
        for _ in range(times):
            time.sleep(0.5)
            process.send_signal(number)
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == ANSWERS[number][0], err
    assert "within a library" not in out
    assert err.count("stopping after this batch; press Ctrl-C again") == times - 1
    assert "Traceback" not in out + err
    assert err.count("descentlab: error: ") == 1
    return err.rstrip("\n").split("\n")[-1].removeprefix("descentlab: error: ")


@pytest.mark.parametrize(
    ("epochs", "number", "times"),
    [
        ("1000000", signal.SIGINT, 2),
        *(("2", number, 1) for number in NUMBERS),
    ],
)
def test_a_signal_is_not_raised_within_a_library(tmp_path, epochs, number, times):
    """Which may be waiting for ever, and treats it as an error of its own."""
    words = (*WORDS, "--trainer.max_epochs", epochs)
    how = f"it goes on with: descentlab fit --resume {RUN}"
    says = f"{ANSWERS[number][1]}: what was finished before is in {RUN}; {how}"
    assert answer_of_the_deaf(tmp_path, words, number, times) == says


@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_ends_an_evaluation_at_once(tmp_path, monkeypatch, command, number):
    monkeypatch.chdir(tmp_path)
    assert command(*WORDS, "--trainer.max_epochs", "1").status == 0
    says = f"{ANSWERS[number][1]} before the command was finished"
    assert answer_of_the_deaf(tmp_path, ("test", "--run", RUN), number) == says


@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_is_heard_where_python_is_not(tmp_path, number):
    """As while another node is waited for: no handler is called within a library's own wait."""
    says = f"{ANSWERS[number][1]} before the command was finished"
    assert answer_of_the_deaf(tmp_path, WORDS, number, deaf=IN_C) == says


NOTING = """
import signal, sys

handlers, set_handler = {}, signal.signal

def noting(number, handler):
    handlers.setdefault(number, []).append(handler)
    return set_handler(number, handler)

signal.signal = noting
from descentlab.__main__ import main
sys.argv[0] = "descentlab"
print(main())
for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
    found = handlers[number]
    print(len(found) > 1, signal.default_int_handler in found or signal.SIG_DFL in found)
"""


@pytest.mark.parametrize(
    ("words", "more"),
    [("fit --config nowhere", True), ("reproduce nowhere.py", False), ("runs nowhere", False)],
)
def test_there_is_no_moment_at_which_a_signal_has_no_sentence(words, more):
    ended = subprocess.run(
        [sys.executable, "-c", LISTENING, sys.executable, "-c", NOTING, *words.split()],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stdout.split() == ["2", *(str(more), "False") * 3], ended.stderr


@pytest.mark.usefixtures("listening")
def test_ctrl_c_before_training_stops_at_once():
    stop = Stop()
    with stop.on_signals(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    assert stop.report(KeyboardInterrupt()) == 130


def test_a_command_outside_the_main_thread_leaves_signals_alone():
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def inside():
        with Stop().on_signals():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert seen == [before]
