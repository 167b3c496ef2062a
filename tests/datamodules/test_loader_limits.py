"""The first and the last of what loaders and splits take: seeds, positions, rows, fractions."""

import pickle
from types import SimpleNamespace

import pytest
import torch
from sklearn.model_selection import train_test_split

from descentlab.datamodules import ResumableLoader, Steps, TensorLoader, permutation, split_rows
from descentlab.errors import UsageError


def test_seeds_are_told_apart_up_to_64_bits():
    seeds = [0, *(2**bit for bit in range(64))]
    orders = {tuple(permutation(seed, 0, 50).tolist()) for seed in seeds}
    assert len(orders) == len(seeds)
    assert torch.equal(permutation(-1, 0, 50), permutation(2**64 - 1, 0, 50))


def test_a_loader_without_a_seed_has_the_orders_of_seed_zero():
    x = torch.randn(50)
    loader = TensorLoader(x, shuffle=True)
    for epoch in range(3):
        loader.set_epoch(epoch)
        assert torch.equal(next(iter(loader))[0], x[permutation(0, epoch, 50)])


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("rows", [11, 12])
def test_nothing_is_left_behind_the_last_batch(rows, shuffle):
    loader = TensorLoader(torch.arange(rows), batch_size=3, shuffle=shuffle)
    loader.load_state_dict({**loader.state_dict(), "position": len(loader)})
    assert list(loader) == []
    assert sum(len(batch) for (batch,) in loader) == rows  # the next pass has all


class Countdown(ResumableLoader):
    """The simplest loader that goes on: it says nothing of what it goes through."""

    def __len__(self):
        return 5

    def __iter__(self):
        for number in range(self.begin(), 5):
            self.handed = number + 1
            yield 5 - number


@pytest.mark.parametrize("stop", range(1, 5))
def test_a_loader_that_names_nothing_of_its_data_goes_on(stop):
    first, second = Countdown(), Countdown()
    seen = [next_ for _, next_ in zip(range(stop), first, strict=False)]
    second.load_state_dict(pickle.loads(pickle.dumps(first.state_dict())))
    assert [*seen, *second] == [5, 4, 3, 2, 1]


def by_sklearn(rows, held, tested):
    train, rest = train_test_split(range(rows), test_size=held, random_state=3)
    return [train, *train_test_split(rest, test_size=tested, random_state=3)]


def test_ten_rows_are_enough_to_split():
    sets = split_rows(10, (0.6, 0.2, 0.2), 3)
    assert [part.tolist() for part in sets.values()] == by_sklearn(10, 4, 2)
    with pytest.raises(UsageError, match="9 rows are too few"):
        split_rows(9, (0.6, 0.2, 0.2), 3)


@pytest.mark.parametrize("off", [-3e-10, 0.0, 3e-10])
def test_an_error_that_the_sum_may_have_moves_no_row(off):
    sets = split_rows(1000, (0.7, 0.2 + off / 2, 0.1 + off / 2), 3)
    assert [part.tolist() for part in sets.values()] == by_sklearn(1000, 300, 100)


def test_passes_over_one_loader_count_each_for_itself():
    loader = TensorLoader(torch.arange(10), batch_size=2)
    one = iter(loader)
    next(one), next(one)
    other = iter(loader)
    next(other)
    assert loader.handed == 1
    assert next(one)[0].tolist() == [4, 5]
    assert loader.handed == 3
    next(other)
    assert loader.handed == 2


@pytest.mark.parametrize("attached", [False, True])
def test_the_seed_is_that_of_the_first_process(attached):
    data = Steps(3)
    torch.manual_seed(5)
    if attached:  # to the trainer of a process that is not the first, which has seed 9
        data.trainer = SimpleNamespace(strategy=SimpleNamespace(broadcast=lambda seed: 9))
    data.setup("fit")
    assert data.state_dict() == {"seed": 9 if attached else 5}


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_what_scikit_learn_takes_for_no_seed_is_refused(seed):
    with pytest.raises(UsageError, match=f"random_state = {seed} is no seed: give 0 to 4294967295"):
        split_rows(20, (0.6, 0.2, 0.2), seed)
    assert split_rows(20, (0.6, 0.2, 0.2), 2**32 - 1)["train"].shape == (12,)
