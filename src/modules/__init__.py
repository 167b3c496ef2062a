"""Modules: parameters, a loss on a batch, and an optimizer, as LightningModules."""

from .derivatives import Derivatives
from .descent_module import DescentModule
from .linear_dynamics import LinearDynamics
from .linear_regression import LinearRegression
from .toy_objective import ToyObjective
from .two_layer_net import TwoLayerNet

__all__ = [
    "Derivatives",
    "DescentModule",
    "LinearDynamics",
    "LinearRegression",
    "ToyObjective",
    "TwoLayerNet",
]
