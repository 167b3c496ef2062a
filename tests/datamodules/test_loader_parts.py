"""Parts of an epoch: chunks of batches, and what is left of one that was stopped."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from descentlab.datamodules import Chunk, RegressionData, TensorLoader

SMALL = st.integers(1, 9)


@given(rows=SMALL, size=SMALL, start=st.integers(0, 3), more=st.integers(0, 3))
def test_a_chunk_is_its_batches(rows, size, start, more):
    x, y = torch.randn(rows, 2), torch.randn(rows)
    chunk = Chunk((x, y), size)
    batches = chunk.batches()
    assert chunk.updates == len(batches) == math.ceil(rows / size)
    for number, (some_x, some_y) in enumerate(batches):
        assert torch.equal(some_x, x[number * size : (number + 1) * size])
        assert torch.equal(some_y, y[number * size : (number + 1) * size])
    part = chunk.rows(start, start + more)
    assert part.size == size
    expected = batches[start : start + more]
    assert len(part.batches()) == part.updates == len(expected)
    for found, batch in zip(part.batches(), expected, strict=True):
        assert all(map(torch.equal, found, batch))


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("position", [0, 1, 3, 4])
def test_what_is_left_of_an_epoch_comes(shuffle, position):
    def loader():
        return TensorLoader(torch.arange(11), batch_size=3, shuffle=shuffle, seed=5)

    whole = [batch.tolist() for (batch,) in loader()]
    rest = loader()
    rest.load_state_dict({**rest.state_dict(), "position": position})
    iterator = iter(rest)
    assert [batch.tolist() for (batch,) in iterator] == whole[position:]
    assert rest.handed == 4
    begun = loader()
    begun.load_state_dict({**begun.state_dict(), "position": position})
    for _ in zip(range(1), begun, strict=False):
        assert begun.handed == position + 1


def test_data_that_go_on_give_the_next_batch():
    def data():
        made = RegressionData(source="line", batch_size=7)
        made.prepare_data()
        made.setup("fit")
        return made

    first = data()
    loader = first.train_dataloader()
    batches = [x.clone() for x, _ in loader]
    state = {"seed": first.seed, "loader": {**loader.state_dict(), "epoch": 0, "position": 2}}
    second = data()
    second._state = state["loader"]  # what `load_state_dict` keeps in a fit
    rest = [x for x, _ in second.train_dataloader()]
    assert len(batches) > 3
    assert len(rest) == len(batches) - 2
    assert all(map(torch.equal, rest, batches[2:]))
