"""Packages of optimizers: which classes they have, and what is told of each."""

import gc
import json
import sys

import pytest
import torch
from torch import optim

import verify_packages as script

MODULE = '''
import os
import time

from torch import optim
from torch.optim import AdamW, Optimizer


class Adam(optim.Adam):
    """Right."""


Same = Adam


class Idle(optim.SGD):
    def __init__(self, params, lr=0.1, extra=1.0):
        super().__init__(params, lr)
        for group in [self.defaults, *self.param_groups]:
            group["extra"] = extra


class SGDP(optim.SGD):
    def __init__(self, params, lr):
        super().__init__(params, lr)


class NeedsMore(optim.SGD):
    def __init__(self, params, model):
        super().__init__(params)


class Crashes(optim.SGD):
    def step(self, closure=None):
        os._exit(3)


class Hangs(optim.SGD):
    def step(self, closure=None):
        time.sleep(1000)


class _Hidden(optim.SGD):
    pass


def function(params):
    return optim.SGD(params)
'''
NAME = "a_package_of_optimizers"


@pytest.fixture
def package(tmp_path, monkeypatch):
    (tmp_path / f"{NAME}.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield NAME
    sys.modules.pop(NAME, None)
    gc.collect()  # a class lives on in a circle with itself, and would be offered by its name
    assert NAME not in {each.__module__ for each in optim.Adam.__subclasses__()}


def test_the_public_classes_of_a_package_itself_are_found_once(package):
    found = {name.removeprefix(f"{NAME}."): kind for name, kind in script.optimizers(NAME).items()}
    assert list(found) == ["Adam", "Crashes", "Hangs", "Idle", "NeedsMore", "SGDP"]
    assert found["Adam"] is not optim.Adam
    assert "torch.optim.AdamW" in script.optimizers("torch.optim")


def test_what_is_found_is_told_with_torchs_optimizer_of_that_name(package):
    report = script.examined(f"{NAME}.Adam", 4)
    assert report["torch"].startswith(f"{NAME}.Adam is torch.optim.adam.Adam: equal bit for bit")
    assert script.row("x", report) == "| `x` | Adam | nothing |"
    report = script.examined(f"{NAME}.Idle", 4)
    assert script.row("x", report) == "| `x` | SGD with decay coupled | `extra` changes no step |"
    assert "torch" not in report


@pytest.mark.parametrize("words", script.MAKERS.values())
def test_no_class_is_made_in_two_ways(words):
    others = " ".join(each for each in script.MAKERS.values() if each != words).split()
    assert not set(words.split()) & set(others)


def test_arguments_that_a_class_needs_are_given():
    parameters = [torch.nn.Parameter(torch.ones(size)) for size in ((2, 2), 3)]
    around = script._around(lambda inner, k: (inner, k), parameters, k=3)
    assert (type(around[0]), around[1]) == (optim.SGD, 3)
    kept = script._of_class(lambda params, base_optimizer: base_optimizer, parameters)
    assert kept is optim.SGD
    groups = script._told_muon(lambda groups: groups, [parameters[0], {"params": [parameters[1]]}])
    assert [each["use_muon"] for each in groups] == [True, False]
    made = script._of_length(lambda params, lr, num_data: (lr, num_data), parameters, lr=2)
    assert made == (2, 100)


@pytest.mark.slow
def test_one_that_crashes_and_one_that_needs_more_are_told_and_the_others_go_on(
    package, tmp_path, capsys
):
    only = ("--only", "Crashes", "NeedsMore", "SGDP")
    assert script.main([NAME, "--steps", "2", "--out", "found", *only]) == 0
    found = json.loads((tmp_path / "found/verified.json").read_text())
    assert list(found) == [f"{NAME}.{each}" for each in only[1:]]
    crashed, needs, right = found.values()
    assert crashed["error"] == "its process ended with status 3"
    assert "missing 1 required positional argument: 'model'" in needs["error"]
    assert (right["idle"], right["faults"]) == ([], [])
    table = (tmp_path / "found/verified.md").read_text().splitlines()
    assert table[1:4] == [NAME, "", "| optimizer | rule | found |"]
    assert table[5] == f"| `{NAME}.Crashes` | | not run: its process ended with status 3 |"
    assert table[7].startswith(f"| `{NAME}.SGDP` | SGD with decay coupled | nothing |")
    assert table[7] in capsys.readouterr().out


def test_one_that_hangs_is_ended_and_told(package):
    ((name, report),) = script.told([f"{NAME}.Hangs"], 2, limit=1)
    assert (name, report["error"]) == (f"{NAME}.Hangs", "not done after 1 s")
    assert report["seconds"] < 900  # of 1000 that it would sleep; a busy machine starts slowly


def test_a_package_is_named_with_its_version():
    assert script._version("torch.optim").startswith("torch 2.")
    assert script._version("no_such_package") == "no_such_package"
