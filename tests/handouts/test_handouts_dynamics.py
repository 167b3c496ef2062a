"""TP-1.2a to TP-1.2d and TP-1.3: the linear dynamics of the practical."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from handout_runs import QUICK, Outcome, close, fit
from torch import Tensor

from descentlab.drawing.graphs import edges, nodes
from tolerances import FLOAT32

RATE = 0.00125


def states(n: int = 1024) -> Tensor:
    """The mini-batch, drawn here once more from the seed of every command."""
    generator = torch.Generator().manual_seed(42)
    return (1 + torch.randn(n, generator=generator, dtype=torch.float64)).float()


def minimiser(horizon: int) -> float:
    return (1 - states().double().mean().item()) / horizon


def plain_loss(theta: Tensor, x: Tensor, horizon: int) -> Tensor:
    for _ in range(horizon):
        x = x + theta
    return ((x - 1) ** 2).mean()


def plain_loop(rate: float, steps: int, horizon: int = 20) -> tuple[Tensor, list[float]]:
    """Descend with torch.optim.SGD: theta after every step, and the loss before it."""
    theta, x = torch.tensor(1.0, requires_grad=True), states()
    optimizer = torch.optim.SGD([theta], lr=rate)
    path, losses = [], []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = plain_loss(theta, x, horizon)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        path.append(theta.detach().clone())
    return torch.stack(path), losses


def closed_form(rate: float, steps: int, horizon: int = 20) -> Tensor:
    """theta_k = theta* + (theta_0 - theta*) (1 - 2 T^2 rate)^k, in float64."""
    best, factor = minimiser(horizon), 1 - 2 * horizon**2 * rate
    powers = factor ** torch.arange(1, steps + 1, dtype=torch.float64)
    return best + (1 - best) * powers


@pytest.fixture(scope="module")
def by_hand(fitted: Callable[..., Outcome]) -> Outcome:
    return fitted("linear_dynamics/gd_by_hand")


def test_tp_1_2a_loss_on_the_sample(by_hand: Outcome):
    expected = (states().double() - 1 + 20 * 1.0).square().mean().item()
    assert close([by_hand.losses[0]], [expected], FLOAT32)
    assert not close([by_hand.losses[0]], [expected * 1.01], FLOAT32)
    assert by_hand.losses[0] == pytest.approx(401, abs=5 * 40 / math.sqrt(1024))  # 5 std. errors


def test_tp_1_2a_gradient_on_the_sample(by_hand: Outcome):
    gradient = (1 - by_hand.theta()[0].item()) / RATE  # the first step took off rate * gradient
    expected = 2 * 20 * (states().double() - 1 + 20 * 1.0).mean().item()
    assert close([gradient], [expected], FLOAT32)
    assert not close([gradient], [2 * 20 * 20.0], FLOAT32)  # that of the expectation, 800
    assert gradient == pytest.approx(800, abs=5 * 40 / math.sqrt(1024))
    theta = torch.tensor(1.0, requires_grad=True)
    plain_loss(theta, states(), 20).backward()
    assert close([gradient], theta.grad.reshape(1), FLOAT32)


def test_tp_1_2b_one_step_to_the_minimiser(by_hand: Outcome):
    path, best = by_hand.theta(), minimiser(20)
    assert close(path, torch.full((10,), best), FLOAT32, scale=1.0)
    assert by_hand.summary["parameters"]["theta"] == path[-1].item()
    assert not close(path[:1], closed_form(1.01 * RATE, 1), FLOAT32, scale=1.0)


@pytest.mark.parametrize("rate", [1e-3, 2.4e-3, 2.5e-3, 2.6e-3])
def test_tp_1_2b_stable_below_one_over_t_squared(tmp_path: Path, rate: float):
    flags = (f"--model.optimizer.lr={rate}", *QUICK)
    path = fit("linear_dynamics/gd_by_hand", tmp_path, *flags).theta()
    factor = abs(1 - 800 * rate)
    scale = torch.tensor(factor, dtype=torch.float64) ** torch.arange(1, 11)
    assert close(path, closed_form(rate, 10), FLOAT32, scale=scale.clamp(min=1.0))
    assert not close(path, closed_form(1.01 * rate, 10), FLOAT32, scale=scale.clamp(min=1.0))
    error = (path.double() - minimiser(20)).abs()
    assert bool(error[-1] < error[0]) == (rate < 0.0025) or rate == 0.0025


@pytest.mark.parametrize("rate", [RATE, 1e-3, 2.4e-3])
def test_tp_1_2c_torch_sgd_takes_the_same_steps(tmp_path: Path, rate: float):
    flags = (f"--model.optimizer.lr={rate}", *QUICK)
    ours, theirs = (
        fit(f"linear_dynamics/{name}", tmp_path, *flags) for name in ("gd_by_hand", "sgd")
    )
    assert torch.equal(ours.theta(), theirs.theta())
    assert ours.losses == theirs.losses
    path, losses = plain_loop(rate, 10)
    assert torch.equal(theirs.theta(), path)
    assert theirs.losses == losses
    assert not torch.equal(theirs.theta(), plain_loop(1.01 * rate, 10)[0])


@pytest.fixture(scope="module")
def diverged(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    root = tmp_path_factory.mktemp("horizon")
    return fit("linear_dynamics/horizon_200", root, status=1)


def test_tp_1_2d_the_message(diverged: Outcome):
    _, losses = plain_loop(RATE, 30, horizon=200)
    first = next(step for step, loss in enumerate(losses) if not math.isfinite(loss))
    last_line = diverged.stderr.rstrip("\n").rsplit("\n", 1)[-1]
    assert f"the loss at step {first} " in last_line
    assert f"is {losses[first]}" in last_line
    assert f"the last finite loss was {losses[first - 1]:.6g}" in last_line
    assert re.search(r"\bstable below 2\.5e-05\b", last_line)
    assert "Traceback" not in diverged.stderr


def test_tp_1_2d_the_error_grows_by_99_with_each_step(diverged: Outcome):
    path = diverged.theta()
    assert len(path) >= 7
    assert torch.equal(path, plain_loop(RATE, len(path), horizon=200)[0])
    error = path.double() - minimiser(200)
    assert close(error[1:] / error[:-1], torch.full((len(path) - 1,), -99.0), FLOAT32)
    assert not close(error[1:] / error[:-1], torch.full((len(path) - 1,), -98.0), FLOAT32)


def test_tp_1_2d_is_the_rate_and_not_the_horizon(tmp_path: Path):
    flags = ("--model.optimizer.lr", "1.25e-5", *QUICK)  # 1 / (2 T^2) for T = 200
    path = fit("linear_dynamics/horizon_200", tmp_path, *flags).theta()
    assert close(path[:1], torch.tensor([minimiser(200)]), FLOAT32, scale=1.0)


def structure(dot: str) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Read a DOT text, apart from the project's own reader: labels, and what feeds each node."""
    labels = dict(re.findall(r'^\t(n\d+) \[label="?(\w+)', dot, re.MULTILINE))
    sources = defaultdict(list)
    for source, target in re.findall(r"^\t(n\d+) -> (n\d+)", dot, re.MULTILINE):
        sources[target].append(source)
    return labels, sources


