"""What is asked of an optimizer, step by step, to see whether it settles: pushes, ends, costs."""

import pytest
import torch

from descentlab.optimizers import Adam, GradientDescent, Rule
from descentlab.optimizers.stability import (
    Settling,
    curvature_by_power_iteration,
    largest_stable_rate,
    preconditioner,
)
from tolerances import FLOAT64

CURVATURES = torch.tensor([5.0, 1.0, 0.3], dtype=torch.float64)
BOUND = 2 / 5.0


class Watched:
    """Gradient descent on a quadratic, and where it was each time that the loss was computed."""

    def __init__(self, start, minimum=0.0, most=4096):
        self.theta = torch.as_tensor(start, dtype=torch.float64).requires_grad_()
        self.minimum, self.seen = minimum, []
        make = lambda: GradientDescent([self.theta], lr=0.1)  # noqa: E731
        self.settling = Settling(self.loss, [self.theta], make, most)

    def loss(self):
        self.seen.append(self.theta.detach().clone())
        return (CURVATURES * (self.theta - self.minimum) ** 2).sum() / 2

    def ask(self, rate):
        self.seen.clear()
        return self.settling(rate)

    def first_step_and_push(self, rate):
        start, second = self.seen[:2]
        step = -rate * CURVATURES * (start - self.minimum)
        return step, second - start - step


def drawn(seed=3):
    return torch.randn(3, generator=torch.Generator().manual_seed(seed)).double()


@pytest.mark.parametrize("rate", [0.3 * BOUND, 1.7 * BOUND])
def test_the_first_step_is_pushed_by_its_own_length_and_not_back(rate):
    watched = Watched(drawn())
    assert watched.ask(rate) is (rate < BOUND)
    step, push = watched.first_step_and_push(rate)
    assert float(push.norm()) == pytest.approx(float(step.norm()), rel=0.02)
    assert float(push @ step) > 0
    assert abs(float(push @ step)) < 0.999 * float(push.norm() * step.norm())  # somewhere else


@pytest.mark.parametrize("rate", [0.9 * BOUND, 1.2 * BOUND])
def test_the_next_question_pushes_along_what_changed_last(rate):
    """Beyond the bound that is the steepest direction, with a hundredth of another."""
    watched = Watched(drawn())
    assert watched.ask(1.1 * BOUND) is False
    assert watched.ask(rate) is (rate < BOUND)
    step, push = watched.first_step_and_push(rate)
    assert float(push.norm()) == pytest.approx(float(step.norm()), rel=0.02)
    assert abs(float(push[0])) > 0.999 * float(push.norm())
    assert float(push[1:].norm()) > 1e-4 * float(push.norm())
    assert float(push @ step) > 0


@pytest.mark.parametrize("minimum", [0.0, 3.0, -1e4])
def test_at_a_minimum_that_is_not_zero_the_push_is_not_lost_in_rounding(minimum):
    start = torch.full((3,), minimum)
    assert Watched(start, minimum).ask(0.5 * BOUND)
    assert not Watched(start, minimum).ask(1.5 * BOUND)


def test_an_answer_takes_few_steps_once_the_steepest_direction_is_known():
    watched = Watched(drawn())
    for rate in (2.0, 1.1, 1.01, 0.9, 0.975, 0.9975):
        assert watched.ask(rate * BOUND) is (rate < 1)
        assert len(watched.seen) < 50


@pytest.mark.parametrize("most", [64, 100])
def test_no_more_steps_are_made_than_are_allowed(most):
    watched = Watched(drawn(), most=most)
    watched.ask(BOUND)
    assert most <= len(watched.seen) <= most + 2  # beside the first one and the push


class OneLengthBeyond(Rule):
    """Gradient descent, with steps of one length and direction where the rate is above 1."""

    def __init__(self, params, lr=0.1):
        super().__init__(params, lr=lr)

    def check(self, *, lr):
        pass

    @staticmethod
    def update(parameter, gradient, state, hyperparameters):
        lr = hyperparameters["lr"]
        return parameter - (torch.ones_like(gradient) if lr > 1 else lr * gradient), {}


def test_steps_that_are_all_the_same_leave_the_next_question_as_it_was():
    theta = torch.tensor([4.0, -2.0, 8.0], dtype=torch.float64, requires_grad=True)
    settling = Settling(
        lambda: (CURVATURES * theta**2).sum() / 2, [theta], lambda: OneLengthBeyond([theta])
    )
    assert settling(2.0) is False
    assert settling(0.5 * BOUND) is True
    assert settling(1.5 * BOUND) is False


