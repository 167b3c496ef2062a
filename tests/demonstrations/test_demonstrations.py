"""Demonstrations: what each shows, against closed forms, and when something is changed."""

import math
from dataclasses import fields, is_dataclass

import pytest
import torch

from descentlab import demonstrations
from descentlab.demonstrations import (
    AccumulatedGradients,
    Demonstration,
    Devices,
    FreedGraph,
    MissingRequiresGrad,
    NoGradientKept,
    NumpyConversion,
    RegressionGraph,
    RepeatedBackward,
    RetainedGradients,
    SineGraph,
)
from descentlab.demonstrations.demonstration import refusal
from descentlab.demonstrations.tensors import NOT_PRESENT, devices_present
from descentlab.drawing.graphs import edges, nodes
from descentlab.errors import UsageError
from tolerances import FLOAT32, FLOAT64

ALL = [getattr(demonstrations, name) for name in demonstrations.__all__ if name != "Demonstration"]


@pytest.mark.parametrize("kind", ALL)
def test_each_is_plain_data_with_defaults(kind):
    assert issubclass(kind, Demonstration)
    assert is_dataclass(kind)
    assert all(field.default is not None for field in fields(kind))
    facts = kind().facts()
    assert facts
    assert facts == kind().facts()  # the same, whenever it is run


def test_refusal_tells_an_error_from_none():
    def fail():
        raise RuntimeError("no")

    assert refusal(fail) == "RuntimeError: no"
    assert refusal(lambda: None) == "none"


def test_devices():
    facts = Devices(a=(1.0, 2.0), b=(3.0, 4.5)).facts()
    assert facts["torch"] == torch.__version__
    assert set(facts["sums"]) == {"cpu", "cuda", "mps", "xpu"}
    for kind, present in devices_present().items():
        assert facts["sums"][kind] == ([4.0, 6.5] if present else NOT_PRESENT)
    assert len(facts["gpus"]) == torch.cuda.device_count()
    with pytest.raises(UsageError, match="a has 1 numbers and b has 2"):
        Devices(a=(1.0,))


def test_numpy_conversion():
    facts = NumpyConversion(count=3, start=0.0, stop=1.0).facts()
    assert facts["numpy"] == facts["torch"] == [0.0, 0.5, 1.0]
    assert facts["largest_difference"] == 0
    assert NumpyConversion().facts()["largest_difference"] > 0  # float32 is not float64


def test_nothing_is_kept_without_requires_grad():
    assert NoGradientKept(2.0).facts() == {
        "y": 14.0,
        "requires_grad": False,
        "grad_fn": None,
        "grad": None,
    }


def test_missing_requires_grad():
    facts = MissingRequiresGrad().facts()
    assert facts["value"] == 53.0
    assert facts["error"].startswith("RuntimeError: element 0 of tensors does not require grad")


def step(a, b, lr):
    return [x - lr * 9 * x**2 for x in a], [x + lr * 2 * x for x in b]


@pytest.mark.parametrize("zero_grad", [True, False])
@pytest.mark.parametrize("lr", [5e-3, 1e-2])
def test_repeated_backward(zero_grad, lr):
    facts = RepeatedBackward(lr=lr, zero_grad=zero_grad).facts()
    first, second = facts["steps"]
    a, b = step([2.0, 3.0], [6.0, 4.0], lr)
    own = [9 * x**2 for x in a]
    assert second["own"]["a"] == pytest.approx(own, rel=FLOAT32)
    assert second["own"]["b"] == pytest.approx([-2 * x for x in b], rel=FLOAT32)
    assert first["kept_before"] == {"a": None, "b": None}
    if zero_grad:
        assert second["kept_before"] == {"a": None, "b": None}
        assert second["kept_after"] == second["own"]
    else:
        assert second["kept_before"]["a"] == [36.0, 81.0]
        summed = [one + two for one, two in zip([36.0, 81.0], own, strict=True)]
        assert second["kept_after"]["a"] == pytest.approx(summed, rel=FLOAT32)
        assert second["kept_after"]["a"] != pytest.approx(own, rel=FLOAT32)  # negative control


def test_accumulated_gradients():
    facts = AccumulatedGradients(x=2.0, factor=1.0).facts()
    assert facts["gradients"] == [4.0, 8.0, 0.0, 4.0]


def test_freed_graph():
    facts = FreedGraph(x=0.0, c=2.0).facts()
    assert facts["gradient"] == 3.0
    assert "backward through the graph a second time" in facts["error"]


@pytest.mark.parametrize("outer", ["log", "exp"])
def test_retained_gradients(outer):
    b, x = (0.5, 1.0, 2.0), (0.25, 1.5, 0.5)
    facts = RetainedGradients(outer, b, x).facts()
    y = math.fsum(p * q for p, q in zip(b, x, strict=True))
    slope = 1 / y if outer == "log" else math.exp(y)
    assert facts["y"] == y
    assert facts["dz_dy"] == pytest.approx(slope, rel=FLOAT64)
    assert facts["jacobian_of_y"] == list(b)
    expected = [slope * weight for weight in b]
    for name in ("dz_dx", "transposed_jacobian_times_v", "jacobian_of_z"):
        assert facts[name] == pytest.approx(expected, rel=FLOAT64)
        assert facts[name] != pytest.approx([1.01 * each for each in expected], rel=FLOAT64)
    with pytest.raises(UsageError, match="b has 5 numbers and x has 2"):
        RetainedGradients(x=(1.0, 2.0))


@pytest.mark.parametrize("c_requires_grad", [True, False])
def test_sine_graph(c_requires_grad):
    demonstration = SineGraph(x=1.0, c=2.0, c_requires_grad=c_requires_grad)
    facts = demonstration.facts()
    assert facts["y"] == pytest.approx(2 * math.sin(1) + 3, rel=FLOAT32)
    assert facts["gradients"]["x"] == pytest.approx(2 * math.cos(1) + 1, rel=FLOAT32)
    if c_requires_grad:
        assert facts["gradients"]["c"] == pytest.approx(math.sin(1) + 1, rel=FLOAT32)
    else:
        assert facts["gradients"]["c"] is None
    plain, detailed = demonstration.graphs().values()
    assert nodes(plain)["c"] == c_requires_grad
    assert nodes(plain)["x"] == 1
    assert "[saved tensor]" in detailed
    assert "[saved tensor]" not in plain


@pytest.mark.parametrize("x_requires_grad", [True, False])
def test_regression_graph(x_requires_grad):
    demonstration = RegressionGraph(rows=7, columns=2, x_requires_grad=x_requires_grad)
    (dot,) = demonstration.graphs().values()
    assert nodes(dot)["theta"] == 1
    assert nodes(dot)["X"] == x_requires_grad
    assert edges(dot)["AccumulateGrad", "MmBackward0"] == 1 + x_requires_grad
    generator = torch.Generator().manual_seed(42)
    x = torch.randn(7, 2, generator=generator).double()
    theta = torch.randn(2, generator=generator).double()
    expected = float(((x @ theta - x.mean(1)) ** 2).mean())
    assert demonstration.facts()["error"] == pytest.approx(expected, rel=FLOAT32)
    with pytest.raises(UsageError, match="rows = 0, columns = 5"):
        RegressionGraph(rows=0)
