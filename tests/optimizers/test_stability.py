"""Where an optimizer stops being stable, against closed forms on quadratics."""

from functools import partial

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
    preconditioned_rate,
    preconditioner,
    predicted_rate,
)
from tolerances import FLOAT64

EXACT = 1e-3  # what is promised of an observed rate; 4e-6 was seen
SETS = ["diabetes", "wine", "iris", "linnerud"]
SETS += [pytest.param("breast_cancer", marks=[pytest.mark.slow, pytest.mark.no_cover])]


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


@pytest.mark.no_cover
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


@pytest.mark.no_cover
@pytest.mark.parametrize("condition", [1.0, 1e4, 1e6])
@pytest.mark.parametrize("start", ["drawn", "hidden", "minimum"])
def test_condition_and_start_do_not_matter(condition, start):
    """Also where the start has nothing along the steepest direction, or is the minimum."""
    curvatures = torch.logspace(0, -np.log10(condition), 6, dtype=torch.float64).tolist()
    theta = torch.randn(6, generator=torch.Generator().manual_seed(4))
    theta *= {"drawn": 1.0, "hidden": torch.tensor([0.0, 1, 1, 1, 1, 1]), "minimum": 0.0}[start]
    loss, theta = quadratic(curvatures, theta)
    observed = largest_stable_rate(Settling(loss, [theta], lambda: descent([theta])), 5e-4)
    assert observed == pytest.approx(2.0, rel=EXACT)


@pytest.mark.no_cover
@pytest.mark.parametrize("condition", [1.0, 1e3, 1e6])
@pytest.mark.parametrize("momentum", [0.5, 0.9])
def test_the_heavy_ball_on_any_condition(condition, momentum):
    curvatures = (3 * torch.logspace(0, -np.log10(condition), 6, dtype=torch.float64)).tolist()
    loss, theta = quadratic(curvatures, torch.randn(6, generator=torch.Generator().manual_seed(5)))
    settling = Settling(loss, [theta], lambda: heavy_ball(momentum)([theta]))
    observed = largest_stable_rate(settling, 5e-4)
    assert observed == pytest.approx(2 * (1 + momentum) / 3, rel=EXACT)


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
    for make in (Adam, SignDescent, torch.optim.RMSprop):
        assert predicted_rate(make(theta), 4.0) is None
    assert predicted_rate(GradientDescent(theta), -4.0) is None
    assert predicted_rate(torch.optim.SGD(theta, maximize=True), 4.0) is None
    assert predicted_rate(torch.optim.SGD(theta, momentum=1.5), 4.0) is None
    assert predicted_rate(torch.optim.SGD(theta, momentum=0.5, dampening=1.0), 4.0) is None
    groups = [{"params": theta}, {"params": [torch.ones(1)], "momentum": 0.5}]
    assert predicted_rate(torch.optim.SGD(groups), 4.0) is None
    assert preconditioned_rate(torch.optim.SGD(theta), 4.0) is None
    assert preconditioned_rate(Adam(theta), 0.0) is None
    assert preconditioner(torch.optim.SGD(theta), theta) is None
    assert preconditioner(Adam(theta), theta) is None  # it has not stepped


#: of SGD: momentum, dampening, decay, Nesterov's form
FORMS = [(m, d, w, False) for m in (0.0, 0.3, 0.6, 0.9) for d in (0.0, 0.4) for w in (0.0, 0.7)]
FORMS += [(m, 0.0, w, True) for m in (0.3, 0.9) for w in (0.0, 0.7)]


def largest_by_spectrum(matrix):
    """Return the rate at which a step's matrix gets an eigenvalue outside the unit circle."""

    def stable(rate):
        return bool(np.abs(np.linalg.eigvals(np.array(matrix(rate)))).max() < 1)

    return largest_stable_rate(stable, 1e-12)


@pytest.mark.parametrize(("momentum", "dampening", "decay", "nesterov"), FORMS)
def test_each_form_of_sgd_against_the_spectrum_of_its_step(momentum, dampening, decay, nesterov):
    """Of (v, x): v' = m v + (1 - d) h x, and x' = x - r v', or x - r (h x + m v')."""
    curvature = 2.6
    part = 1 - dampening if momentum else 1.0
    h = curvature + decay

    def matrix(rate):
        v = (momentum, part * h)
        along = (momentum * v[0], h + momentum * v[1]) if nesterov else v
        return [v, (-rate * along[0], 1 - rate * along[1])]

    theta = torch.ones(1, dtype=torch.float64, requires_grad=True)
    sgd = torch.optim.SGD([theta], 0.1, momentum, dampening, decay, nesterov)
    predicted = predicted_rate(sgd, curvature)
    assert predicted == pytest.approx(largest_by_spectrum(matrix), rel=1e-6)
    assert predicted != pytest.approx(1.001 * largest_by_spectrum(matrix), rel=1e-6)


