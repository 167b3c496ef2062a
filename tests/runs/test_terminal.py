"""What is printed: plain text through a pipe, colour on a terminal, few digits."""

import io
import os
import re
import subprocess
import sys

import pytest

from descentlab.runs.terminal import MOST, show, told_apart

COMPARED = """\
                     a/0       b/0
ended                finished  diverged at step 7
least training loss  1.0625    0.125 *"""
SWEEP = """\
member   lr    status  best_loss
     2  0.1  finished      3.515
     0    9  diverged          -
     1  0.2  finished      4.125

3 members in 0.3 s, 0 diverged: logs/x/version_0"""
GREEN, RED, BOLD, END = "\x1b[1;32m", "\x1b[1;31m", "\x1b[1m", "\x1b[0m"


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    """What a text looks like on a terminal."""

    def shown(text):
        monkeypatch.setattr(sys, "stdout", Terminal())
        show(text)
        return sys.stdout.getvalue()

    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("COLUMNS", "40")
    return shown


@pytest.mark.parametrize("text", [COMPARED, SWEEP])
def test_a_pipe_gets_the_text_and_nothing_else(text, capsys):
    show(text)
    assert capsys.readouterr().out == f"{text}\n"


@pytest.mark.parametrize("text", [COMPARED, SWEEP, "a " * 100, "[bold]no markup[/bold] :smile:"])
def test_a_terminal_gets_the_same_letters(terminal, text):
    assert re.sub(r"\x1b\[[\d;]*m", "", terminal(text)) == f"{text}\n"


def test_the_least_is_marked_and_what_diverged_is_flagged(terminal):
    shown = terminal(COMPARED)
    assert f"{GREEN}0.125 *{END}" in shown
    assert f"{RED}diverged at step 7{END}" in shown
    assert shown.count("\x1b") == 4  # the other values are as they were


def test_the_best_member_of_a_sweep_is_marked(terminal):
    lines = terminal(SWEEP).split("\n")
    assert lines[0] == f"{BOLD}member   lr    status  best_loss{END}"
    assert lines[1] == f"{GREEN}     2  0.1  finished      3.515{END}"
    assert lines[2] == f"     0    9  {RED}diverged{END}          -"
    assert lines[3:] == [*SWEEP.split("\n")[3:], ""]  # no member of none is accused


def test_colour_can_be_refused(terminal, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[1;3" not in terminal(COMPARED)


@pytest.mark.parametrize("code", ["import descentlab.comparison.listing"])
def test_rich_is_not_read_before_it_is_needed(code):
    check = f"import sys; {code}; sys.exit('rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_a_command_on_a_real_terminal(tmp_path):
    run = tmp_path / "logs/toy/wavy/version_0"
    run.mkdir(parents=True)
    (run / "config.yaml").write_text("trainer: {}\n")
    (run / "metrics.csv").write_text("epoch,step,loss/train\n0,1,0.25\n")
    ours, theirs = os.openpty()
    words = [sys.executable, "-m", "descentlab", "runs"]
    given = {**os.environ, "TERM": "xterm-256color"}
    given.pop("NO_COLOR", None)
    subprocess.run(words, cwd=tmp_path, stdout=theirs, env=given, check=True)
    os.close(theirs)
    shown = os.read(ours, 10000).decode()
    os.close(ours)
    assert f"{RED}unfinished{END}" in shown
    piped = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert "\x1b" not in piped
    assert re.sub(r"\x1b\[[\d;]*m", "", shown).replace("\r\n", "\n") == piped


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([4353.4131, 4355.3223], ["4353", "4355"]),
        ([13943.971, 4353.4131], ["13944", "4353"]),
        ([0.23788881, 0.23755461, -1.4410403], ["0.2379", "0.2376", "-1.441"]),
        ([1.0000001, 1.0000002], ["1.0000001", "1.0000002"]),
        ([0.5, 0.5], ["0.5", "0.5"]),
        ([149, 17], ["149", "17"]),
        ([123456, 123457], ["123456", "123457"]),
        ([1.5e9, 2.5e-7], ["1.5e+09", "2.5e-07"]),
        ([float("nan"), float("inf")], ["nan", "inf"]),
        ([], []),
    ],
)
def test_numbers_have_the_digits_that_tell_them_apart(values, shown):
    assert told_apart(values) == shown


def test_every_digit_that_is_shown_is_right():
    for exponent in range(-12, 13):
        value = 1.23456789 * 10.0**exponent
        (text,) = told_apart([value])
        assert float(text) == pytest.approx(value, rel=0.5e-3)
        apart = told_apart([value, value * (1 + 10.0 ** (1 - MOST))])
        assert len(set(apart)) == 2
