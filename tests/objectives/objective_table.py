"""The objectives under test: one row each, with points from the start and a range to draw from."""

from dataclasses import dataclass

import torch
from hypothesis import strategies as st
from torch import Tensor

from descentlab import objectives
from descentlab.objectives import Objective


@dataclass(frozen=True)
class Row:
    objective: Objective
    size: tuple[int, ...] = ()  # of the points drawn
    low: float = -3.0
    high: float = 3.0

    @property
    def name(self) -> str:
        return type(self.objective).__name__

    def points(self) -> st.SearchStrategy[Tensor]:
        """Draw points of the row's size."""
        count = torch.Size(self.size).numel()
        number = st.floats(self.low, self.high, allow_subnormal=False)
        return st.lists(number, min_size=count, max_size=count).map(
            lambda values: torch.tensor(values, dtype=torch.float64).reshape(self.size)
        )

    def some_points(self, count: int) -> Tensor:
        """Return fixed points, first axis the point."""
        generator = torch.Generator().manual_seed(7)
        unit = torch.rand((count, *self.size), generator=generator, dtype=torch.float64)
        return self.low + (self.high - self.low) * unit


TABLE = [
    Row(objectives.Square()),
    Row(objectives.SquaredNorm(), (3,)),
    Row(objectives.QuadraticWithLinear(), low=-10, high=10),
    Row(objectives.CubicMinusSquare(), (2, 3)),
    Row(objectives.WavyKink(), low=-5, high=5),
    Row(objectives.Rational(), low=-5, high=15),
    Row(objectives.Sigmoid(), low=-8, high=8),
    Row(objectives.SineWithConstant(), low=-10, high=10),
    Row(objectives.MeanLog(), (4,)),
    Row(objectives.LogDot(b=(0.5, 1.0, 2.0)), (3,), low=0.25, high=4),
    Row(objectives.ExpDot(b=(0.5, -1.0, 2.0)), (3,), low=-1, high=1),
    Row(objectives.VectorPair(), (2,)),
    Row(objectives.TraceOfSquare(), (3, 3)),
    Row(objectives.LinearDynamicsLoss(n=64)),
    Row(objectives.Rosenbrock(), (2,)),
    Row(objectives.Beale(), (2,)),
    Row(objectives.Himmelblau(), (2,), low=-5, high=5),
    Row(objectives.Booth(), (2,), low=-10, high=10),
    Row(objectives.IllConditionedQuadratic(condition=1e4), (5,)),
    Row(objectives.LogisticRegression(), (2,)),
]


def exported() -> set[str]:
    """Return the names of all objectives in the package's `__all__`."""
    found = (getattr(objectives, name) for name in objectives.__all__)
    return {
        entry.__name__
        for entry in found
        if isinstance(entry, type) and issubclass(entry, Objective) and entry is not Objective
    }
