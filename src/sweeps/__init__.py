"""A whole grid of hyperparameters and seeds, trained at once: members, their losses, their data."""

from .data import SeedData, batches_in, drawn_with, members_that_fit
from .descent import GroupDescent, hyperparameters_into, least_finite
from .evaluation import MemberEvaluation
from .losses import MemberLosses, stack_seeds
from .members import Group, Members, check_grid
from .record import Record, ranked, rows_of
from .store import Store
from .sweep import Sweep

__all__ = [
    "Group",
    "GroupDescent",
    "MemberEvaluation",
    "MemberLosses",
    "Members",
    "Record",
    "SeedData",
    "Store",
    "Sweep",
    "batches_in",
    "check_grid",
    "drawn_with",
    "hyperparameters_into",
    "least_finite",
    "members_that_fit",
    "ranked",
    "rows_of",
    "stack_seeds",
]
