"""torchviz, which imports distutils to compare two versions of torch.

For what no public interface gives:

- `sys.modules["distutils"]`, set while torchviz is imported (`make_dot`): Python 3.12 dropped
  distutils, and that of setuptools takes 30 ms of the first graph.
"""

import sys
import warnings
from functools import cache
from types import ModuleType
from typing import Any

from torch.torch_version import TorchVersion

_VERSION = "distutils.version"


@cache
def _module() -> Any:
    names = ("distutils", _VERSION)
    before = {name: sys.modules.get(name) for name in names}
    for name in names:
        sys.modules[name] = ModuleType(name)
    sys.modules[_VERSION].LooseVersion = TorchVersion  # type: ignore[attr-defined]
    try:
        import torchviz  # for a graph alone
    finally:
        for name, module in before.items():
            del sys.modules[name]
            if module is not None:
                sys.modules[name] = module
    return torchviz


def make_dot(*args: Any, **kwargs: Any) -> Any:
    """Return what `torchviz.make_dot` does: a graph of the package graphviz."""
    with warnings.catch_warnings():  # of distutils, where torchviz was imported before
        warnings.simplefilter("ignore", DeprecationWarning)
        return _module().make_dot(*args, **kwargs)
