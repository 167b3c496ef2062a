"""Shipped experiment configurations (YAML)."""
