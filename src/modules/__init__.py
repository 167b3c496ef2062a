"""Modules: parameters, a loss on a batch, and an optimizer, as LightningModules."""

from .autograd_facts import AutogradFacts
from .derivatives import Derivatives
from .descent_module import DescentModule
from .linear_dynamics import LinearDynamics
from .linear_regression import LinearRegression
from .stable_rate import StableRate
from .toy_objective import ToyObjective
from .two_layer_net import TwoLayerNet

__all__ = [
    "AutogradFacts",
    "Derivatives",
    "DescentModule",
    "LinearDynamics",
    "LinearRegression",
    "StableRate",
    "ToyObjective",
    "TwoLayerNet",
]
