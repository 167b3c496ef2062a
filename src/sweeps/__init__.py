"""A whole grid of hyperparameters and seeds, trained at once: members, their losses, their data."""

from .data import SeedData, members_that_fit, seeded
from .descent import GroupDescent, least_finite
from .evaluation import MemberEvaluation
from .losses import MemberLosses, stack_seeds
from .members import Group, Members, Plan
from .processes import leave_members_alone
from .record import Record, ranked, rows_of
from .results import SweepResults
from .stepping import MemberOptimizers, check_grid, set_hyperparameters, steps_rows_alone
from .store import Store
from .sweep import Sweep

__all__ = [
    "Group",
    "GroupDescent",
    "MemberEvaluation",
    "MemberLosses",
    "MemberOptimizers",
    "Members",
    "Plan",
    "Record",
    "SeedData",
    "Store",
    "Sweep",
    "SweepResults",
    "check_grid",
    "least_finite",
    "leave_members_alone",
    "members_that_fit",
    "ranked",
    "rows_of",
    "seeded",
    "set_hyperparameters",
    "stack_seeds",
    "steps_rows_alone",
]
