"""The problems on which two optimizers are compared: where they start, and what they are fed.

Gradients are written out for NumPy: with tensors as small as these, automatic differentiation would
take longer than the optimizers that are looked at.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..objectives import Beale, Himmelblau, Rosenbrock
from ..objectives.two_numbers import OfTwoNumbers

#: gradients are shortened to this norm, so that no learning rate makes a path overflow
LONGEST_GRADIENT = 10.0
#: condition numbers of the quadratics; the largest eigenvalue is 1
CONDITIONS = (1e0, 1e2, 1e4, 1e6)

Parameters = Sequence[Tensor]
Array = NDArray[np.float64]
#: the gradient of a loss at some parameters, one array for each
Slopes = Callable[[list[Array]], list[Array]]


@dataclass(frozen=True)
class Problem:
    """A loss over some parameters, by its gradient, and how it and hyperparameters come.

    Attributes:
        name: as a report says it.
        start: the parameters at the start, float64.
        slopes: the gradient at some parameters, in float64 whatever their precision.
        groups: whether each parameter is a group of its own, with a learning rate of its own.
        changes: whether lr, momentum and decay change during the run.
        factor: what the gradients are multiplied by at a step (from 1).
        missing: whether the parameter of an index has no gradient at a step (from 1).
        sparse: whether the gradients are in the sparse layout.
    """

    name: str
    start: tuple[Tensor, ...]
    slopes: Slopes
    groups: bool = False
    changes: bool = False
    factor: Callable[[int], float] = lambda step: 1.0
    missing: Callable[[int, int], bool] = lambda index, step: False
    sparse: bool = False

    def gradients(self, at: Parameters, step: int) -> list[Tensor | None]:
        """Return the gradients at some parameters, as they are fed at a step (from 1).

        Returns:
            One for each parameter; None where it is missing.
        """
        found = self.slopes([each.detach().numpy().astype(np.float64) for each in at])
        norm = sum(float((each * each).sum()) for each in found) ** 0.5
        factor = self.factor(step) * min(1.0, LONGEST_GRADIENT / norm if norm > 0 else 1.0)
        fed = [
            torch.from_numpy(np.asarray(each * factor)).to(parameter.dtype)
            for each, parameter in zip(found, at, strict=True)
        ]
        if self.sparse:
            return [each.to_sparse() for each in fed]
        return [None if self.missing(index, step) else each for index, each in enumerate(fed)]


def problems(seed: int = 0) -> list[Problem]:
    """Return the problems, their data and starts drawn from a seed."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    quadratics = _quadratics(draw)
    net, parts = _net(draw), (draw(3), draw(2, 2))
    regression = _regression(draw)
    table, rows = draw(6, 3), draw(6, 3)
    return [
        quadratics,
        _of_two_numbers(Rosenbrock()),
        _of_two_numbers(Beale()),
        _of_two_numbers(Himmelblau()),
        regression,
        net,
        Problem("gradients near 1e-8", parts, _bowl, factor=lambda step: 1e-8),
        Problem("zero gradients", parts, _bowl, factor=lambda step: float(step % 7 > 3)),
        Problem("missing gradients", parts, _bowl, missing=lambda i, step: (step + i) % 3 == 0),
        Problem("gradients with few entries", (table,), _half_a_bowl),
        Problem("sparse gradients", (rows,), _bowl, sparse=True),
        Problem("hyperparameters that change", parts, _bowl, changes=True),
        Problem("several groups", parts, _bowl, groups=True),
        Problem("a number and an empty tensor", (draw(), draw(0), draw(2, 3)), _bowl),
        Problem("a matrix", (draw(4, 3),), _bowl),
    ]


def _of_two_numbers(objective: OfTwoNumbers) -> Problem:
    """Return an objective of two numbers, from its start."""
    start = (objective.start,)
    return Problem(objective.name, start, lambda p: [np.array(objective.slopes(*p[0]))])


def _quadratics(draw: Callable[..., Tensor]) -> Problem:
    r"""Return :math:`\sum_i \lambda_i x_i^2 / 2`, one parameter for each condition number.

    The eigenvalues go from 1 down to 1 / condition.
    """
    curvatures = [np.logspace(0, -np.log10(condition), 5) for condition in CONDITIONS]
    return Problem(
        f"quadratics of condition {CONDITIONS[0]:g} to {CONDITIONS[-1]:g}",
        tuple(draw(5) for _ in CONDITIONS),
        lambda p: [curvature * each for curvature, each in zip(curvatures, p, strict=True)],
    )


def _regression(draw: Callable[..., Tensor]) -> Problem:
    """Return the mean square of X w + b - y."""
    x, y = draw(20, 4).numpy(), draw(20).numpy()

    def slopes(p: list[Array]) -> list[Array]:
        off = 2 * (x @ p[0] + p[1] - y) / len(y)
        return [x.T @ off, off.sum()]

    return Problem("regression", (draw(4), draw()), slopes)


def _net(draw: Callable[..., Tensor]) -> Problem:
    """Return the mean square of tanh(X A + a) B + b - Y."""
    x, y = draw(16, 3).numpy(), draw(16, 2).numpy()

    def slopes(p: list[Array]) -> list[Array]:
        hidden = np.tanh(x @ p[0] + p[1])
        off = 2 * (hidden @ p[2] + p[3] - y) / y.size
        back = (off @ p[2].T) * (1 - hidden**2)
        return [x.T @ back, back.sum(0), hidden.T @ off, off.sum(0)]

    return Problem("two-layer net", (draw(3, 4), draw(4), draw(4, 2), draw(2)), slopes)


def _bowl(p: list[Array]) -> list[Array]:
    """Return the gradient of a mean of k (x_k - 1)^2 over the entries of each parameter."""
    return [
        2 * (each - 1) * np.arange(1, each.size + 1).reshape(each.shape) / max(each.size, 1)
        for each in p
    ]


def _half_a_bowl(p: list[Array]) -> list[Array]:
    """Return the gradient of a bowl of the first half of the rows."""
    slopes, half = np.zeros_like(p[0]), len(p[0]) // 2
    slopes[:half] = _bowl([p[0][:half]])[0]
    return [slopes]
