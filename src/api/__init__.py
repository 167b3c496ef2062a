"""The commands as functions of Python, for notebooks and scripts."""

from .functions import compare, fit, load
from .run import FittedRun

__all__ = ["FittedRun", "compare", "fit", "load"]
