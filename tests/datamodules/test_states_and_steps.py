"""InitialStates and Steps, and what the package exports."""

import doctest
import importlib
import pkgutil

import pytest
import torch

from descentlab import datamodules
from descentlab.datamodules import InitialStates, Steps
from descentlab.errors import UsageError
from descentlab.objectives import LinearDynamicsLoss, initial_states


def states(seed, **options):
    torch.manual_seed(seed)
    data = InitialStates(**options)
    data.setup("fit")
    return data


def test_states_are_a_function_of_the_seed_alone():
    first = states(5)
    torch.manual_seed(5)
    torch.randn(100)  # another draw changes nothing
    second = InitialStates()
    second.setup("test")
    assert torch.equal(first.x0, second.x0)
    assert not torch.equal(first.x0, states(6).x0)  # negative control


def test_states_have_their_mean_and_standard_deviation():
    n = 10**5
    x0 = initial_states(n, mean=3.0, std=2.0, seed=0)
    assert abs(x0.mean() - 3) < 5 * 2 / n**0.5
    assert abs(x0.std() - 2) < 5 * 2 / (2 * n) ** 0.5
    assert torch.equal(x0, 3 + 2 * initial_states(n, mean=0.0, std=1.0, seed=0))


@pytest.mark.parametrize("seed", [0, 42])
def test_the_objective_draws_the_states_that_the_data_draw(seed):
    data = states(seed, n=1024)
    assert torch.equal(LinearDynamicsLoss(n=1024, seed=seed).x0.float(), data.x0)
    assert not torch.equal(LinearDynamicsLoss(n=1024, seed=seed + 1).x0.float(), data.x0)


def test_every_loader_of_initial_states_is_the_one_batch():
    data = states(1, n=16)
    assert data.x0.shape == (16,)
    assert data.x0.dtype == torch.float32
    val = data.val_dataloader()
    assert list(val) == ["train"]
    for loader in (
        data.train_dataloader(),
        val["train"],
        data.test_dataloader(),
        data.predict_dataloader(),
    ):
        ((x0,),) = loader
        assert torch.equal(x0, data.x0)


def test_no_spread_is_allowed():
    assert states(1, n=3, mean=2.0, std=0.0).x0.tolist() == [2.0] * 3


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"n": 0}, "n = 0 initial states is below 1"),
        ({"mean": float("nan")}, "mean = nan"),
        ({"std": -1.0}, r"std = -1\.0"),
        ({"std": float("inf")}, "std = inf"),
    ],
)
def test_bad_initial_states(option, message):
    with pytest.raises(UsageError, match=message):
        InitialStates(**option)


def test_steps_are_counted():
    data = Steps(3)
    assert list(data.train_dataloader()) == [0, 1, 2]
    assert len(data.train_dataloader()) == 3
    assert list(data.val_dataloader()["train"]) == [0]
    assert list(data.test_dataloader()) == list(data.predict_dataloader()) == [0]


def test_no_steps_are_refused():
    with pytest.raises(UsageError, match="n = 0 steps is below 1"):
        Steps(0)


def test_all_is_sorted_and_there():
    assert datamodules.__all__ == sorted(datamodules.__all__)
    assert all(hasattr(datamodules, name) for name in datamodules.__all__)


@pytest.mark.parametrize(
    "name", [found.name for found in pkgutil.iter_modules(datamodules.__path__)]
)
def test_examples_in_docstrings(name):
    module = importlib.import_module(f"descentlab.datamodules.{name}")
    assert doctest.testmod(module).failed == 0
