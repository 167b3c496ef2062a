"""The problems on which two optimizers are compared: where they start, and what they are fed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

#: gradients are shortened to this norm, so that no learning rate makes a path overflow
LONGEST_GRADIENT = 10.0
#: condition numbers of the quadratics; the largest eigenvalue is 1
CONDITIONS = (1e0, 1e2, 1e4, 1e6)

Parameters = Sequence[Tensor]


@dataclass(frozen=True)
class Problem:
    """A loss over some parameters, and how its gradients and hyperparameters come.

    Attributes:
        name: as a report says it.
        start: the parameters at the start, float64.
        loss: of the parameters, in their precision.
        groups: whether each parameter is a group of its own, with a learning rate of its own.
        changes: whether lr, momentum and decay change during the run.
        factor: what the gradients are multiplied by at a step (from 1).
        missing: whether the parameter of an index has no gradient at a step (from 1).
        sparse: whether the gradients are in the sparse layout.
    """

    name: str
    start: tuple[Tensor, ...]
    loss: Callable[[Parameters], Tensor]
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
        points = [point.detach().requires_grad_() for point in at]
        found = torch.autograd.grad(self.loss(points), points)
        norm = torch.stack([each.norm() for each in found]).norm().item()
        factor = self.factor(step) * min(1.0, LONGEST_GRADIENT / norm if norm > 0 else 1.0)
        fed = [each * factor for each in found]
        return [
            None if self.missing(index, step) else each.to_sparse() if self.sparse else each
            for index, each in enumerate(fed)
        ]


def problems(seed: int = 0) -> list[Problem]:
    """Return the problems, their data and starts drawn from a seed."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    quadratics = [_quadratic(condition, draw) for condition in CONDITIONS]
    net, parts = _net(draw), (draw(3), draw(2, 2))
    x, y = draw(20, 4), draw(20)

    def regression(p: Parameters) -> Tensor:
        return (x.to(p[0]) @ p[0] + p[1] - y.to(p[0])).square().mean()

    regressed = (draw(4), draw())
    table, rows = draw(6, 3), draw(6, 3)
    return [
        *quadratics,
        Problem("Rosenbrock", (_at(-1.2, 1.0),), _rosenbrock),
        Problem("Beale", (_at(1.0, 1.0),), _beale),
        Problem("Himmelblau", (_at(-1.0, 2.0),), _himmelblau),
        Problem("regression", regressed, regression),
        net,
        Problem("gradients near 1e-8", parts, _bowl, factor=lambda step: 1e-8),
        Problem("zero gradients", parts, _bowl, factor=lambda step: float(step % 7 > 3)),
        Problem("missing gradients", parts, _bowl, missing=lambda i, step: (step + i) % 3 == 0),
        Problem("gradients with few entries", (table,), lambda p: _bowl([p[0][: len(p[0]) // 2]])),
        Problem("sparse gradients", (rows,), _bowl, sparse=True),
        Problem("hyperparameters that change", parts, _bowl, changes=True),
        Problem("several groups", parts, _bowl, groups=True),
        Problem("a number and an empty tensor", (draw(), draw(0), draw(2, 3)), _bowl),
        Problem("a matrix", (draw(4, 3),), _bowl),
    ]


def _at(*numbers: float) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


def _quadratic(condition: float, draw: Callable[..., Tensor]) -> Problem:
    curvature = torch.logspace(0, -torch.tensor(condition).log10().item(), 5, dtype=torch.float64)

    def loss(p: Parameters) -> Tensor:
        return (curvature.to(p[0]) * p[0].square()).sum() / 2

    return Problem(f"quadratic of condition {condition:g}", (draw(5),), loss)


def _net(draw: Callable[..., Tensor]) -> Problem:
    x, y = draw(16, 3), draw(16, 2)

    def loss(p: Parameters) -> Tensor:
        hidden = torch.tanh(x.to(p[0]) @ p[0] + p[1])
        return (hidden @ p[2] + p[3] - y.to(p[0])).square().mean()

    return Problem("two-layer net", (draw(3, 4), draw(4), draw(4, 2), draw(2)), loss)


def _bowl(p: Parameters) -> Tensor:
    """Return a sum over the parameters that is curved differently from entry to entry."""
    terms = []
    for each in p:
        flat = each.reshape(-1)
        slope = torch.arange(1, flat.numel() + 1, dtype=flat.dtype, device=flat.device)
        terms.append((slope * (flat - 1).square() / flat.numel() if len(flat) else flat).sum())
    return torch.stack(terms).sum()


def _rosenbrock(p: Parameters) -> Tensor:
    x, y = p[0]
    return torch.add((1 - x) ** 2, 100 * (y - x**2) ** 2)


def _beale(p: Parameters) -> Tensor:
    x, y = p[0]
    terms = (1.5 - x + x * y, 2.25 - x + x * y**2, 2.625 - x + x * y**3)
    return torch.stack(terms).square().sum()


def _himmelblau(p: Parameters) -> Tensor:
    x, y = p[0]
    return torch.add((x**2 + y - 11) ** 2, (x + y**2 - 7) ** 2)
