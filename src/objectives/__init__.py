"""Objectives: functions of parameters with their derivatives in closed form beside them."""

from .check import Comparison, compare, disagreements
from .dot_product import ExpDot, LogDot
from .elementwise import CubicMinusSquare, MeanLog
from .linear_dynamics import LinearDynamicsLoss, initial_states, linear_dynamics_loss, roll_out
from .logistic_regression import LogisticRegression
from .objective import Objective
from .pointwise import Rational, Sigmoid, SineWithConstant, sine_with_constant
from .quadratic import IllConditionedQuadratic, QuadraticWithLinear, Square, SquaredNorm
from .tensor_valued import TraceOfSquare, VectorPair
from .two_numbers import Beale, Booth, Himmelblau, Rosenbrock
from .wavy_kink import WavyKink

__all__ = [
    "Beale",
    "Booth",
    "Comparison",
    "CubicMinusSquare",
    "ExpDot",
    "Himmelblau",
    "IllConditionedQuadratic",
    "LinearDynamicsLoss",
    "LogDot",
    "LogisticRegression",
    "MeanLog",
    "Objective",
    "QuadraticWithLinear",
    "Rational",
    "Rosenbrock",
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
