"""AG-3, AG-6, AG-7, LG-1, LG-2 and DI-11: objectives without data."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from handout_runs import DOUBLE, QUICK, Outcome, as_printed, close, fit
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor

from tolerances import FLOAT32, FLOAT64

RUNS = {  # with the words of the report, which shares these runs
    **dict.fromkeys(("cubic_sgd", "cubic_adam", "adam_by_hand", "norm"), ()),
    "square": ("--model.start", "1.0", "--model.optimizer.lr", "0.1", "--trainer.max_epochs", "20"),
}
START = [[2.0, 3.0], [6.0, 4.0]]


def cubic(theta: Tensor) -> Tensor:
    a, b = theta
    return (3 * a**3 - b**2).sum()


def norm(theta: Tensor) -> Tensor:
    return (theta**2).sum()


def wavy(theta: Tensor) -> Tensor:
    return theta * torch.cos(4 * theta) + 2 * theta.abs()


def plain_loop(
    objective: Callable[[Tensor], Tensor],
    start: float | list[float] | list[list[float]],
    optimizer: type[torch.optim.Optimizer],
    rate: float,
    steps: int,
) -> Tensor:
    """Return theta after every step of a torch.optim class, in float32."""
    theta = torch.tensor(start, requires_grad=True)
    descent = optimizer([theta], lr=rate)
    path = []
    for _ in range(steps):
        descent.zero_grad()
        objective(theta).backward()
        descent.step()
        path.append(theta.detach().clone())
    return torch.stack(path)


@pytest.fixture(scope="module")
def toys(fitted: Callable[..., Outcome]) -> dict[str, Outcome]:
    return {name: fitted(f"toy/{name}", *flags) for name, flags in RUNS.items()}


def test_ag_3_one_sgd_step(toys: dict[str, Outcome]):
    (theta,) = toys["cubic_sgd"].theta()
    printed = ("1.8200", "2.5950", "6.0600", "4.0400")
    assert as_printed(theta, *printed)
    start = torch.tensor(START)
    gradient = torch.stack([9 * start[0] ** 2, -2 * start[1]])
    assert close(theta, start - 0.005 * gradient, FLOAT32)
    assert torch.equal(theta, plain_loop(cubic, START, torch.optim.SGD, 0.005, 1)[0])
    wrong = plain_loop(cubic, START, torch.optim.SGD, 0.00505, 1)[0]
    assert not torch.equal(theta, wrong)
    assert not close(theta, wrong, FLOAT32)
    assert not as_printed(wrong, *printed)


def test_ag_3_new_loss(toys: dict[str, Outcome]):
    assert toys["cubic_sgd"].losses == [53.0]
    new = toys["cubic_sgd"].summary["least"]["train"]["loss"]
    assert new == 17.464889526367188
    assert as_printed(new, "17.4649")
    assert not as_printed(new, "17.4651")
    assert toys["cubic_sgd"].curve("loss/train") == [new]


def adam_by_formula(rate: float, steps: int) -> Tensor:
    """Adam in plain numbers, each element by itself, with the closed-form gradient."""
    theta, found = [2.0, 3.0, 6.0, 4.0], []
    mean, square = [0.0] * 4, [0.0] * 4
    for t in range(1, steps + 1):
        for i, value in enumerate(theta):
            gradient = 9 * value**2 if i < 2 else -2 * value
            mean[i] = 0.9 * mean[i] + 0.1 * gradient
            square[i] = 0.999 * square[i] + 0.001 * gradient**2
            root = math.sqrt(square[i] / (1 - 0.999**t)) + 1e-8
            theta[i] = value - rate * mean[i] / (1 - 0.9**t) / root
        found.append(torch.tensor(theta, dtype=torch.float64).reshape(2, 2))
    return torch.stack(found)


@pytest.mark.parametrize("name", ["cubic_adam", "adam_by_hand"])
def test_ag_6_first_adam_step(toys: dict[str, Outcome], name: str):
    theta = toys[name].theta()[0]
    printed = ("1.9000", "2.9000", "6.1000", "4.1000")
    assert as_printed(theta, *printed)
    assert not as_printed(adam_by_formula(0.101, 1), *printed)
    assert as_printed(toys[name].losses[1], "39.7240")
    assert as_printed(toys[name].curve("loss/train")[0], "39.7240")
    gradient = 9 * theta[0].double() ** 2
    assert as_printed(gradient, "32.4900", "75.6900")
    # the run's second gradient, from Adam's mean after two steps: 0.9 * 0.1 g_1 + 0.1 g_2
    state = toys[name].checkpoint("last")["optimizer_states"][0]["state"][0]
    mean = 0.09 * torch.tensor([36.0, 81.0]) + 0.1 * gradient
    assert close(state["exp_avg"][0], mean, FLOAT32)
    assert not close(state["exp_avg"][0], mean - 0.001 * gradient, FLOAT32)


@pytest.mark.parametrize("name", ["cubic_adam", "adam_by_hand"])
def test_ag_7_second_adam_step(toys: dict[str, Outcome], name: str):
    path = toys[name].theta()
    assert as_printed(path[1, 0], "1.8004", "2.8002")
    assert not as_printed(adam_by_formula(0.101, 2)[1, 0], "1.8004", "2.8002")
    assert close(path, adam_by_formula(0.1, 2), FLOAT32)
    assert not close(path, adam_by_formula(0.101, 2), FLOAT32)


def test_ag_7_both_ways_bit_for_bit(toys: dict[str, Outcome]):
    path = plain_loop(cubic, START, torch.optim.Adam, 0.1, 2)
    assert torch.equal(toys["adam_by_hand"].theta(), path)
    assert torch.equal(toys["cubic_adam"].theta(), path)
    assert toys["cubic_adam"].losses == toys["adam_by_hand"].losses
    assert not torch.equal(path, plain_loop(cubic, START, torch.optim.Adam, 0.101, 2))


def geometric(start: list[float] | float, rate: float, steps: int) -> Tensor:
    """theta_k = theta_0 (1 - 2 rate)^k for k = 1 ... steps, in float64."""
    powers = (1 - 2 * rate) ** torch.arange(1, steps + 1, dtype=torch.float64)
    return torch.outer(powers, torch.tensor(start, dtype=torch.float64).reshape(-1))


def test_lg_1_as_shipped(toys: dict[str, Outcome], tmp_path: Path):
    path = toys["square"].theta()
    assert torch.equal(fit("toy/square", tmp_path).theta(), path)
    assert close(path[:, None], geometric(1.0, 0.1, 20), FLOAT32)
    assert not close(path[:, None], geometric(1.0, 0.101, 20), FLOAT32)
    assert torch.equal(path, plain_loop(norm, 1.0, torch.optim.SGD, 0.1, 20))
    assert close(toys["square"].losses[1:], path[:-1].double() ** 2, FLOAT32)


@settings(max_examples=8, deadline=None, derandomize=True, phases=[Phase.generate])
@given(
    start=st.floats(-9, 9, width=32).filter(lambda value: abs(value) > 1e-3),
    rate=st.floats(0.01, 1.2),
    steps=st.integers(1, 12),
)
def test_lg_1_any_start_rate_and_number_of_steps(
    tmp_path_factory: pytest.TempPathFactory, start: float, rate: float, steps: int
):
    flags = (f"--model.start={start}", f"--model.optimizer.lr={rate}", *DOUBLE, *QUICK)
    root = tmp_path_factory.mktemp("any")
    path = fit("toy/square", root, f"--trainer.max_epochs={steps}", *flags).theta()
    scale = abs(start) * max(1.0, abs(1 - 2 * rate)) ** steps
    assert close(path[:, None], geometric(start, rate, steps), FLOAT64, scale)
    assert not close(path[:, None], geometric(start, 1.01 * rate, steps), FLOAT64, scale)


def test_lg_2_every_step(toys: dict[str, Outcome]):
    path = toys["norm"].theta()
    assert close(path, geometric([1.0, -1.0], 0.2, 20), FLOAT32)
    assert as_printed(path[-1], "3.6562e-05", "-3.6562e-05")
    assert torch.equal(path, plain_loop(norm, [1.0, -1.0], torch.optim.SGD, 0.2, 20))
    wrong = geometric([1.0, -1.0], 0.202, 20)
    assert not close(path, wrong, FLOAT32)
    assert not as_printed(wrong[-1], "3.6562e-05", "-3.6562e-05")


ENDS = {  # start, rate: where 100 steps end
    (0.5, 0.05): "0.6838",
    (0.5, 0.07): "0.6838",
    (0.5, 0.15): "0.6838",
    (-2.0, 0.05): "-1.529",
    (-2.0, 0.07): "-1.529",
    (-2.0, 0.15): "0.112",
    (-5.0, 0.05): "-2.855",
    (-5.0, 0.07): "-1.529",
    (-5.0, 0.15): "-0.295",
}


@pytest.fixture(scope="module")
def wavy_runs(fitted: Callable[..., Outcome]) -> dict[tuple[float, float], Tensor]:
    def path(start: float, rate: float) -> Tensor:
        flags = ("--model.start", str(start), "--model.optimizer.lr", str(rate))
        return fitted("toy/wavy", *flags, "--trainer.max_epochs", "100").theta()

    return {(start, rate): path(start, rate) for start, rate in ENDS}


def slope(theta: float) -> float:
    wave = math.cos(4 * theta) - 4 * theta * math.sin(4 * theta)
    return wave + 2 * math.copysign(1, theta)


def wavy_by_formula(start: float, rate: float) -> Tensor:
    theta, path = start, []
    for _ in range(100):
        theta -= rate * slope(theta)
        path.append(theta)
    return torch.tensor(path, dtype=torch.float64)


@pytest.mark.slow  # in all, for nine runs, which the report over all entries shares
@pytest.mark.parametrize(("start", "rate"), ENDS)
def test_di_11_where_100_steps_end(
    wavy_runs: dict[tuple[float, float], Tensor], start: float, rate: float
):
    path = wavy_runs[start, rate]
    assert len(path) == 100
    assert as_printed(path[-1], ENDS[start, rate])
    assert torch.equal(path, plain_loop(wavy, start, torch.optim.SGD, rate, 100))
    assert not torch.equal(path, plain_loop(wavy, start, torch.optim.SGD, 1.01 * rate, 100))


@pytest.mark.parametrize(("start", "rate"), [(0.5, 0.05), (-5.0, 0.05), (-5.0, 0.07), (-5.0, 0.15)])
def test_di_11_every_step_in_float64(tmp_path: Path, start: float, rate: float):
    words = (f"--model.start={start}", f"--model.optimizer.lr={rate}", *QUICK, *DOUBLE)
    path = fit("toy/wavy", tmp_path, *words).theta()
    assert close(path, wavy_by_formula(start, rate), FLOAT64, scale=1.0)
    assert not close(path, wavy_by_formula(start, 1.01 * rate), FLOAT64, scale=1.0)


@pytest.mark.slow
def test_di_11_the_claim_of_the_handout(wavy_runs: dict[tuple[float, float], Tensor]):
    def end(start: float, rate: float) -> float:
        return wavy_runs[start, rate][-1].item()

    slow, middle, fast = (abs(end(-5.0, rate)) for rate in (0.05, 0.07, 0.15))
    assert fast < 0.3 < 1.5 < middle < 1.6 < 2.8 < slow  # in full from -5
    assert abs(end(-2.0, 0.15)) < 0.15 < 1.5 < min(abs(end(-2.0, rate)) for rate in (0.05, 0.07))
    same = [end(0.5, rate) for rate in (0.05, 0.07, 0.15)]
    assert close(same, [same[0]] * 3, FLOAT32)  # not at all from the start that is printed


@pytest.mark.slow
def test_di_11_as_shipped_is_the_printed_start(
    tmp_path: Path, wavy_runs: dict[tuple[float, float], Tensor]
):
    outcome = fit("toy/wavy", tmp_path)
    assert torch.equal(outcome.theta(), wavy_runs[0.5, 0.05])
    assert (outcome.folder / "figures" / "epoch_losses.png").is_file()