@pytest.fixture(scope="module")
def graph(fitted: Callable[..., Outcome]) -> Path:
    return fitted("linear_dynamics/graph", keep=("graph_export",)).folder / "graphs"


def test_tp_1_3_the_chain(graph: Path):
    labels, sources = structure((graph / "loss.dot").read_text())
    names = {label: node for node, label in labels.items() if label != "AddBackward0"}
    (node,) = sources[names["loss"]]
    for expected in ("MeanBackward0", "PowBackward0", "SubBackward0"):
        assert labels[node] == expected
        (node,) = sources[node]
    for earlier in (2, 1, 0):  # theta feeds each addition, and so does the one before
        assert labels[node] == "AddBackward0"
        feeding = [*sources[node]]
        feeding.remove(names["AccumulateGrad"])
        assert len(feeding) == (earlier > 0)
        node = feeding[0] if feeding else node
    assert sources[names["AccumulateGrad"]] == [names["theta"]]
    assert len(labels) == 9


def walk(output: Tensor) -> Counter[tuple[str, str]]:
    """Count autograd's own edges between operations, each pair by names."""
    found: Counter[tuple[str, str]] = Counter()
    waiting: list[Any] = [output.grad_fn]
    seen = set()
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        for source, _ in node.next_functions:
            if source is not None:
                found[source.name().rsplit("::", 1)[-1], node.name()] += 1
                waiting.append(source)
    return found


def test_tp_1_3_is_what_autograd_records(graph: Path):
    dot = (graph / "loss.dot").read_text()
    theta = torch.tensor(1.0, requires_grad=True)
    ends = Counter({("theta", "AccumulateGrad"): 1, ("MeanBackward0", "loss"): 1})
    recorded = {t: walk(plain_loss(theta, states(), t)) + ends for t in (3, 4)}
    assert edges(dot) == recorded[3]
    assert edges(dot) != recorded[4]
    assert nodes(dot)["AddBackward0"] == 3


def test_tp_1_3_is_a_picture(graph: Path):
    assert (graph / "loss.svg").read_text().count("AddBackward0") == 3
    assert (graph / "loss.png").read_bytes().startswith(b"\x89PNG")
