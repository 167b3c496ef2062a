"""What holds for every test."""

import os
import sys
from contextlib import nullcontext
from io import BytesIO
from pathlib import Path

# one thread, here and in the processes that tests start: with problems as small as these, threads
# only wait for each other, and sums do not depend on how many there are
os.environ["OMP_NUM_THREADS"] = "1"
# commands that are printed are `descentlab …`, as where .venv/bin is on the path
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])

import numpy as np
import pytest
import torch
from matplotlib.image import imsave

from descentlab.callbacks import graph_export
from descentlab.drawing import figure
from descentlab.modules import autograd_facts
from forked import unmeasured

torch.set_num_threads(1)


def pytest_collection_modifyitems(items):
    """Files with slow tests come first: one that starts last would keep the others waiting."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True)
def clean_environment(request):
    """What a command sets for its process steers no test after it.

    The lines of what is marked `no_cover` are not counted, which takes as long again: others count
    them. Here this is extended to the processes that it starts.
    """
    _forget()
    with unmeasured() if request.node.get_closest_marker("no_cover") else nullcontext():
        yield
    _forget()


@pytest.fixture(scope="session", autouse=True)
def the_disk_is_not_waited_for():
    """A dozen waits a fit, of several milliseconds each; tests/runs/test_files.py holds them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture
def white_pictures(monkeypatch):
    """Each figure and graph is a white one, in this process: other tests look at what is drawn."""
    image = np.full((100, 160, 3), 255, dtype=np.uint8)
    imsave(png := BytesIO(), image)
    monkeypatch.setattr(figure, "pixels", lambda _: image)
    monkeypatch.setattr(
        figure.FigureCanvasSVG, "print_svg", lambda _, file, metadata: file.write(b"<svg/>")
    )
    for module in (autograd_facts, graph_export):
        monkeypatch.setattr(module, "to_svg", lambda dot: "<svg/>")
        monkeypatch.setattr(module, "to_png", lambda svg: png.getvalue())


def _forget():
    for name in ("PL_GLOBAL_SEED", "PL_SEED_WORKERS"):
        os.environ.pop(name, None)
