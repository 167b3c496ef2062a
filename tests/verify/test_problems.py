"""The gradients of the problems, which are written out, are those of automatic differentiation."""

import inspect

import pytest
import torch

from descentlab.objectives import Beale, Himmelblau, Rosenbrock
from descentlab.verify.problems import CONDITIONS, LONGEST_GRADIENT, problems

EVERY = {problem.name: problem for problem in problems()}


def quadratics(p):
    return sum(
        (torch.logspace(0, -torch.tensor(c).log10(), 5, dtype=torch.float64) * x**2 / 2).sum()
        for c, x in zip(CONDITIONS, p, strict=True)
    )


def regression(p, x, y):
    return ((x @ p[0] + p[1] - y) ** 2).mean()


def net(p, x, y):
    return ((torch.tanh(x @ p[0] + p[1]) @ p[2] + p[3] - y) ** 2).mean()


def of_two_numbers(objective):
    return lambda p: objective(p[0])


def bowl(p):
    flat = [each.reshape(-1) for each in p if each.numel()]
    weights = [torch.arange(1, len(each) + 1, dtype=torch.float64) for each in flat]
    return sum((w * (each - 1) ** 2).mean() for w, each in zip(weights, flat, strict=True))


LOSSES = {
    next(name for name in EVERY if name.startswith("quadratics")): quadratics,
    "Rosenbrock": of_two_numbers(Rosenbrock()),
    "Beale": of_two_numbers(Beale()),
    "Himmelblau": of_two_numbers(Himmelblau()),
    "regression": regression,
    "two-layer net": net,
    "gradients with few entries": lambda p: bowl([p[0][:3]]),
}


@pytest.mark.parametrize("name", EVERY)
def test_a_gradient_is_that_of_the_loss(name):
    problem, loss = EVERY[name], LOSSES.get(name, bowl)
    data = inspect.getclosurevars(problem.slopes).nonlocals
    data = {key: torch.from_numpy(data[key]) for key in ("x", "y") if key in data}
    draw = torch.Generator().manual_seed(5)
    for _ in range(3):
        at = [
            torch.randn(each.shape, generator=draw, dtype=torch.float64).requires_grad_()
            for each in problem.start
        ]
        expected = torch.autograd.grad(
            loss(at, **data), at, allow_unused=True, materialize_grads=True
        )
        found = problem.slopes([each.detach().numpy() for each in at])
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(torch.as_tensor(one), other, rtol=1e-12, atol=1e-12)


def test_a_gradient_that_is_too_long_is_shortened():
    far = [torch.tensor([30.0, -40.0])]
    fed = EVERY["Himmelblau"].gradients(far, 1)[0]
    assert fed.dtype == torch.float32
    assert fed.norm().item() == pytest.approx(LONGEST_GRADIENT, rel=1e-6)
