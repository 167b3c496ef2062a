"""What holds for every test."""

import os

# one thread, here and in the processes that tests start: with problems as small as these, threads
# only wait for each other, and sums do not depend on how many there are
os.environ["OMP_NUM_THREADS"] = "1"

import pytest
import torch

torch.set_num_threads(1)


def pytest_collection_modifyitems(items):
    """Files with slow tests come first: one that starts last would keep the others waiting."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True)
def clean_environment():
    """What a command sets for its process steers no test after it."""
    _forget()
    yield
    _forget()


def _forget():
    for name in ("PL_GLOBAL_SEED", "PL_SEED_WORKERS"):
        os.environ.pop(name, None)
