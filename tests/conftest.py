"""What holds for every test."""

import os

# one thread, here and in the processes that tests start: with problems as small as these, threads
# only wait for each other, and sums do not depend on how many there are
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import pytest
import torch

from descentlab.drawing import curves

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


@pytest.fixture
def white_pictures(monkeypatch):
    """Each figure is a white one, in this process: other tests look at what is drawn."""
    image = np.full((100, 160, 3), 255, dtype=np.uint8)
    monkeypatch.setattr(curves, "pixels", lambda figure: image)
    monkeypatch.setattr(
        curves.FigureCanvasSVG, "print_svg", lambda _, path, metadata: path.write_text("<svg/>")
    )


def _forget():
    for name in ("PL_GLOBAL_SEED", "PL_SEED_WORKERS"):
        os.environ.pop(name, None)
