"""torchviz is imported without distutils, and leaves that as it was."""

import subprocess
import sys

import pytest

BEFORE = {
    "where nothing was imported": "",
    "where distutils was": "import distutils.version\n",
    "where torchviz was": "import torchviz\n",
}
QUIET = "import warnings; warnings.simplefilter('ignore')\n"
DRAW = """
import sys, torch, warnings
warnings.simplefilter("error")
names = ("distutils", "distutils.version")
before = [sys.modules.get(name) for name in names]
from descentlab.internals.torchviz import make_dot
theta = torch.tensor(3.0, requires_grad=True)
for more in ({}, {"show_attrs": True, "show_saved": True}):  # which look at torch's version
    assert "PowBackward0" in make_dot(theta.square(), {"theta": theta}, **more).source
assert [sys.modules.get(name) for name in names] == before
"""


@pytest.mark.parametrize("before", BEFORE.values(), ids=BEFORE)
def test_distutils_is_left_as_it_is(before):
    command = [sys.executable, "-c", QUIET + before + DRAW]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
