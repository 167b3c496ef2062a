"""Steps without data, for an objective that needs none."""

from collections.abc import Iterator
from typing import Literal

from ..errors import UsageError
from .resumable import ResumableData, ResumableLoader


class StepLoader(ResumableLoader):
    """The numbers 0 … n-1, one at a time: a `range` that can be resumed.

    Args:
        n: how many steps an epoch has.

    >>> list(StepLoader(3))
    [0, 1, 2]
    """

    def __init__(self, n: int) -> None:
        super().__init__()
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __iter__(self) -> Iterator[int]:
        for step in range(self.begin(), self.n):
            self.handed = step + 1
            yield step

    def identity(self) -> dict[str, int]:
        """Return the number of steps."""
        return {"steps": self.n}


class Steps(ResumableData):
    """Drive an objective that needs no data: the batch is the index of the step.

    Args:
        n: updates per epoch.
        chunk: how many updates are made in one turn of the trainer's loop at most, as in
            `RegressionData`.

    Raises:
        UsageError: n is below 1.
    """

    def __init__(self, n: int = 1, chunk: int | Literal["auto"] = "auto") -> None:
        super().__init__(chunk)
        if n < 1:
            raise UsageError(f"n = {n} steps is below 1: give 1 or more")
        self.n = n

    def train_dataloader(self) -> StepLoader:
        """Return the steps of an epoch."""
        return self.resumable(StepLoader(self.n))

    def val_dataloader(self) -> dict[str, range]:
        """Return one step: the objective is evaluated once."""
        return {"train": range(1)}

    def test_dataloader(self) -> range:
        """Return one step."""
        return range(1)

    def predict_dataloader(self) -> range:
        """Return one step."""
        return range(1)