@pytest.mark.parametrize(
    ("momentum", "dampening", "decay", "nesterov"), [FORMS[3], FORMS[11], FORMS[-1], FORMS[-4]]
)
def test_torch_settles_below_the_bound_and_not_above(momentum, dampening, decay, nesterov):
    loss, theta = quadratic([2.6, 0.4])

    def make():
        return torch.optim.SGD([theta], 0.1, momentum, dampening, decay, nesterov)

    observed = largest_stable_rate(Settling(loss, [theta], make), 5e-4)
    assert observed == pytest.approx(predicted_rate(make(), 2.6), rel=EXACT)


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("decay", [0.0, 0.7])
@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW])
def test_adam_with_its_second_moments_held_against_the_spectrum_of_its_step(beta, decay, kind):
    """Of (m, x): m' = b m + (1 - b) h x, and x' = (1 - r w) x - r m' / p."""
    curvature, p = 2.6, 0.3
    h, apart = (curvature, decay) if kind is torch.optim.AdamW else (curvature + decay, 0.0)

    def matrix(rate):
        m = (beta, (1 - beta) * h)
        return [m, (-rate * m[0] / p, 1 - rate * apart - rate * m[1] / p)]

    theta = torch.ones(1, dtype=torch.float64, requires_grad=True)
    adam = kind([theta], 0.1, (beta, 0.9), 0.1, weight_decay=decay)
    theta.grad = torch.ones_like(theta)
    adam.step()
    adam.state[theta]["exp_avg_sq"].fill_((p - 0.1) ** 2 * (1 - 0.9))  # corrected: (p - eps)²
    (divisors,), coupled = preconditioner(adam, [theta])
    assert divisors.item() == pytest.approx(p, rel=1e-12)
    found = preconditioned_rate(adam, (curvature + coupled) / p)
    assert found == pytest.approx(largest_by_spectrum(matrix), rel=1e-6)


def test_adam_beyond_its_bound_swings_and_below_it_settles():
    """Real steps, the second moments next to held: 38 / λ for β1 = 0.9, with λ = 4."""
    farthest = []
    for rate in (0.98 * 38 / 4, 1.02 * 38 / 4):
        theta = torch.tensor([1e-6], dtype=torch.float64, requires_grad=True)
        adam = torch.optim.Adam([theta], rate, (0.9, 1 - 1e-15), eps=1.0)
        adam.state[theta] = {
            "step": torch.tensor(1e5),
            "exp_avg": torch.zeros_like(theta),
            "exp_avg_sq": torch.zeros_like(theta),
        }
        assert preconditioner(adam, [theta])[0][0].item() == pytest.approx(1.0)
        path = []
        for _ in range(400):
            theta.grad = 4 * theta.detach()
            adam.step()
            path.append(abs(theta.item()))
        farthest.append(max(path))
        assert path[-1] < 1e-6 or rate > 38 / 4
    assert farthest[0] < 1e-4 < 1e-2 < farthest[1]


@pytest.mark.parametrize("bound", [1e-9, 0.3, 1.0000001, 12345.6])
def test_bisection(bound):
    found = largest_stable_rate(lambda rate: rate < bound, 1e-9)
    assert found == pytest.approx(bound, rel=1e-9)


def test_the_rate_that_bisection_finds_is_one_of_which_the_answer_was_yes():
    for bound in (0.3, 1.9, 0.00475, 12345.6):
        found = largest_stable_rate(lambda rate, bound=bound: rate < bound, 1e-3)
        assert bound / 1.001 <= found < bound


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_steps_of_a_loop_by_hand_settle_at_the_observed_rate(momentum):
    """On θ² of curvature 2; at 1.001 times the rate they do not."""
    theta = torch.tensor([1.0], dtype=torch.float64, requires_grad=True)
    make = partial(Momentum, [theta], momentum=momentum)
    observed = largest_stable_rate(Settling(lambda: (theta * theta).sum(), [theta], make), 1e-3)

    def farthest(rate):
        place, velocity, path = 1.0, 0.0, []
        for _ in range(20_000):
            velocity = momentum * velocity + 2 * place
            place -= rate * velocity
            path.append(min(abs(place), 1e100))
        return max(path[-100:])

    assert farthest(observed) < 1 < farthest(1.001 * observed)


@pytest.mark.parametrize("answer", [True, False])
def test_bisection_gives_up(answer):
    says = r"no learning rate from 1 to .* changes whether .* it has no largest stable rate here"
    with pytest.raises(RunError, match=says):
        largest_stable_rate(lambda rate: answer, 1e-3)
