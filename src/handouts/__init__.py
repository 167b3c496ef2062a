"""Printed figures of any course, held to their printed digits: handouts, entries and the report.

`docs/your_own_handout.md` shows how a file of one's own is written.
"""

from .claims import Claim, Claims
from .entry import Entry, Handout, Result
from .row import Row
from .runs import Finished, edge_text, node_text

__all__ = [
    "Claim",
    "Claims",
    "Entry",
    "Finished",
    "Handout",
    "Result",
    "Row",
    "edge_text",
    "node_text",
]
