"""Training, validation and test rows, as scikit-learn's `train_test_split` draws them."""

import math

import numpy as np
import torch
from torch import Tensor

from ..errors import UsageError

LEAST_ROWS = 10


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

    `train_test_split` is called twice, with the same `random_state`: on all rows, holding out b + c
    of them, and on those held out. The first part of these is the validation set, the second the
    test set.

    Args:
        rows: the number of rows, N, at least 10.
        split: the fractions (a, b, c) for training, validation and test.
        random_state: scikit-learn's seed, both times.

    Returns:
        `train`, `val` and `test`: row numbers in the order drawn, int64.

    Raises:
        UsageError: there are fewer than 10 rows, or a set would be empty.
    """
    from sklearn.model_selection import (
        train_test_split,
    )  # a second of start-up, only where it is used

    if rows < LEAST_ROWS:
        raise UsageError(
            f"{rows} rows are too few to split: give at least {LEAST_ROWS}, or split null"
        )
    _, val, test = split
    held = _count(rows, val + test)
    tested = _count(held, test / (val + test))
    if held >= rows or tested >= held:
        raise UsageError(
            f"split = {list(split)} of {rows} rows leaves a set empty: give larger fractions"
        )
    train_rows, held_rows = train_test_split(
        np.arange(rows), test_size=held, random_state=random_state
    )
    val_rows, test_rows = train_test_split(held_rows, test_size=tested, random_state=random_state)
    return {
        "train": torch.from_numpy(train_rows),
        "val": torch.from_numpy(val_rows),
        "test": torch.from_numpy(test_rows),
    }


def _count(rows: int, fraction: float) -> int:
    """Round up as scikit-learn does, without the rounding error of the sum: 0.2 + 0.1 is 0.3."""
    return math.ceil(round(rows * fraction, 6))
