"""Demonstrations through the command line: what is written, what is printed, what is changed."""

import json
from pathlib import Path

import pytest

from descentlab.__main__ import main
from descentlab.command.configs import FOLDER

CONFIGS = sorted(path.stem for path in (FOLDER / "autograd").glob("*.yaml"))


def predict(tmp_path: Path, name: str, *flags: str, status: int = 0) -> Path:
    words = ["predict", "--config", f"autograd/{name}", "--trainer.accelerator", "cpu"]
    assert main([*words, "--trainer.logger.save_dir", str(tmp_path), *flags]) == status
    return tmp_path / "autograd" / name / "version_0"


@pytest.mark.parametrize("name", CONFIGS)
def test_each_config_writes_and_prints_its_facts(name, tmp_path, capsys):
    folder = predict(tmp_path, name)
    facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    assert facts
    output = capsys.readouterr().out
    assert json.dumps(facts, indent=2, ensure_ascii=False) in output
    assert str(folder / "facts.json") in output


def test_a_flag_changes_a_demonstration(tmp_path):
    folder = predict(tmp_path, "accumulated_gradients", "--model.demonstration.x", "1.0")
    assert json.loads((folder / "facts.json").read_text())["gradients"] == [6.0, 12.0, 0.0, 6.0]


def test_graphs_are_painted(tmp_path):
    folder = predict(tmp_path, "sine_graph")
    names = {path.name for path in (folder / "graphs").iterdir()}
    stems, kinds = ("y", "y_with_saved_tensors"), ("dot", "svg", "png")
    assert names == {f"{stem}.{kind}" for stem in stems for kind in kinds}
    assert (folder / "graphs" / "y.png").read_bytes().startswith(b"\x89PNG")


def test_wrong_values_end_with_status_2(tmp_path, capsys):
    predict(tmp_path, "regression_graph", "--model.demonstration.rows", "0", status=2)
    assert "rows = 0" in capsys.readouterr().err


def test_a_trial_run_writes_nothing(tmp_path):
    folder = predict(tmp_path, "freed_graph", "--trainer.fast_dev_run", "true")
    assert not folder.exists()
