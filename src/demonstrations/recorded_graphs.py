"""Graphs that autograd records, for functions whose inputs may or may not require a gradient."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..drawing.graphs import computational_graph
from ..errors import UsageError
from ..objectives import sine_with_constant
from .demonstration import Demonstration


def _wanted(tensors: dict[str, Tensor]) -> list[str]:
    return [name for name, tensor in tensors.items() if tensor.requires_grad]


@dataclass(frozen=True)
class SineGraph(Demonstration):
    r"""A sine with a constant, :math:`y = c \sin x + x + c`, and who gets a gradient.

    Args:
        x: where.
        c: the constant.
        c_requires_grad: whether c requires a gradient too.

    Reference:
        Handout entries: DI-3, DI-5 and, with c, DI-4.
    """

    x: float = 5.0
    c: float = 3.0
    c_requires_grad: bool = False

    def _recorded(self) -> tuple[Tensor, dict[str, Tensor]]:
        x = torch.tensor(self.x, requires_grad=True)
        c = torch.tensor(self.c, requires_grad=self.c_requires_grad)
        return sine_with_constant(x, c), {"x": x, "c": c}

    def facts(self) -> dict[str, Any]:
        """Return the value, the leaves that require a gradient, and the gradients."""
        y, leaves = self._recorded()
        torch.autograd.backward(y)
        gradients = {
            name: None if leaf.grad is None else leaf.grad.item() for name, leaf in leaves.items()
        }
        return {"y": y.item(), "leaves": _wanted(leaves), "gradients": gradients}

    def graphs(self) -> dict[str, str]:
        """Return the graph of y with attributes and saved tensors, and the plain one."""
        drawn = {}
        for name, detailed in (("y", False), ("y_with_saved_tensors", True)):
            y, leaves = self._recorded()
            named = {leaf: leaves[leaf] for leaf in _wanted(leaves)}
            drawn[name] = computational_graph(
                y, named, attributes=detailed, saved=detailed, name="y"
            )
        return drawn


@dataclass(frozen=True)
class RegressionGraph(Demonstration):
    r"""The mean squared error of a linear prediction.

    .. math:: E(\theta) = \frac1n \sum_i (x_i^\top\theta - y_i)^2

    The targets are the row means of X, so they depend on X too where it requires a gradient.

    Args:
        rows: n.
        columns: the length of theta.
        seed: of X and theta.
        x_requires_grad: whether X requires a gradient too.

    Raises:
        UsageError: if there is no row or no column.

    Reference:
        Handout entry: DI-9.
    """

    rows: int = 100
    columns: int = 5
    seed: int = 42
    x_requires_grad: bool = False

    def __post_init__(self) -> None:
        if self.rows < 1 or self.columns < 1:
            raise UsageError(f"rows = {self.rows}, columns = {self.columns}: give 1 or more")

    def _recorded(self) -> tuple[Tensor, dict[str, Tensor]]:
        generator = torch.Generator().manual_seed(self.seed)
        x = torch.randn(self.rows, self.columns, generator=generator)
        x.requires_grad_(self.x_requires_grad)
        y = x.mean(dim=1, keepdim=True)
        theta = torch.randn(self.columns, 1, generator=generator).requires_grad_()
        return ((x @ theta - y) ** 2).mean(), {"theta": theta, "X": x}

    def facts(self) -> dict[str, Any]:
        """Return the error and the leaves that require a gradient."""
        error, leaves = self._recorded()
        return {"error": error.item(), "leaves": _wanted(leaves)}

    def graphs(self) -> dict[str, str]:
        """Return the graph of the error."""
        error, leaves = self._recorded()
        named = {leaf: leaves[leaf] for leaf in _wanted(leaves)}
        return {"error": computational_graph(error, named, name="error")}
