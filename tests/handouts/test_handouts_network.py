"""DI-12: the two-layer network on one random batch."""

import pytest
import torch
from handout_runs import Outcome, fit
from network_loop import plain_loop


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return fit("two_layer_net", tmp_path_factory.mktemp("shipped"))


def test_di_12_equals_the_plain_loop(shipped: Outcome):
    parameters, losses = plain_loop(42)
    assert shipped.losses == losses
    state = shipped.checkpoint("last")["state_dict"]
    assert [value.shape for value in state.values()] == [each.shape for each in parameters]
    assert all(torch.equal(a, b) for a, b in zip(state.values(), parameters, strict=True))
    assert shipped.losses[:5] != plain_loop(42, rate=1.01e-4, steps=5)[1]
    assert shipped.losses[:5] != plain_loop(43, steps=5)[1]
