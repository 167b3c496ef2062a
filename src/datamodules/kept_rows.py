"""The rows that a run was trained on, kept so that no others are taken for them."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import UsageError
from .regression_rows import RegressionRows

#: values whose digest is taken at once
AT_ONCE = 2**20


def digest_of(x: Tensor, y: Tensor) -> str:
    """Return a digest of rows, the same whatever type or file they came in.

    Values are rounded to float32: what is computed, as the diabetes data are, may differ in its
    last digit on another machine.

    Args:
        x: shape (N, d).
        y: shape (N,).

    >>> x, y = torch.ones(4, 1), torch.arange(4)
    >>> digest_of(x, y) == digest_of(x.double(), y.double())
    True
    >>> digest_of(x, y) == digest_of(x, y + 1)
    False
    """
    found = hashlib.sha256()
    rows = max(AT_ONCE // x.shape[1], 1)
    for inputs, targets in zip(torch.split(x, rows), torch.split(y, rows), strict=True):
        for part in (inputs, targets):
            found.update(part.to(torch.float32).contiguous().numpy().data)
    return found.hexdigest()


def check_kept(kept: Mapping[str, Any]) -> None:
    """Refuse what no run keeps of its rows.

    Args:
        kept: `data`, and the row numbers of each set where they are kept.

    Raises:
        UsageError: something is missing, or of another kind, or a row is not in one set alone.
    """
    known = kept.get("data")
    kinds = {
        "rows": int,
        "digest": str,
        "columns": list | None,
        "split": list | None,
        "random_state": int,
    }
    known = known if isinstance(known, Mapping) and known.keys() >= kinds.keys() else {}
    right = bool(known) and all(isinstance(known[key], kind) for key, kind in kinds.items())
    if right and all(isinstance(name, str) for name in known["columns"] or ()):
        sets = {name: rows for name, rows in kept.items() if name != "data"}
        names = {"train"} if known["split"] is None else {"train", "val", "test"}
        if not sets or (sets.keys() == names and _share(list(sets.values()), known["rows"])):
            return
    raise UsageError(
        "what the run keeps of its rows, in split.pt and its checkpoints, is damaged: which rows "
        "it was trained on is not known"
    )


def _share(sets: Sequence[Any], count: int) -> bool:
    """Return whether sets of row numbers have each row once."""
    if not all(_are_rows(rows, count) for rows in sets) or sum(map(len, sets)) != count:
        return False
    there = torch.zeros(count, dtype=torch.bool)
    for rows in sets:
        there[rows] = True
    return bool(there.all())


def _are_rows(tensor: Any, count: int) -> bool:
    """Return whether these are row numbers below a count."""
    if not isinstance(tensor, Tensor) or tensor.dtype != torch.int64 or tensor.ndim != 1:
        return False
    return len(tensor) > 0 and int(tensor.min()) >= 0 and int(tensor.max()) < count


def known_of(
    rows: RegressionRows, split: Sequence[float] | None, random_state: int
) -> dict[str, Any]:
    """Return what a run keeps of its rows, in plain types.

    Args:
        rows: with targets.
        split: the fractions for training, validation and test.
        random_state: the seed of the split.
    """
    return {
        "rows": len(rows.x),
        "digest": digest_of(rows.x, rows.targets),
        "columns": rows.columns and list(rows.columns),
        "split": split and list(split),
        "random_state": random_state,
    }


def rows_added(
    kept: Mapping[str, Any],
    own: Mapping[str, Any],
    rows: RegressionRows,
    where: str,
    advice: str,
) -> int:
    """Return how many rows come after those that a run was trained on.

    Args:
        kept: what the run keeps of its rows.
        own: the same of the rows at hand.
        rows: the rows at hand.
        where: where they are from, for messages.
        advice: what to do with other data.

    Raises:
        UsageError: they are not, or do not begin with, the rows of the run; or they are to be
            split otherwise.
    """
    for name in ("split", "random_state"):
        if own[name] != kept[name]:
            raise UsageError(
                f"{name} = {own[name]}, and the run was trained with {name} = {kept[name]}: "
                "leave it out, or rows are tested that were trained on"
            )
    count, added = kept["rows"], own["rows"] - kept["rows"]
    digest = own["digest"] if added == 0 else digest_of(rows.x[:count], rows.targets[:count])
    if added < 0 or digest != kept["digest"]:
        there = f"{own['rows']} rows instead of {count}" if added < 0 else "other values"
        there += f" in its first {count} rows" * (added > 0)
        raise UsageError(f"{where} is not what the run was trained on, it has {there}: {advice}")
    return int(added)
