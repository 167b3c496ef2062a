"""Where an optimizer stops being stable, against closed forms on quadratics."""

import numpy as np
import pytest
import torch
from sklearn import datasets

from descentlab.errors import RunError
from descentlab.optimizers import Adam, GradientDescent, Momentum, Rule
from descentlab.optimizers.stability import (
    Settling,
    curvature_by_power_iteration,
    largest_stable_rate,
    predicted_rate,
)
from tolerances import FLOAT64

EXACT = 1e-3  # what is promised of an observed rate; 4e-6 was seen
SETS = ["diabetes", "wine", "iris", "linnerud"]
SETS += [pytest.param("breast_cancer", marks=pytest.mark.slow)]


def quadratic(curvatures, start=None):
    weights = torch.tensor(curvatures, dtype=torch.float64)
    theta = torch.ones_like(weights) if start is None else start.double()
    theta.requires_grad_()
    return (lambda: (weights * theta**2).sum() / 2), theta


def heavy_ball(momentum):
    return lambda parameters: Momentum(parameters, lr=0.1, momentum=momentum)


def descent(parameters):
    return GradientDescent(parameters, lr=0.1)


def torch_heavy_ball(parameters):
    return torch.optim.SGD(parameters, lr=0.1, momentum=0.9)


@pytest.mark.parametrize("curvatures", [[3.0], [1.0, 7.0, 2.0], [-9.0, 4.0], [1e-6, 1e6]])
def test_curvature_is_the_largest_in_magnitude(curvatures):
    loss, theta = quadratic(curvatures)
    expected = max(curvatures, key=abs)
    found = curvature_by_power_iteration(loss, [theta])
    assert found == pytest.approx(expected, rel=FLOAT64)
    assert found != pytest.approx(1.01 * expected, rel=FLOAT64)


