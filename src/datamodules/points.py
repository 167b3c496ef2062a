"""The points at which an objective is evaluated."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor

from ..errors import UsageError


@dataclass(frozen=True)
class Grid:
    r"""Numbers at equal distances, both ends included.

    .. math:: x_i = a + i\,\frac{b - a}{n - 1}, \qquad i = 0, \dots, n - 1

    Args:
        start: a.
        stop: b.
        count: n, how many numbers.

    Raises:
        UsageError: if an end is not finite, stop is not above start, or count is below 2.

    Example:
        >>> Grid(start=0.0, stop=1.0, count=3).points()
        tensor([0.0000, 0.5000, 1.0000], dtype=torch.float64)
    """

    start: float = -5.0
    stop: float = 5.0
    count: int = 101

    def __post_init__(self) -> None:
        if not (math.isfinite(self.start) and math.isfinite(self.stop) and self.start < self.stop):
            raise UsageError(
                f"grid.start = {self.start} and grid.stop = {self.stop}: "
                "give two numbers, the smaller one first"
            )
        if self.count < 2:
            raise UsageError(f"grid.count = {self.count} is below 2: a grid has both of its ends")

    def points(self) -> Tensor:
        """Return the numbers; shape (count,), float64."""
        return torch.linspace(self.start, self.stop, self.count, dtype=torch.float64)


class Whole:
    """A loader with one batch: all points, for every process.

    Args:
        points: one point along the first axis.
    """

    def __init__(self, points: Tensor) -> None:
        self.points = points

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[Tensor]:
        yield self.points


class Points(LightningDataModule):
    """Points at which an objective is evaluated: chosen ones, those of a grid, or both.

    The batch is all points, stacked along the first axis, the chosen ones first; it is float64
    whatever the trainer's precision, and stays on the CPU where the device has no float64.

    Args:
        points: a number or nested lists of numbers for each point, all of one shape.
        grid: numbers at equal distances, for an objective of one number.

    Attributes:
        points: the stacked points; shape (number of points, *shape of a point).

    Raises:
        UsageError: if there is no point, the points differ in shape or are not finite, or a grid
            is given beside points that are not numbers.

    Example:
        >>> Points(points=[[1.0, 2.0], [3.0, 4.0]]).points.shape
        torch.Size([2, 2])
    """

    def __init__(
        self,
        points: list[float] | list[list[float]] | list[list[list[float]]] | None = None,
        grid: Grid | None = None,
    ) -> None:
        super().__init__()
        chosen = _stacked(points) if points else torch.empty(0, dtype=torch.float64)
        if grid is not None and chosen.dim() > 1:
            raise UsageError(
                f"points has points of shape {tuple(chosen.shape[1:])} and grid has numbers: "
                "leave one of them out"
            )
        self.points = chosen if grid is None else torch.cat((chosen, grid.points()))
        if not self.points.numel():
            raise UsageError("there is no point to evaluate at: give points, a grid, or both")

    def transfer_batch_to_device(
        self, batch: Tensor, device: torch.device, dataloader_idx: int
    ) -> Tensor:
        """Return the points as they were before the trainer's precision touched the batch."""
        return self.points if device.type == "mps" else self.points.to(device)

    def test_dataloader(self) -> Whole:
        """Return the points."""
        return Whole(self.points)

    def predict_dataloader(self) -> Whole:
        """Return the points."""
        return Whole(self.points)


def _stacked(
    points: list[float] | list[list[float]] | list[list[list[float]]],
) -> Tensor:
    try:
        stacked = torch.tensor(points, dtype=torch.float64)
    except (TypeError, ValueError) as error:
        raise UsageError(f"points must all have one shape, as nested lists: {error}") from error
    for index, point in enumerate(stacked):
        if not point.isfinite().all():
            raise UsageError(f"points[{index}] = {point.tolist()} is not finite: give numbers")
    return stacked
