"""Measure what the documentation claims about speed: `python scripts/benchmark.py [CASE]`."""