def test_curvature_is_seen_where_the_entries_cancel():
    """The Hessian's eigenvector is (1, -1), across a vector of ones."""
    a, b = (torch.tensor(1.0, dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert curvature_by_power_iteration(lambda: (a - b) ** 2, [a, b]) == pytest.approx(4.0)


def test_curvature_over_several_parameters():
    a, b = (torch.tensor(1.0, dtype=torch.float64, requires_grad=True) for _ in range(2))
    found = curvature_by_power_iteration(lambda: a**2 + b**2 + a * b, [a, b])
    assert found == pytest.approx(3.0, rel=FLOAT64)  # [[2, 1], [1, 2]] along (1, 1)


def test_a_straight_line_has_no_curvature():
    a, b = (torch.tensor(1.0, requires_grad=True) for _ in range(2))
    assert curvature_by_power_iteration(lambda: 2 * a, [a]) == 0.0
    assert curvature_by_power_iteration(lambda: a + b * 0.0, [a, b]) == 0.0
    assert curvature_by_power_iteration(lambda: a**2, [a, b]) == pytest.approx(2.0)  # b unused


@pytest.mark.parametrize("factor", [0.9, 0.999])
@pytest.mark.parametrize("curvatures", [[5.0], [5.0, 5.0e-4], [5.0, 1.0, 4.9]])
def test_steps_settle_below_the_bound_and_not_above(factor, curvatures):
    loss, theta = quadratic(curvatures)
    settling = Settling(loss, [theta], lambda: descent([theta]))
    assert settling(factor * 2 / 5)
    assert not settling(2 / 5 / factor)
    assert torch.equal(theta, torch.ones_like(theta))  # put back


@pytest.mark.parametrize("second", [0.9, 0.99, 0.998, 0.9999])
def test_close_curvatures(second):
    loss, theta = quadratic([1.0, second, 0.01])
    observed = largest_stable_rate(Settling(loss, [theta], lambda: descent([theta])), 2e-4)
    assert observed == pytest.approx(2.0, rel=EXACT)


def test_steps_that_overflow_do_not_settle():
    loss, theta = quadratic([5.0])
    settling = Settling(loss, [theta], lambda: descent([theta]))
    assert not settling(1e200)
    assert settling(0.1)  # what overflowed is forgotten


def standardised(name):
    bunch = getattr(datasets, f"load_{name}")()
    x = (bunch.data - bunch.data.mean(0)) / bunch.data.std(0)
    y = bunch.target if bunch.target.ndim == 1 else bunch.target[:, 0]
    return np.c_[x, np.ones(len(x))], y.astype(float)


@pytest.mark.parametrize(
    ("make", "times"),
    [
        pytest.param(descent, 2, id="gradient-descent"),
        pytest.param(heavy_ball(0.5), 3, id="heavy-ball-0.5"),
        pytest.param(torch_heavy_ball, 3.8, id="torch-heavy-ball-0.9"),
    ],
)
@pytest.mark.parametrize("name", SETS)
def test_least_squares_on_real_data(name, make, times):
    """The truth is NumPy's eigenvalue of the Hessian; condition numbers from 9 to 1e5."""
    a, y = standardised(name)
    eigenvalue = np.linalg.eigvalsh(2 / len(a) * a.T @ a)[-1]
    x, target = torch.tensor(a), torch.tensor(y)
    weights = torch.zeros(a.shape[1], dtype=torch.float64, requires_grad=True)

    def loss():
        return (x @ weights - target).square().mean()

    curvature = curvature_by_power_iteration(loss, [weights])
    assert curvature == pytest.approx(eigenvalue, rel=1e-9)
    assert predicted_rate(make([weights]), curvature) == pytest.approx(times / eigenvalue, rel=1e-9)
    settling = Settling(loss, [weights], lambda: make([weights]))
    observed = largest_stable_rate(settling, 5e-4)
    assert observed == pytest.approx(times / eigenvalue, rel=EXACT)
    assert observed != pytest.approx(1.01 * times / eigenvalue, rel=EXACT)  # negative control


@pytest.mark.parametrize("condition", [1.0, 1e2, 1e4])
@pytest.mark.parametrize("start", ["drawn", "hidden", "minimum"])
def test_condition_and_start_do_not_matter(condition, start):
    """Also where the start has nothing along the steepest direction, or is the minimum."""
    curvatures = torch.logspace(0, -np.log10(condition), 6, dtype=torch.float64).tolist()
    theta = torch.randn(6, generator=torch.Generator().manual_seed(4))
    theta *= {"drawn": 1.0, "hidden": torch.tensor([0.0, 1, 1, 1, 1, 1]), "minimum": 0.0}[start]
    loss, theta = quadratic(curvatures, theta)
    observed = largest_stable_rate(Settling(loss, [theta], lambda: descent([theta])), 5e-4)
    assert observed == pytest.approx(2.0, rel=EXACT)


class SignDescent(Rule):
    """Steps of one length: they never get smaller."""

    def __init__(self, params, lr=0.1):
        super().__init__(params, lr=lr)

    def check(self, *, lr):
        pass

    @staticmethod
    def update(parameter, gradient, state, hyperparameters):
        return parameter - hyperparameters["lr"] * gradient.sign(), {}


def test_steps_of_one_length_are_stable_at_no_rate():
    loss, theta = quadratic([5.0, 1.0])
    with pytest.raises(RunError, match="changes whether the optimizer's steps settle"):
        largest_stable_rate(Settling(loss, [theta], lambda: SignDescent([theta])), 1e-3)


def test_what_has_no_closed_form_is_not_predicted():
    theta = [torch.zeros(1)]
    assert predicted_rate(torch.optim.SGD(theta, lr=1.0), 4.0) == 0.5
    assert predicted_rate(Adam(theta), 4.0) is None
    assert predicted_rate(SignDescent(theta), 4.0) is None
    assert predicted_rate(torch.optim.SGD(theta, momentum=0.5, nesterov=True), 4.0) is None
    assert predicted_rate(torch.optim.SGD(theta, weight_decay=0.5), 4.0) is None
    assert predicted_rate(GradientDescent(theta), -4.0) is None


@pytest.mark.parametrize("bound", [1e-9, 0.3, 1.0000001, 12345.6])
def test_bisection(bound):
    found = largest_stable_rate(lambda rate: rate < bound, 1e-9)
    assert found == pytest.approx(bound, rel=1e-9)


@pytest.mark.parametrize("answer", [True, False])
def test_bisection_gives_up(answer):
    with pytest.raises(RunError, match=r"no learning rate from 1 to .* changes whether"):
        largest_stable_rate(lambda rate: answer, 1e-3)
