"""Runs side by side: a list of them, and what two or more have in common and have not."""
