"""Hold an optimizer against a reference, step by step, on the same gradients."""

from .identification import Identity, identify
from .verification import OptimizerDiffersError, Verification, compare, verify

__all__ = ["Identity", "OptimizerDiffersError", "Verification", "compare", "identify", "verify"]
