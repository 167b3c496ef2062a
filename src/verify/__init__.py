"""Hold an optimizer against a reference, step by step, on the same gradients."""

from .verification import OptimizerDiffersError, Verification, compare, verify

__all__ = ["OptimizerDiffersError", "Verification", "compare", "verify"]
