"""What is drawn on the way leaves the global random generators as they were."""

import random
from contextlib import nullcontext

import numpy as np
import pytest
import torch

from descentlab.internals.lightning import same_draws
from descentlab.internals.random_state import drawing
from descentlab.sweeps import seeded


def drawn():
    return random.random(), float(np.random.rand()), float(torch.rand(()))  # noqa: NPY002  # the global one


def after(context, error):
    """What is drawn after a context in which something was drawn, and an error raised."""
    random.seed(3)
    np.random.seed(3)  # noqa: NPY002
    torch.manual_seed(3)
    raised = nullcontext() if error is None else pytest.raises(error, match="of somebody's")
    with raised, context:
        drawn()
        if error is not None:
            raise error("of somebody's")
    return drawn()


@pytest.mark.parametrize("isolated", [same_draws, lambda: seeded(7)])
@pytest.mark.parametrize("error", [None, ValueError, KeyboardInterrupt, StopIteration])
def test_an_exception_leaves_the_generators_too(isolated, error):
    found, other = after(isolated(), error), after(nullcontext(), error)
    random.seed(3)
    np.random.seed(3)  # noqa: NPY002
    torch.manual_seed(3)
    assert found == drawn()
    assert all(a != b for a, b in zip(found, other, strict=True))


@pytest.mark.parametrize(
    "draw",
    [
        random.random,
        random.gauss,
        np.random.rand,
        np.random.standard_normal,
        lambda: torch.rand(()),
        lambda: torch.randn(()),
    ],
)
def test_what_draws_is_known_by_it_and_leaves_no_trace(draw):
    for _ in range(3):  # of two normal numbers that are made at once the second one is kept
        first, drew = drawing(draw)
        assert drew
        assert drawing(draw) == (first, True)
        assert draw() == first


def test_what_draws_nothing_is_known_by_it():
    assert drawing(lambda: 3) == (3, False)


def test_what_fails_leaves_no_trace_either():
    def fails():
        random.random()
        raise RuntimeError("here")

    random.seed(3)
    with pytest.raises(RuntimeError, match="here"):
        drawing(fails)
    found = random.random()
    random.seed(3)
    assert found == random.random()
