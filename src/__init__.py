"""Gradient descent that can be checked, as a PyTorch Lightning training pipeline."""

__version__ = "0.1.0"
