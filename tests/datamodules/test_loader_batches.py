"""TensorLoader against plain loops over the rows."""

import pickle
from itertools import chain

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, TensorDataset

from descentlab.datamodules import StepLoader, TensorLoader, permutation, tensor_loader
from descentlab.datamodules.processes import share
from descentlab.errors import UsageError

rows = st.integers(1, 60)
sizes = st.one_of(st.none(), st.integers(1, 70))


def by_hand(order, size):
    """The batches of row numbers, by a plain loop."""
    size = size or len(order)
    return [order[start : start + size] for start in range(0, len(order), size)]


def drawn(loader):
    return [batch[0].tolist() for batch in loader]


@given(rows, sizes)
def test_unshuffled_batches_are_slices_in_order(n, size):
    loader = TensorLoader(torch.arange(n), batch_size=size)
    assert drawn(loader) == by_hand(list(range(n)), size)
    assert len(loader) == len(list(loader))


@given(rows, sizes, st.integers(-(2**63), 2**70), st.integers(0, 1000))
def test_shuffled_batches_are_slices_of_the_permutation(n, size, seed, epoch):
    loader = TensorLoader(torch.arange(n), batch_size=size, shuffle=True, seed=seed)
    loader.set_epoch(epoch)
    assert drawn(loader) == by_hand(permutation(seed, epoch, n).tolist(), size)
    assert len(loader) == len(list(loader))


@given(rows, st.integers(0, 50), st.integers(0, 50))
def test_permutation_is_a_permutation_and_pure(n, seed, epoch):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    order = permutation(seed, epoch, n)
    assert sorted(order.tolist()) == list(range(n))
    assert torch.equal(order, permutation(seed, epoch, n))
    assert torch.equal(before, torch.get_rng_state())  # takes nothing from the global generator


def test_permutations_of_different_seeds_and_epochs_differ():
    orders = {tuple(permutation(s, e, 50).tolist()) for s in range(8) for e in range(8)}
    assert len(orders) == 64


def test_permutation_is_the_same_in_every_version():
    """A checkpoint of today must be resumed by the code of tomorrow."""
    assert permutation(42, 3, 8).tolist() == [0, 6, 7, 2, 1, 4, 3, 5]


@given(rows, st.integers(1, 9))
def test_shares_are_the_whole_and_even(n, world):
    order = permutation(1, 2, n)
    shares = [share(order, rank, world) for rank in range(world)]
    assert torch.equal(torch.cat(shares), order)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@given(rows, st.integers(1, 9), st.integers(1, 5), st.booleans())
def test_all_processes_together_have_the_batches_of_one(n, size, world, shuffle):
    loader = TensorLoader(torch.arange(n), batch_size=size, shuffle=shuffle, seed=3)
    whole = drawn(loader)
    with pytest.MonkeyPatch.context() as patch:
        parts = []
        for rank in range(world):
            patch.setattr(tensor_loader, "rank_and_world", lambda rank=rank: (rank, world))
            parts.append(drawn(loader))
    together = [list(chain(*batch)) for batch in zip(*parts, strict=True)]
    assert together == whole
    assert n < world * size or parts != [whole] * world or world == 1  # negative control


def test_batches_are_tuples_and_rows_stay_together():
    x = torch.arange(20.0)
    (one,) = next(iter(TensorLoader(x, batch_size=4)))
    assert one.tolist() == [0, 1, 2, 3]
    for a, b in TensorLoader(x, -x, batch_size=3, shuffle=True):
        assert torch.equal(a, -b)


def test_unshuffled_batches_are_views():
    x = torch.arange(20.0)
    for (batch,) in TensorLoader(x, batch_size=7):
        assert batch.untyped_storage().data_ptr() == x.untyped_storage().data_ptr()


def test_same_rows_as_a_data_loader():
    x, y = torch.randn(23, 2), torch.randn(23)
    theirs = DataLoader(TensorDataset(x, y), batch_size=5)
    ours = TensorLoader(x, y, batch_size=5)
    assert len(theirs) == len(ours)
    for (a, b), (c, d) in zip(theirs, ours, strict=True):
        assert torch.equal(a, c)
        assert torch.equal(b, d)


def test_nothing_runs_before_the_first_batch():
    loader = TensorLoader(torch.arange(30), batch_size=10, shuffle=True)
    early = iter(loader)
    loader.set_epoch(5)
    assert next(early)[0].tolist() == permutation(0, 5, 30)[:10].tolist()


def test_memory_mapped_rows(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(12.0))
    x = torch.from_numpy(np.load(tmp_path / "x.npy", mmap_mode="c"))
    assert drawn(TensorLoader(x, batch_size=5)) == by_hand(list(range(12)), 5)


@pytest.mark.parametrize("tensors", [(), (torch.zeros(0),), (torch.zeros(2), torch.zeros(3))])
def test_tensors_that_do_not_go_together_are_refused(tensors):
    with pytest.raises(UsageError, match="same number of rows"):
        TensorLoader(*tensors)


@pytest.mark.parametrize("size", [0, -1])
def test_batch_size_below_one_is_refused(size):
    with pytest.raises(UsageError, match=f"batch_size = {size} is below 1"):
        TensorLoader(torch.zeros(3), batch_size=size)


def passes(loader, epochs):
    for epoch in epochs:
        loader.set_epoch(epoch)
        for batch in loader:
            yield batch[0].tolist(), loader.state_dict()


@given(st.integers(1, 12), st.integers(1, 5), st.data())
def test_a_state_goes_on_with_the_next_batch(n, size, data):
    """Without a trainer: stop after any batch, load in a new loader, compare what follows."""
    tensor = torch.arange(n)
    whole = list(passes(TensorLoader(tensor, batch_size=size, shuffle=True, seed=3), range(4)))
    stop = data.draw(st.integers(0, len(whole) - 1))
    again = TensorLoader(tensor, batch_size=size, shuffle=True, seed=9)
    state = whole[stop][1]
    again.load_state_dict(pickle.loads(pickle.dumps(state)))
    assert again.state_dict() == state
    rest = list(passes(again, range(state["epoch"], 4)))
    assert rest == whole[stop + 1 :]
    assert all(type(value) is int for value in state.values())


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (TensorLoader(torch.zeros(9), batch_size=2), "rows = 8, this run has rows = 9"),
        (TensorLoader(torch.zeros(8), batch_size=3), "batch_size = 2, this run has batch_size = 3"),
        (TensorLoader(torch.zeros(8)), "batch_size = 2, this run has batch_size = 0"),
        (StepLoader(8), "steps = None, this run has steps = 8"),
    ],
)
def test_a_state_of_other_data_is_refused(other, message):
    with pytest.raises(UsageError, match=message):
        other.load_state_dict(TensorLoader(torch.zeros(8), batch_size=2).state_dict())


def test_a_second_fit_of_the_same_loader_starts_at_its_beginning():
    loader = TensorLoader(torch.arange(10), batch_size=2, shuffle=True)
    loader.set_epoch(0)
    next(iter(loader))
    loader.set_epoch(0)
    assert drawn(loader) == by_hand(permutation(0, 0, 10).tolist(), 2)
