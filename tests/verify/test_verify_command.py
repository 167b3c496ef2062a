"""`descentlab verify`: the report, the statuses, and what is said of a wrong command."""

import json

import pytest
import torch

from descentlab.__main__ import main
from descentlab.errors import UsageError
from descentlab.verify import verify as verify_in_python

MODULE = '''
import torch
from torch import optim

class Mine(optim.SGD):
    """SGD under another name."""

class Fast(optim.SGD):
    def step(self, closure=None):
        super().step(closure)
        super().step(closure)

class Says(optim.SGD):
    def __init__(self, params, lr):
        print("hello")
        torch.manual_seed(0)
        super().__init__(params, lr=lr)

def made(params, lr):
    return optim.SGD(params, lr=lr)

def nothing(params, **values):
    return params
'''
FEW = ["--steps", "4", "--dtype", "float64"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    (tmp_path / "optimizers_of_mine.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def verify(*words):
    return main(["verify", *words, "--against", "torch.optim.SGD"])


def test_what_holds_is_status_0(here, capsys):
    words = ["optimizers_of_mine.Mine", "optimizers_of_mine.made", "--lr", "1e-3", *FEW]
    assert verify(*words, "--json", "found.json") == 0
    out = capsys.readouterr().out
    assert out.startswith("optimizers_of_mine.Mine is torch.optim.sgd.SGD: equal bit for bit in")
    assert "optimizers_of_mine.made is torch.optim.sgd.SGD" in out
    found = json.loads((here / "found.json").read_text())
    assert [each["holds"] for each in found] == [True, True]


def test_what_differs_is_status_1(here, capsys):
    assert verify("optimizers_of_mine.Fast", "--lr=0.001", *FEW, "--json", "found.json") == 1
    out = capsys.readouterr().out
    assert out.startswith("optimizers_of_mine.Fast is not torch.optim.sgd.SGD: they differ in")
    assert "DIFFERS  Beale (float64): step 1, parameter 0[1]: " in out
    found = json.loads((here / "found.json").read_text())[0]
    beale = next(each for each in found["outcomes"] if each["problem"] == "Beale")
    assert (beale["parameter"]["step"], found["holds"]) == (1, False)


def test_what_an_optimizer_prints_is_not_in_the_report(here, capsys):
    state = torch.manual_seed(5).get_state()
    assert verify("optimizers_of_mine.Says", "--lr", "0.001", *FEW) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("optimizers_of_mine.Says is torch.optim.sgd.SGD: equal bit")
    assert "hello" not in captured.out
    assert captured.err.startswith("hello\n")
    assert torch.equal(torch.get_rng_state(), state)  # though it is seeded where it is made


def test_one_number_in_the_place_of_two_is_one_sentence(here, capsys):
    words = ["torch.optim.Adam", "--against", "torch.optim.AdamW", "--betas", "0.9"]
    assert main(["verify", *words]) == 2
    said = "betas = 0.9: give 2 numbers, as --betas 0.9,0.999, or in Python betas=(0.9, 0.999)"
    assert capsys.readouterr().err == f"descentlab: error: {said}\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["Mine"], "Mine: give the module too, as in torch.optim.Mine"),
        (["no_such_module.Mine"], "no_such_module cannot be imported"),
        (["optimizers_of_mine.Other"], "has no class or function Other"),
        (["optimizers_of_mine.nothing"], "nothing makes a list: give a class of torch.optim"),
        (["optimizers_of_mine.Mine", "--speed", "3"], "cannot be made with speed = 3"),
        (["optimizers_of_mine.Mine", "--lr", "fast"], "--lr fast: give a number"),
        (["optimizers_of_mine.Mine", "--lr", "1e400"], "--lr 1e400: give a number of size below"),
        (["optimizers_of_mine.Mine", "--lr", "inf"], "--lr inf: give a number"),
        (["optimizers_of_mine.Mine", "--lr"], "--lr: give hyperparameters as --name value"),
        (["optimizers_of_mine.Mine", "--steps", "0"], "steps = 0: give 1 or more"),
        (["optimizers_of_mine.Mine", "--dtype", "int8"], "dtype int8: give float64 or float32"),
        ([], "the following arguments are required: OPTIMIZER"),
    ],
)
def test_wrong_use_is_one_sentence_and_status_2(here, capsys, words, said):
    assert verify(*words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("descentlab: error: ")
    assert said in captured.err
    assert captured.err.count("\n") == 1


def test_a_name_in_the_place_of_an_optimizer_is_refused_in_python():
    with pytest.raises(UsageError, match="'SGD' makes no optimizer: give a class"):
        verify_in_python(torch.optim.SGD, "SGD", lr=0.1)
