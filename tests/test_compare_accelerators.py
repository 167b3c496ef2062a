"""Accelerators side by side: the same run on each, and from which size on one is faster."""

import json
from types import SimpleNamespace

import pytest
import torch

import compare_accelerators as script
from descentlab.runs.files import save_atomically
from descentlab.runs.folder import Run

SIZES = (100, 1000, 10000)


@pytest.mark.parametrize(
    ("theirs", "said"),
    [
        ((2.0, 0.9, 0.5), "b is faster than a from 1,000 rows on"),
        ((0.5, 2.0, 0.5), "b is faster than a from 10,000 rows on"),
        ((0.5, 0.5, 2.0), "b is not faster than a on 10,000 rows"),
        ((0.5, 0.5, 0.96), "b is not faster than a on 10,000 rows"),
        ((0.5, 0.5, 0.5), "b is faster than a from 100 rows on"),
    ],
)
def test_the_size_from_which_one_is_faster(theirs, said):
    times = {size: {"a": 1.0, "b": b} for size, b in zip(SIZES, theirs, strict=True)}
    assert script.overtaking(times, "b", "a") == said


def test_the_largest_difference_of_two_runs_is_found(tmp_path):
    values = torch.tensor([[1.0, -4.0], [2.0, 3.0]])
    other = values.clone()
    other[1, 0] += 0.3
    runs = []
    for number, slope in enumerate((values, other)):
        runs.append(Run(tmp_path / str(number)))
        runs[-1].checkpoints.mkdir(parents=True)
        kept = {"epoch": torch.tensor([0, 1]), "slope": slope}
        save_atomically(kept, runs[-1].checkpoints / "parameters.pt")
    assert script.difference(*runs) == pytest.approx(0.1)
    assert script.difference(runs[0], runs[0]) == 0


def test_rows_come_again_and_again():
    x, number = torch.arange(3.0)[:, None], 7
    found = script._with_rows((x, number), 5, torch.device("cpu"))
    assert found[0].flatten().tolist() == [0, 1, 2, 0, 1]
    assert found[1] == 7
    assert torch.equal(script._with_rows([x], None, torch.device("cpu"))[0], x)


def test_what_is_absent_is_said_and_the_rest_is_compared(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    kind = SimpleNamespace(is_available=lambda: False)
    registry = {name: {"accelerator": kind} for name in ("cuda", "mps", "tpu")}
    registry["cpu"] = {"accelerator": SimpleNamespace(is_available=lambda: True)}
    monkeypatch.setattr(script, "AcceleratorRegistry", registry)
    words = ["--config", "linear_regression/split.yaml", "--trainer.max_epochs", "2"]
    threads = torch.get_num_threads()
    try:
        assert script.main([*words, "--rounds", "2", "--largest", "1000"]) == 0
    finally:
        torch.set_num_threads(threads)
    said = capsys.readouterr().out
    assert "gpu: not present\nmps: not present\n" in said
    report = json.loads((tmp_path / "reports/accelerators/accelerators.json").read_text())
    assert report["not_present"] == ["gpu", "mps"]
    (same,) = report["same"].values()
    assert same["largest"] < 1e-5
    assert list(report["seconds_of_an_update"]) == ["100", "1000"]
    assert all(0 < t < 1 for row in report["seconds_of_an_update"].values() for t in row.values())
    assert (tmp_path / "reports/accelerators/accelerators.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("accelerators", "said"),
    [("cpu,abacus", "--accelerators abacus: there are "), ("mps", "none of mps is present here")],
)
def test_wrong_names_are_refused(tmp_path, monkeypatch, capsys, accelerators, said):
    monkeypatch.chdir(tmp_path)
    registry = {"mps": {"accelerator": SimpleNamespace(is_available=lambda: False)}}
    registry["cpu"] = {"accelerator": SimpleNamespace(is_available=lambda: True)}
    monkeypatch.setattr(script, "AcceleratorRegistry", registry)
    assert script.main(["--config", "toy/wavy.yaml", "--accelerators", accelerators]) == 2
    assert said in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--rounds", "0"], "--rounds 0: give a whole number, 1 or more"),
        (["--rounds", "many"], "--rounds many: give a whole number, 1 or more"),
        (["--threads", "1,x"], "--threads x: give a whole number, 1 or more"),
        (["--largest", "99"], "--largest 99: give a whole number, 100 or more"),
    ],
)
def test_numbers_that_are_none_are_refused(tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    assert script.main(["--config", "toy/wavy.yaml", "--accelerators", "cpu", *words]) == 2
    assert said in capsys.readouterr().err.splitlines()[-1]
    assert not list(tmp_path.iterdir())


def test_a_model_without_a_loss_of_its_own_is_refused_before_it_is_trained(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    words = ["--config", "linear_regression/lr_sweep.yaml", "--accelerators", "cpu"]
    assert script.main([*words, "--threads", "1"]) == 2
    assert "Sweep has no loss of its own to time" in capsys.readouterr().err.splitlines()[-1]
    assert not list(tmp_path.rglob("version_0"))
