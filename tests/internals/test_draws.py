"""What is drawn on the way leaves the global random generators as they were."""

import random
from contextlib import nullcontext

import numpy as np
import pytest
import torch

from descentlab.internals.lightning import random_state, same_draws
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
def test_the_state_tells_whether_something_was_drawn(draw):
    for _ in range(3):  # of two normal numbers that are made at once the second one is kept
        before = random_state()
        assert random_state() == before
        draw()
        assert random_state() != before
