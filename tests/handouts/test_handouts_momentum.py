"""PS-2.5: hand-written momentum beside torch.optim.SGD, for every momentum that is drawn."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from handout_runs import QUICK, Outcome, fit
from regression_loops import Trace, autograd_loop, diabetes, split, trace_of

SETS = [(0.0, 0.1, 0.2, 0.3), (0.0, 0.5, 0.9, 1.0), (0.2, 0.4, 0.6, 0.8)]
DRAWN = sorted({momentum for drawn in SETS for momentum in drawn})


@cache
def plain(momentum: float, rate: float = 0.001) -> Trace:
    x, y = (each.float() for each in diabetes())
    rows = split(len(x))["train"]
    return autograd_loop({"train": (x[rows], y[rows])}, 50, rate, momentum)


@pytest.fixture(scope="module")
def run_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[float], Outcome]:
    @cache
    def run(momentum: float) -> Outcome:
        flag = f"--model.optimizer.momentum={momentum}"
        root = tmp_path_factory.mktemp("momentum")
        return fit("linear_regression/momentum_by_hand", root, flag, *QUICK)

    return run


def same(found: Trace, true: Trace) -> bool:
    """Tell whether parameters after every epoch, and losses, are equal bit for bit."""
    return (
        torch.equal(found.slope, true.slope)
        and torch.equal(found.bias, true.bias)
        and found.losses == true.losses
    )


@pytest.mark.parametrize("momentum", DRAWN)
def test_ps_2_5_equals_torch_sgd(run_of: Callable[[float], Outcome], momentum: float):
    found = trace_of(run_of(momentum))
    assert found.slope.shape == (50, 1)
    assert same(found, plain(momentum))
    assert not same(found, plain(momentum, rate=0.00101))
    assert not same(found, plain(0.99 * momentum if momentum else 0.01))


def test_ps_2_5_the_config_as_shipped(tmp_path: Path, run_of: Callable[[float], Outcome]):
    shipped = fit("linear_regression/momentum_by_hand", tmp_path)
    assert same(trace_of(shipped), trace_of(run_of(0.9)))
    assert (shipped.folder / "figures" / "epoch_losses.png").is_file()


def test_ps_2_5_learning_curves_of_each_set_differ(run_of: Callable[[float], Outcome]):
    assert len(DRAWN) == 10
    for drawn in SETS:
        curves = [run_of(momentum).curve("loss/train") for momentum in drawn]
        assert all(len(curve) == 50 for curve in curves)
        first = [curve[0] for curve in curves]
        assert first == sorted(first, reverse=True)  # more momentum is faster at the start
        assert len(set(first)) == len(drawn)
