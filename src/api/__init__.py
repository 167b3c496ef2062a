"""The commands as functions of Python, for notebooks and scripts."""

from .functions import compare as compare
from .functions import fit as fit
from .functions import load as load
from .run import FittedRun as FittedRun