def test_steps_that_are_all_the_same_are_seen_after_eight_changes():
    theta, seen = torch.tensor([4.0, -2.0, 8.0], requires_grad=True), []

    def loss():
        seen.append(theta.detach().clone())
        return (theta**2).sum()

    assert Settling(loss, [theta], lambda: OneLengthBeyond([theta]))(2.0) is False
    assert 8 < len(seen) < 16


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_how_far_the_start_is_away_does_not_matter(scale):
    for rate in (0.3, 0.97, 1.03, 1.7):
        watched = Watched(scale * drawn())
        assert watched.ask(rate * BOUND) is (rate < 1)


@pytest.mark.parametrize(
    "make",
    [
        lambda parameters: torch.optim.SGD(parameters, lr=0.5, momentum=0.9),
        lambda parameters: torch.optim.LBFGS(parameters, lr=0.5, max_iter=2),
        lambda parameters: GradientDescent(parameters, lr=0.5),
    ],
)
def test_the_loss_after_some_updates_is_that_of_a_plain_loop(make):
    theta = drawn().requires_grad_()
    start = theta.detach().clone()

    def loss():
        return (CURVATURES * (theta - 1) ** 4).sum()

    settling = Settling(loss, [theta], lambda: make([theta]))
    found = [settling.loss_after(0.01, updates) for updates in range(4)]
    assert torch.equal(theta, start)  # put back, with nothing left for the next question
    optimizer, expected = make([theta]), []
    optimizer.param_groups[0]["lr"] = 0.01

    def closure():
        optimizer.zero_grad()
        now = loss()
        now.backward()
        return now

    for _ in range(4):
        expected.append(float(loss().detach()))
        optimizer.step(closure)
    assert found == pytest.approx(expected, rel=FLOAT64)
    assert len(set(expected)) == 4


def test_bisection_asks_no_more_than_its_precision_needs():
    """Two questions find an octave, and each further one halves what is left of it."""
    for halvings in (0, 1, 10):
        asked = []

        def stable(rate, asked=asked):
            asked.append(rate)
            return rate <= 1

        largest_stable_rate(stable, 2.0**-halvings)
        assert len(asked) == 2 + halvings


def test_no_number_has_no_curvature():
    nothing = torch.zeros(0, requires_grad=True)
    assert curvature_by_power_iteration(lambda: (nothing**2).sum(), [nothing]) == 0.0


@pytest.mark.parametrize(
    "make",
    [
        lambda parameters: Adam(parameters, lr=0.01, betas=(0.8, 0.9), eps=0.1),
        lambda parameters: torch.optim.Adam(parameters, 0.01, (0.8, 0.9), 0.1),
        lambda parameters: torch.optim.Adam(parameters, 0.01, (0.8, 0.9), 0.1, amsgrad=True),
        lambda parameters: torch.optim.AdamW(parameters, 0.01, (0.8, 0.9), 0.1, weight_decay=0),
    ],
)
def test_each_step_of_adam_is_divided_by_its_preconditioner(make):
    parameters = [drawn().requires_grad_(), drawn(4)[:2].clone().requires_grad_()]
    optimizer, draw = make(parameters), torch.Generator().manual_seed(5)
    means = [torch.zeros_like(p) for p in parameters]
    for number in range(1, 6):
        before = [p.detach().clone() for p in parameters]
        for index, p in enumerate(parameters):
            p.grad = torch.randn(p.shape, generator=draw, dtype=p.dtype) / number
            means[index] = 0.8 * means[index] + 0.2 * p.grad
        optimizer.step()
        divisors, decay = preconditioner(optimizer, parameters)
        assert decay == 0
        for p, start, mean, divisor in zip(parameters, before, means, divisors, strict=True):
            step = -0.01 * mean / (1 - 0.8**number) / divisor
            torch.testing.assert_close(p.detach() - start, step, rtol=1e-9, atol=0)


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.RMSprop, torch.optim.Adagrad])
def test_what_is_not_adam_has_no_preconditioner_after_its_steps_either(kind):
    theta = drawn().requires_grad_()
    optimizer = kind([theta], lr=0.1)
    theta.grad = drawn(4)
    optimizer.step()
    assert preconditioner(optimizer, [theta]) is None
