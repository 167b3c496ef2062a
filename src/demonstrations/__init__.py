"""Demonstrations: what autograd and tensors do, run and written down as plain facts."""

from .backward import (
    AccumulatedGradients,
    FreedGraph,
    MissingRequiresGrad,
    RepeatedBackward,
    RetainedGradients,
)
from .demonstration import Demonstration
from .recorded_graphs import RegressionGraph, SineGraph
from .tensors import Devices, NoGradientKept, NumpyConversion

__all__ = [
    "AccumulatedGradients",
    "Demonstration",
    "Devices",
    "FreedGraph",
    "MissingRequiresGrad",
    "NoGradientKept",
    "NumpyConversion",
    "RegressionGraph",
    "RepeatedBackward",
    "RetainedGradients",
    "SineGraph",
]
