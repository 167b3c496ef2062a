"""Training, validation and test rows, as scikit-learn's `train_test_split` draws them."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import UsageError

LEAST_ROWS = 10

Rows = NDArray[np.int64]


def check_fractions(split: tuple[float, float, float]) -> None:
    """Refuse fractions that are not three positive numbers with sum 1.

    Args:
        split: the fractions for training, validation and test.

    Raises:
        UsageError: one is not above 0, or they do not add to 1 (within 1e-9).
    """
    if len(split) != 3 or not all(fraction > 0 for fraction in split):
        raise UsageError(
            f"split = {list(split)}: give three fractions above 0, or null for no split"
        )
    if not abs(sum(split) - 1) <= 1e-9:
        raise UsageError(f"split = {list(split)} adds to {sum(split):.6g}: make it add to 1")


def split_rows(
    rows: int, split: tuple[float, float, float], random_state: int
) -> dict[str, Tensor]:
    r"""Split row numbers into training, validation and test.

    As by calling `train_test_split` twice, with the same `random_state`: on all rows, holding out
    b + c of them, and on those held out. The first part of these is the validation set, the second
    the test set. `ShuffleSplit` is what `train_test_split` calls; by itself it makes no copies.

    Args:
        rows: the number of rows, N, at least 10.
        split: the fractions (a, b, c) for training, validation and test.
        random_state: scikit-learn's seed, both times, at least 0, below 2³².

    Returns:
        `train`, `val` and `test`: row numbers in the order drawn, int64.

    Raises:
        UsageError: there are fewer than 10 rows, a set would be empty, or the seed is none.
    """
    if not 0 <= random_state < 2**32:
        raise UsageError(f"random_state = {random_state} is no seed: give 0 to {2**32 - 1}")
    if rows < LEAST_ROWS:
        given = "1 row is" if rows == 1 else f"{rows} rows are"
        raise UsageError(
            f"{given} too few to split: give at least {LEAST_ROWS}, or --data.split null"
        )
    _, second, third = split
    held = _count(rows, second + third)
    tested = _count(held, third / (second + third))
    if held >= rows or tested >= held:
        raise UsageError(
            f"split = {list(split)} of {rows} rows leaves a set empty: give larger fractions"
        )
    drawn, held_rows = _hold_out(rows, held, random_state)
    val, test = (held_rows[part] for part in _hold_out(held, tested, random_state))
    np.concatenate([val, test], out=held_rows)  # all three are views of one array
    return {
        "train": torch.from_numpy(drawn),
        "val": torch.from_numpy(held_rows[: len(val)]),
        "test": torch.from_numpy(held_rows[len(val) :]),
    }


def _hold_out(rows: int, held: int, random_state: int) -> tuple[Rows, Rows]:
    """Return the rows that are kept and those held out, as two views of one permutation."""
    # a second of start-up, only where it is used
    from sklearn.model_selection import ShuffleSplit

    nothing = np.broadcast_to(np.int8(0), (rows,))  # only its length is looked at
    kept, out = next(ShuffleSplit(1, test_size=held, random_state=random_state).split(nothing))
    return kept, out


def _count(rows: int, fraction: float) -> int:
    """Round up as scikit-learn does, without the rounding error of the sum: 0.2 + 0.1 is 0.3."""
    return math.ceil(round(rows * fraction, 6))
