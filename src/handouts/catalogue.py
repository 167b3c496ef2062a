"""All entries, in the order of the handouts, and the ids that there must be."""

from ..errors import UsageError
from . import ag, di, lg, ps, tp
from .entry import HANDOUTS, Entry

#: every row of the five handouts; the catalogue holds exactly these
IDS = (
    *("TP-1.1", "TP-1.2a", "TP-1.2b", "TP-1.2c", "TP-1.2d", "TP-1.2e", "TP-1.2f", "TP-1.3"),
    *(f"AG-{number}" for number in range(1, 8)),
    *(f"DI-{number}" for number in range(1, 15)),
    *(f"PS-{part}.{number}" for part in (1, 2) for number in range(1, 6)),
    *("LG-1", "LG-2"),
)

CATALOGUE = {entry.id: entry for part in (tp, ag, di, ps, lg) for entry in part.ENTRIES}


def select(only: list[str], handout: str | None = None) -> list[Entry]:
    """Return the entries of some ids, or of a handout, or all of them, in the catalogue's order.

    Args:
        only: ids; none for no choice by id.
        handout: two letters; None for no choice by handout.

    Raises:
        UsageError: if there is no such id or handout, with those that there are.

    Example:
        >>> [entry.id for entry in select(["LG-2", "AG-1"])]
        ['AG-1', 'LG-2']
    """
    unknown = [name for name in only if name not in CATALOGUE]
    if unknown:
        raise UsageError(f"there is no entry {', '.join(unknown)}: there are {', '.join(IDS)}")
    if handout is not None and handout not in HANDOUTS:
        raise UsageError(f"there is no handout {handout}: there are {', '.join(HANDOUTS)}")
    return [
        entry
        for entry in CATALOGUE.values()
        if (not only or entry.id in only) and handout in (None, entry.handout)
    ]
