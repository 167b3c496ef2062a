"""Tolerances, in one place; never widened without the observed error in a comment."""

FLOAT64 = 1e-12
FLOAT32 = 1e-5
