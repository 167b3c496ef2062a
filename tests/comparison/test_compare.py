"""Runs side by side: to the last bit equal, or the first update at which they part."""

import hashlib
import json
import math
import re

import pytest
from made import LOSSES, make_run

from descentlab.__main__ import main
from descentlab.comparison.differences import config_differences, parting
from descentlab.runs.record import Record


@pytest.fixture
def logs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path / "logs" / "line"


def parted(logs, **other):
    first, second = make_run(logs / "version_0"), make_run(logs / "version_1", **other)
    return parting(Record(first), Record(second))


def test_equal_runs_are_bit_for_bit_equal(logs):
    found = parted(logs)
    assert found.equal
    assert found.step is None
    assert found.text == (
        "bit for bit equal: the losses of 5 updates and the parameters after 5 epochs"
    )


@pytest.mark.parametrize("place", [0, 1, 4])
def test_the_last_bit_of_a_loss_parts_them(logs, place):
    losses = list(LOSSES)
    losses[place] = math.nextafter(losses[place], 5)
    found = parted(logs, losses=losses)
    assert not found.equal
    assert found.step == place
    assert f"{LOSSES[place]} and {losses[place]}" in found.text
    assert (f"after {place} update" if place else "before any update") in found.text


@pytest.mark.parametrize("other", [math.nextafter(0, 1e-44) + 1e-44, -0.0])
def test_the_last_bit_of_a_parameter_parts_them(logs, other):
    parameters = [0.0, 0.0, 0.0, other, 0.0]
    first = make_run(logs / "version_0", parameters=[0.0] * 5)
    second = make_run(logs / "version_1", parameters=parameters)
    found = parting(Record(first), Record(second))
    assert found.text == "the losses of 5 updates are equal, but theta differs after epoch 3"
    assert not found.equal


def test_nan_equals_nan(logs):
    losses = (*LOSSES[:3], math.nan)
    first = make_run(logs / "version_0", losses=losses)
    second = make_run(logs / "version_1", losses=losses)
    assert parting(Record(first), Record(second)).equal
    assert Record(first).ended() == "diverged at step 3"


def test_a_longer_run_equals_as_far_as_both_go(logs):
    found = parted(logs, losses=(*LOSSES, 2.0))
    assert found.equal
    assert found.text.endswith("the parameters after 5 epochs; one went on, 6 updates in all")


def test_configs_differ_by_key():
    config = {"model": {"class_path": "A", "init_args": {"lr": 0.1, "on": True, "same": [1]}}}
    other = {"model": {"class_path": "B", "init_args": {"lr": 0.2, "same": [1]}}}
    other |= {"seed": 3, "off": None}
    assert config_differences([config, other]) == {
        "model": ["A", "B"],
        "model.lr": ["0.1", "0.2"],
        "model.on": ["true", "not set"],
        "seed": ["not set", "3"],
    }
    assert config_differences([config, config]) == {}


def test_what_was_changed_when_a_run_went_on_is_said(logs, capsys):
    first, run = make_run(logs / "version_0"), make_run(logs / "version_1", lr=0.3)
    for number, lr in (("1", "0.1"), ("2", "0.2")):
        text = (first / "config.yaml").read_text().replace("lr: 0.1", f"lr: {lr}")
        (run / f"config.{number}.yaml").write_text(text)
    assert main(["compare", "line/0", "line/1"]) == 0
    said = (
        "line/1 went on with model.optimizer.lr 0.2 (0.1 before), "
        "model.optimizer.lr 0.3 (0.2 before)"
    )
    assert f"\n{said}\nline/0 and line/1: bit for bit" in capsys.readouterr().out
    assert said in (logs.parents[1] / "comparison/line-0_and_line-1/compare.html").read_text()
    (run / "config.1.yaml").write_text("{")
    assert main(["compare", "line/0", "line/1"]) == 2
    assert "config.1.yaml is damaged: it is no YAML" in capsys.readouterr().err


