"""The list of runs, and the names by which commands take them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from made import cut, make_run

from descentlab.__main__ import main
from descentlab.command.imports import run_folders
from descentlab.command.words import expand, in_one_line
from descentlab.runs.names import folder_of, runs_below, short_name
from descentlab.runs.record import Record


@pytest.fixture
def logs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Path("logs")


def begun_at(run, seconds):
    os.utime(run / "config.yaml", (seconds, seconds))
    return run


def test_the_list_tells_what_was_changed_and_how_it_ended(logs, capsys):
    begun_at(make_run(logs / "line" / "version_0"), 1)
    words = "fit --config line.yaml --model.lr=0.3 --config trainer/gpu --trainer.max_epochs 9"
    changed = begun_at(make_run(logs / "line" / "version_1", command=words), 3)
    sweep = begun_at(make_run(logs / "grid" / "version_0", command="fit -c my/other.yaml"), 2)
    (sweep / "sweep.csv").write_text("member\n")
    (sweep / "summary.json").write_text(
        json.dumps({"members": 4, "diverged": 1, "best": {"best_loss": 0.5}})
    )
    (changed / "summary.json").unlink()
    cut(changed / "metrics.csv", 4)
    assert main(["runs"]) == 0
    lines = [line.split("  ") for line in capsys.readouterr().out.splitlines()]
    found = [[cell.strip() for cell in line if cell] for line in lines]
    assert [(line[0], *line[2:]) for line in found] == [
        ("run", "changed", "ended", "best loss"),
        ("line/0", "-", "finished", "1.0625 *"),
        ("grid/0", "config=my/other.yaml", "4 members, 1 diverged", "0.5"),
        (
            "line/1",
            "model.lr=0.3, config=trainer/gpu, trainer.max_epochs=9",
            "unfinished, 2 epochs",
            "2.5",
        ),
        ("* least of its experiment",),
    ]


def test_a_run_that_went_on_shows_what_was_changed_last(logs):
    run = make_run(logs / "line" / "version_0", command="fit --resume last --trainer.max_epochs 9")
    first = make_run(
        logs / "line" / "version_1", command="fit --config line --a 1 --trainer.max_epochs 5"
    )
    shutil.copy(first / "config.yaml", run / "config.1.yaml")
    assert Record(run).changed() == {"a": "1", "trainer.max_epochs": "9"}


def test_a_damaged_run_hides_no_other(logs, capsys):
    make_run(logs / "line" / "version_0")
    (make_run(logs / "line" / "version_1") / "summary.json").write_text("{")
    assert main(["runs", "logs"]) == 0
    out = capsys.readouterr().out
    assert "line/0" in out
    assert "summary.json is damaged" in out


def test_a_folder_below_logs_is_named_without_them(logs, capsys):
    make_run(logs / "line" / "version_0")
    make_run(logs / "other" / "version_0")
    assert main(["runs", "line"]) == 0
    out = capsys.readouterr().out
    assert "line/0" in out
    assert "other/0" not in out


def test_a_folder_without_runs(logs, capsys):
    assert main(["runs"]) == 0
    assert capsys.readouterr().out.startswith("there are no runs in logs: ")
    Path("a.csv").touch()
    for place, wrong in (("nowhere", "there is no such folder"), ("a.csv", "is no folder")):
        assert main(["runs", place]) == 2
        expected = f"descentlab: error: {place}: {wrong}: give one in which runs are\n"
        assert capsys.readouterr().err == expected


def test_a_run_is_named_by_its_path_in_short_or_as_the_last(logs):
    runs = [
        begun_at(make_run(logs / name), seconds)
        for name, seconds in (("toy/wavy/version_0", 2), ("toy/wavy/version_1", 1), ("a/named", 0))
    ]
    assert runs_below(logs) == [runs[2], runs[1], runs[0]]
    assert folder_of("last") == runs[0]
    assert folder_of("toy/wavy/1") == folder_of("toy/wavy/version_1") == runs[1]
    assert folder_of("logs/toy/wavy/version_1") == runs[1]
    assert folder_of("nowhere/7") == Path("nowhere/7")
    assert [folder_of(short_name(run)) for run in runs] == runs
    Path("toy/wavy/1").mkdir(parents=True)  # a path comes first
    assert folder_of("toy/wavy/1") == Path("toy/wavy/1")
    assert short_name(runs[1]) == str(runs[1])


@pytest.mark.parametrize("flags", [["--run", "last"], ["--run=line/0"]])
def test_an_evaluation_takes_a_short_name(logs, flags):
    run = make_run(logs / "line" / "version_0")
    words, (config,) = expand(["test", *flags, "--epoch", "1"])
    assert config == run / "config.yaml"
    assert words[3:] == ["--run", str(run), "--epoch", "1"]
    assert run_folders(["test", *flags]) == [run.resolve()]


def test_a_fit_goes_on_with_a_run_of_a_short_name(logs):
    run = make_run(logs / "line" / "version_0")
    words, _ = expand(["fit", "--resume", "line/0", "--trainer.max_epochs", "9"])
    assert words == [
        *("fit", "--config", str(run / "config.yaml")),
        *("--resume", str(run), "--trainer.max_epochs", "9"),
    ]


def test_a_command_is_one_line_of_text():
    assert in_one_line(["fit", "--a", "b\n# c\x85d e"]) == "descentlab fit --a 'b # c d e'"


def test_listing_imports_neither_torch_nor_lightning():
    code = (
        "import sys; from descentlab.__main__ import main; main(['runs']); "
        "sys.exit(bool({'torch', 'lightning'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
def test_comparing_imports_no_lightning():
    code = (
        "import sys; import descentlab.comparison.compare; "
        "sys.exit(bool({'lightning', 'matplotlib.pyplot'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_folders_that_killed_commands_left_empty_are_no_runs(logs, capsys):
    run = make_run(logs / "line" / "version_0")
    for left in ("line/version_1", "line/version_2/checkpoints", "other/version_0"):
        (logs / left).mkdir(parents=True)
    (logs / "line" / "version_1" / ".lock").touch()
    assert folder_of("last") == run
    assert main(["runs"]) == 0
    assert "version" not in capsys.readouterr().out.replace("line/0", "")
    assert runs_below(logs) == [run]
