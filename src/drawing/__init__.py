"""Figures and graphs, as pure functions of numbers."""