def test_the_command_prints_and_writes_beside_the_runs(logs, capsys):
    make_run(logs / "version_0")
    other = make_run(logs / "version_1", losses=[4.0, 2.0, 1.0, 0.5, 0.25], lr=0.2)
    (other / "test.json").write_text(json.dumps({"last": {"loss": 0.75}}))
    before = files(logs)
    assert main(["compare", "line/0", "last", "--out", "side"]) == 0
    lines = [re.split(" {2,}", line.strip()) for line in capsys.readouterr().out.splitlines()]
    for row in (
        ["ended", "finished", "finished"],
        ["least training loss", "1.0625", "0.125 *"],
        ["at epoch", "4", "4"],
        ["test loss, last parameters", "0.75"],
        ["updates", "5", "5"],
        ["* least"],
        ["what differs in the configs", "line/0", "line/1"],
        ["model.optimizer.lr", "0.1", "0.2"],
        ["line/0 and line/1: they part after 1 update: the losses are then 3.0 and 2.0"],
    ):
        assert row in lines
    assert files(logs) == before
    page = (logs.parents[1] / "side" / "compare.html").read_text()
    assert "they part after 1 update" in page
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert '<th scope="col">line/1</th>' in page  # as wide as the others
    assert (logs.parents[1] / "side" / "compare.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("was", "other"),
    [
        ("class_path: a.Line\n", "class_path: a.Net\n"),
        ("  init_args:\n    optimizer", "  init_args:\n    objective: Booth\n    optimizer"),
        ("trainer:\n", "data:\n  class_path: a.Data\ntrainer:\n"),
        ("trainer:\n", "data:\n  class_path: null\n  init_args: {column: bmi}\ntrainer:\n"),
    ],
)
def test_losses_of_different_kinds_have_no_star(logs, capsys, was, other):
    make_run(logs / "version_0")
    config = make_run(logs / "version_1", losses=[4.0, 2.0]) / "config.yaml"
    words = ["compare", "line/0", "line/1"]
    assert main(words) == 0
    assert "1 *" in capsys.readouterr().out
    assert was in config.read_text()
    config.write_text(config.read_text().replace(was, other, 1))
    assert main(words) == 0
    assert "*" not in capsys.readouterr().out


def test_a_comparison_takes_the_place_of_none_but_its_own(logs, capsys):
    for number in range(40):
        make_run(logs / f"version_{number}")
    folder = logs.parents[1] / "comparison"
    for words, said in (
        (["line/0", "line/1"], "line-0_and_line-1/compare.html"),
        (["line/0", "line/2"], "line-0_and_line-2/compare.html"),
        (["line/0", "last"], "line-0_and_line-39/compare.html"),
        (["line/0", "line/1"], "line-0_and_line-1/compare.html, in place of an earlier one"),
    ):
        assert main(["compare", *words]) == 0
        assert capsys.readouterr().out.endswith(f"written to comparison/{said}\n")
    assert len(list(folder.rglob("compare.html"))) == 3
    assert main(["compare", *(f"line/{number}" for number in range(40))]) == 0
    assert len(list(folder.rglob("compare.html"))) == 4


def files(folder):
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["line/0"], "compare line/0: give two runs or more"),
        (["line/0", "nowhere"], "nowhere is no run: give one that `descentlab runs` lists"),
        (
            ["line/0", "logs/line/version_0"],
            "line/0 is logs/line/version_0, which is given too: give another run",
        ),
        (["last", "line/4"], "last is line/4, which is given too: give another run"),
        (["line/0", "line/0"], "line/0 is given twice: give another run"),
        (["line/0", "line/1"], "line/1 is a sweep, whose figures compare its members: give runs"),
        (
            ["line/0", "line/2"],
            "line/2: the run wrote no loss: it ended before its first epoch did",
        ),
        (
            ["line/0", "line/3", "--out", "logs/line/version_3/x"],
            "--out logs/line/version_3/x is inside a run that is compared: give another folder",
        ),
        (["line/0", "line/4"], "logs/line/version_4/batch_losses.csv is damaged: it holds no such"),
        ([], "the following arguments are required: RUN: see `descentlab compare --help`"),
    ],
)
def test_what_cannot_be_compared_is_said_in_one_sentence(logs, capsys, words, message):
    for number in (0, 1, 2, 3, 4):
        make_run(logs / f"version_{number}", losses=LOSSES if number != 2 else [4.0])
    (logs / "version_1" / "sweep.csv").write_text("member\n")
    for name in ("batch_losses.csv", "metrics.csv"):
        (logs / "version_2" / name).unlink()
    (logs / "version_4" / "batch_losses.csv").write_text("epoch,step,loss\n0,zero,1\n")
    before = files(logs)
    assert main(["compare", *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"descentlab: error: {message}")
    assert error.count("\n") == 1
    assert files(logs) == before
    assert not (logs.parents[1] / "comparison").exists()
