"""Graphs against the operations that were written down, and pictures against their formats."""

import re
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from descentlab.drawing import graphs
from descentlab.drawing.graphs import (
    GraphSizeError,
    computational_graph,
    edges,
    nodes,
    to_png,
    to_svg,
)
from descentlab.errors import RunError, UsageError

PNG = b"\x89PNG\r\n\x1a\n"


def dynamics(theta: Tensor, horizon: int) -> Tensor:
    """The mean squared distance from 1 of x_T, where x_{t+1} = x_t + theta."""
    state = torch.linspace(-1.0, 3.0, 8)
    for _ in range(horizon):
        state = state + theta
    return (state - 1).pow(2).mean()


def expected_dynamics(horizon: int) -> Counter[tuple[str, str]]:
    return Counter(
        {
            ("theta", "AccumulateGrad"): 1,
            ("AccumulateGrad", "AddBackward0"): horizon,
            ("AddBackward0", "AddBackward0"): horizon - 1,
            ("AddBackward0", "SubBackward0"): 1,
            ("SubBackward0", "PowBackward0"): 1,
            ("PowBackward0", "MeanBackward0"): 1,
            ("MeanBackward0", "L"): 1,
        }
    )


@pytest.fixture
def theta() -> Tensor:
    return torch.tensor(1.0, requires_grad=True)


@pytest.mark.parametrize("horizon", [3, 20])
def test_dynamics_has_exactly_the_edges_of_the_handout(theta, horizon):
    dot = computational_graph(dynamics(theta, horizon), {"theta": theta}, name="L")
    assert edges(dot) == expected_dynamics(horizon)
    assert nodes(dot)["AddBackward0"] == horizon
    assert sum(nodes(dot).values()) == horizon + 6


@pytest.mark.parametrize(
    "wrong",
    [
        lambda theta: dynamics(theta, 4),
        lambda theta: dynamics(theta, 3) * 1,
        lambda theta: dynamics(theta.clone(), 3),
        lambda theta: (torch.ones(8) + theta + theta * 1 + theta - 1).pow(2).mean(),
        lambda theta: (torch.ones(8) + theta + theta + theta - 1).pow(2).sum(),
    ],
    ids=["horizon", "product", "clone", "one_more_factor", "sum"],
)
def test_another_computation_has_other_edges(theta, wrong):
    dot = computational_graph(wrong(theta), {"theta": theta}, name="L")
    assert edges(dot) != expected_dynamics(3)


@given(horizon=st.integers(1, 12), leaves=st.integers(1, 4))
@settings(max_examples=25, deadline=None)
def test_every_leaf_is_named_and_counted(horizon, leaves):
    parameters = {f"leaf{i}": torch.ones(2, requires_grad=True) for i in range(leaves)}
    total = torch.zeros(2)
    for _ in range(horizon):
        for leaf in parameters.values():
            total = total + leaf
    dot = computational_graph(total, parameters)
    assert {name: nodes(dot)[name] for name in parameters} == dict.fromkeys(parameters, 1)
    assert edges(dot)["AccumulateGrad", "AddBackward0"] == horizon * leaves


@pytest.mark.parametrize("attributes", [False, True])
@pytest.mark.parametrize("saved", [False, True])
def test_two_equal_graphs_give_one_text(attributes, saved):
    def draw() -> str:
        model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1))
        loss = model(torch.ones(5, 3)).square().mean()
        named = dict(model.named_parameters())
        return computational_graph(loss, named, attributes=attributes, saved=saved)

    one = draw()
    kept = [torch.ones(1) for _ in range(100)]  # other addresses
    assert draw() == one
    assert kept
    assert re.findall(r"^\t(\w+)", one, re.MULTILINE)[:3] == ["graph", "node", "n0"]


@pytest.mark.parametrize("both", [False, True], ids=["x", "x_and_c"])
def test_only_leaves_that_require_a_gradient_are_drawn_as_leaves(both):
    x = torch.tensor(5.0, requires_grad=True)
    c = torch.tensor(3.0, requires_grad=both)
    y = c * torch.sin(x) + x + c
    dot = computational_graph(y, {"x": x, "c": c}, attributes=True, saved=True, name="y")
    leaves = {name for name, target in edges(dot) if target == "AccumulateGrad"}
    assert leaves == ({"x", "c"} if both else {"x"})
    assert edges(dot)["x", "SinBackward0"] == 1  # saved, and still called x
    assert "self: [saved tensor]" in dot
    assert "dir=none" in dot


def test_a_leaf_that_several_operations_save_keeps_its_name():
    x = torch.tensor(2.0, requires_grad=True)
    dot = computational_graph(x * torch.sin(x), {"x": x}, saved=True)
    assert nodes(dot)["x"] == 1
    assert nodes(dot)["self"] == 0
    assert edges(dot)["x", "MulBackward0"] == edges(dot)["x", "SinBackward0"] == 1


