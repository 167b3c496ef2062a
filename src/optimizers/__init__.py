"""Rules: hand-coded `torch.optim.Optimizer` classes with their arithmetic written out."""

from .adam import Adam
from .gradient_descent import GradientDescent
from .momentum import Momentum
from .rule import Rule

__all__ = ["Adam", "GradientDescent", "Momentum", "Rule"]
