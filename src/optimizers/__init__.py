"""Rules: hand-coded `torch.optim.Optimizer` classes with their arithmetic written out."""

from .adam import Adam, adam_step
from .gradient_descent import GradientDescent, gradient_descent_step
from .momentum import Momentum, momentum_step
from .rule import Rule

__all__ = [
    "Adam",
    "GradientDescent",
    "Momentum",
    "Rule",
    "adam_step",
    "gradient_descent_step",
    "momentum_step",
]