@pytest.mark.parametrize("saved", [False, True])
def test_what_is_added_to_the_loss_is_left_out(theta, saved):
    named = {"theta": theta}
    plain = computational_graph(dynamics(theta, 3), named, saved=saved)
    divided = dynamics(theta, 3) / 2
    scaled = divided * torch.tensor(8.0)
    without = ("MulBackward0", "DivBackward0")
    assert computational_graph(scaled, named, saved=saved, without=without) == plain
    assert computational_graph(divided, named, saved=saved, without=without[1:]) == plain
    assert computational_graph(divided, named, saved=saved, without=without) != plain
    assert computational_graph(dynamics(theta, 3), named, saved=saved, without=without) == plain


def test_drawing_changes_nothing_and_backward_still_works(theta):
    loss = dynamics(theta, 3)
    computational_graph(loss, {"theta": theta}, attributes=True, saved=True)
    assert theta.grad is None
    loss.backward()
    reference = torch.tensor(1.0, requires_grad=True)
    dynamics(reference, 3).backward()
    assert theta.grad is not None
    assert torch.equal(theta.grad, reference.grad)


def test_a_graph_deeper_than_the_recursion_limit(theta):
    before = sys.getrecursionlimit()
    dot = computational_graph(dynamics(theta, before + 500), {"theta": theta})
    assert nodes(dot)["AddBackward0"] == before + 500
    assert sys.getrecursionlimit() == before


@pytest.mark.parametrize("options", [{"saved": True}, {"attributes": True}])
def test_a_freed_graph_is_refused(theta, options):
    loss = (theta * theta).square()
    loss.backward()
    with pytest.raises(RunError, match=r"before backward\(\)"):
        computational_graph(loss, {"theta": theta}, **options)


@pytest.mark.parametrize("make", [torch.ones, lambda n: torch.ones(n, requires_grad=True).detach()])
def test_a_tensor_without_a_graph_is_refused(make: Callable[[int], Tensor]):
    with pytest.raises(UsageError, match="requires a gradient"):
        computational_graph(make(1), {})


def test_names_with_quotes_and_arrows(theta):
    odd = 'a"b -> \\n1 [label=x]'
    dot = computational_graph(theta * 2, {odd: theta}, name="]\n\tn5 -> n6")
    assert sum(nodes(dot).values()) == 4
    assert to_svg(dot).count('class="node"') == 4


def size_of(png: bytes) -> tuple[int, int]:
    return int.from_bytes(png[16:20]), int.from_bytes(png[20:24])


def test_pictures(theta):
    dot = computational_graph(dynamics(theta, 3), {"theta": theta}, attributes=True, saved=True)
    svg = to_svg(dot)
    assert svg.count('class="node"') == sum(nodes(dot).values())
    assert svg.count('class="edge"') == sum(edges(dot).values())
    assert svg == to_svg(dot)
    png = to_png(svg)
    assert png == to_png(svg)
    assert png.startswith(PNG)
    assert min(size_of(png)) > 300
    assert max(size_of(to_png(to_svg(computational_graph(dynamics(theta, 40), {}))))) <= 4000


def test_the_text_is_painted(theta):
    svg = to_svg(computational_graph(theta * 2, {"theta": theta}))
    assert to_png(svg) != to_png(re.sub("<text.*?</text>", "", svg))


def test_bad_input_to_the_painters():
    with pytest.raises(RunError, match="graph was not drawn"):
        to_svg("digraph {")
    with pytest.raises(RunError, match="could not be painted"):
        to_png("<svg")


@pytest.mark.skipif(shutil.which("dot") is not None, reason="the system's dot has no such limit")
def test_a_graph_too_large_for_the_packaged_graphviz_leaves_it_usable(theta):
    small = computational_graph(dynamics(theta, 3), {"theta": theta})
    to_svg(small)
    for number in (signal.SIGILL, signal.SIGSEGV):  # as a Trainer does when it ends
        signal.signal(number, signal.SIG_DFL)
    with pytest.raises(GraphSizeError, match="too many long edges"):
        to_svg(computational_graph(dynamics(theta, 200), {"theta": theta}))
    assert "<svg" in to_svg(small)


def test_a_large_graph_is_drawn_in_a_process_of_its_own(theta, monkeypatch):
    monkeypatch.setattr(graphs.shutil, "which", lambda _: None)
    dot = computational_graph(dynamics(theta, 10), {"theta": theta})
    here = to_svg(dot)
    monkeypatch.setattr(graphs, "_LONGEST_IN_PROCESS", 0)
    assert to_svg(dot) == here
    with pytest.raises(RunError, match="graph was not drawn"):
        to_svg(dot[:-3])
    monkeypatch.setattr(graphs, "_PATIENCE_SECONDS", 0.001)
    with pytest.raises(GraphSizeError, match="takes too long"):
        to_svg(dot)


@pytest.mark.parametrize(
    ("script", "used"),
    [("cat > /dev/null; echo '<svg/>'", True), ("exit 1", False), ("true", False)],
    ids=["works", "fails", "says_nothing"],
)
def test_the_systems_graphviz_is_used_where_it_works(tmp_path, monkeypatch, theta, script, used):
    program = tmp_path / "dot"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(graphs.shutil, "which", lambda _: str(program))
    svg = to_svg(computational_graph(theta * 2, {"theta": theta}))
    assert (svg == "<svg/>\n") == used
    assert "<svg" in svg
