"""Parts of an epoch: many batches at once, and what is left of one that was stopped."""

from unittest import mock

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from descentlab.datamodules import RegressionData, TensorLoader, tensor_loader

SMALL = st.integers(1, 9)


@pytest.mark.parametrize("at_once", [1, 4, 2**16])
@given(
    rows=SMALL, size=SMALL, shuffle=st.booleans(), start=st.integers(0, 3), takes=st.lists(SMALL)
)
def test_batches_taken_at_once_are_the_batches_one_by_one(
    at_once, rows, size, shuffle, start, takes
):
    x, y = torch.arange(6 * rows).view(-1, 2), torch.arange(3 * rows)

    def loader():
        made = TensorLoader(x, y, batch_size=size, shuffle=shuffle, seed=5)
        position = min(start, len(made) - 1)
        made.load_state_dict({**made.state_dict(), "position": position})
        return made

    with mock.patch.object(tensor_loader, "ROWS_AT_ONCE", at_once):
        expected = list(loader())
        part = loader()
        position = min(start, len(part) - 1)
        batches, found = iter(part), []
        for number, take in enumerate(takes):
            if number % 2:  # one by one in between
                found += [batch for _, batch in zip(range(take), batches, strict=False)]
                continue
            ahead = batches.ahead(take)
            whole = sum(len(each[0]) == size for each in expected[len(found) :])
            assert ahead == min(take, whole)
            if ahead:
                found += list(zip(*batches.stacked(ahead), strict=True))
                batches.skip(ahead)
                assert part.handed == position + len(found)
        found += list(batches)
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert all(map(torch.equal, one, other))


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
