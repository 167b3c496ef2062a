"""Data for a regression that need no file: a noisy line, and one column of the diabetes data."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import UsageError


@dataclass(frozen=True)
class Line:
    r"""A noisy line.

    .. math:: y_i = a x_i + b + \sigma \varepsilon_i, \; x_i, \varepsilon_i \sim \mathcal{N}(0, 1)

    Args:
        slope: a.
        bias: b.
        noise: the standard deviation of the noise, sigma.
        size: the number of points.
        seed: of the points and the noise.

    Raises:
        UsageError: a value is not finite, noise is negative, or size is below 1.
    """

    slope: float = 2.0
    bias: float = -1.0
    noise: float = 0.5
    size: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("slope", "bias", "noise"):
            value = getattr(self, name)
            if not math.isfinite(value):
                raise UsageError(f"line.{name} = {value} is not finite: give a number")
        if self.noise < 0:
            raise UsageError(f"line.noise = {self.noise} is negative: give 0 or more")
        if self.size < 1:
            raise UsageError(f"line.size = {self.size} is below 1: give 1 or more")


def noisy_line(line: Line) -> tuple[Tensor, Tensor]:
    """Draw the points of a noisy line.

    Args:
        line: slope, bias, noise, size N and seed.

    Returns:
        X of shape (N, 1) and y of shape (N,), float64.
    """
    generator = torch.Generator().manual_seed(line.seed)
    x, noise = torch.randn(2, line.size, generator=generator, dtype=torch.float64)
    return x[:, None], line.slope * x + line.bias + line.noise * noise


def diabetes(column: str) -> tuple[Tensor, Tensor]:
    r"""Return one column of scikit-learn's diabetes data, and the progression of the disease.

    scikit-learn gives each column centred, with sum of squares 1 over its N = 442 rows. Here it is
    brought to standard deviation 1:

    .. math:: x_i = \sqrt{N} \, x_i^{\text{sklearn}}, \qquad \tfrac1N \sum_i x_i^2 = 1

    With x as scikit-learn gives it, the mean squared error has curvature 2/N = 0.0045 along the
    slope against 2 along the bias: at a learning rate of 0.01 the slope would need 22,000 updates
    to come within a factor e of its minimiser. Here both curvatures are 2, any rate below 1 is
    stable, and both errors shrink by the factor (1 - 2 lr) at each update. The target keeps its
    unit, so that the bias tends to the mean progression (152), the slope is the progression per
    standard deviation of the column (45 for bmi), and the root of the loss is in that unit too.

    Args:
        column: `age`, `sex`, `bmi`, `bp`, `s1` … `s6`.

    Returns:
        X of shape (442, 1), and y of shape (442,): disease progression after one year, 25 to 346.
        Float64.

    Raises:
        UsageError: there is no such column.

    Reference:
        Efron, Hastie, Johnstone and Tibshirani (2004), Least angle regression, section 1.
    """
    from sklearn.datasets import load_diabetes  # a second of start-up, only where it is used

    data = load_diabetes()
    names = list(data.feature_names)
    if column not in names:
        raise UsageError(f"column = {column!r} is not in the diabetes data: use {', '.join(names)}")
    x = torch.from_numpy(data.data)[:, [names.index(column)]]
    return x * math.sqrt(len(x)), torch.from_numpy(data.target)
