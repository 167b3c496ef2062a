"""Objectives: functions of parameters with their derivatives in closed form beside them."""

from .check import Comparison, compare, disagreements
from .dot_product import ExpDot, LogDot
from .elementwise import CubicMinusSquare, MeanLog
from .linear_dynamics import LinearDynamicsLoss, initial_states, linear_dynamics_loss, roll_out
from .objective import Objective
from .pointwise import Rational, Sigmoid, SineWithConstant, sine_with_constant
from .quadratic import QuadraticWithLinear, Square, SquaredNorm
from .tensor_valued import TraceOfSquare, VectorPair
from .wavy_kink import WavyKink

__all__ = [
    "Comparison",
    "CubicMinusSquare",
    "ExpDot",
    "LinearDynamicsLoss",
    "LogDot",
    "MeanLog",
    "Objective",
    "QuadraticWithLinear",
    "Rational",
    "Sigmoid",
    "SineWithConstant",
    "Square",
    "SquaredNorm",
    "TraceOfSquare",
    "VectorPair",
    "WavyKink",
    "compare",
    "disagreements",
    "initial_states",
    "linear_dynamics_loss",
    "roll_out",
    "sine_with_constant",
]
