"""A whole grid of hyperparameters and seeds, trained at once: members, their losses, their data."""

from .data import SeedData, drawn_with
from .evaluation import MemberEvaluation
from .losses import MemberLosses, bytes_of, spread, stack_seeds
from .members import Group, Members, check_grid
from .record import Record, rows_of
from .store import Store

__all__ = [
    "Group",
    "MemberEvaluation",
    "MemberLosses",
    "Members",
    "Record",
    "SeedData",
    "Store",
    "bytes_of",
    "check_grid",
    "drawn_with",
    "rows_of",
    "spread",
    "stack_seeds",
]
