"""Measurements behind each speed claim of the documentation: descentlab and its alternatives."""
