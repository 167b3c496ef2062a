"""`backward` adds to gradients, frees its graph, and keeps gradients of leaves only."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.func import jacrev

from ..errors import UsageError
from ..objectives import CubicMinusSquare
from .demonstration import Demonstration, refusal


@dataclass(frozen=True)
class MissingRequiresGrad(Demonstration):
    """Backward from a value of tensors none of which requires a gradient: torch refuses.

    Reference:
        Handout entry: AG-2.
    """

    def facts(self) -> dict[str, Any]:
        """Return the value, and what torch says."""
        loss = CubicMinusSquare()(CubicMinusSquare().start.float())
        return {"value": loss.item(), "error": refusal(loss.backward)}


@dataclass(frozen=True)
class RepeatedBackward(Demonstration):
    """Steps of SGD down the cubic toy, with the gradients zeroed between them or left to add up.

    Args:
        lr: the learning rate.
        steps: how many.
        zero_grad: whether the gradients are zeroed between the steps.
        a: where the first row starts.
        b: where the second row starts.

    Reference:
        Handout entries: AG-4 (not zeroed), AG-5 (zeroed).
    """

    lr: float = 5.0e-3
    steps: int = 2
    zero_grad: bool = False
    a: tuple[float, ...] = (2.0, 3.0)
    b: tuple[float, ...] = (6.0, 4.0)

    def facts(self) -> dict[str, Any]:
        """Return, for each step, the gradients kept before it, its own, and those kept after."""
        rows = [torch.tensor(start, requires_grad=True) for start in (self.a, self.b)]
        optimizer = torch.optim.SGD(rows, lr=self.lr)
        seen = []
        for _ in range(self.steps):
            if self.zero_grad:
                optimizer.zero_grad()
            before = _kept(rows)
            loss = CubicMinusSquare()(torch.stack(rows))
            own = torch.autograd.grad(loss, rows, retain_graph=True)
            torch.autograd.backward(loss)
            seen.append(
                {
                    "loss": loss.item(),
                    "kept_before": before,
                    "own": {"a": own[0].tolist(), "b": own[1].tolist()},
                    "kept_after": _kept(rows),
                }
            )
            optimizer.step()
        return {"steps": seen}


def _kept(rows: list[Tensor]) -> dict[str, list[float] | None]:
    return {
        name: None if row.grad is None else row.grad.tolist()
        for name, row in zip(("a", "b"), rows, strict=True)
    }


@dataclass(frozen=True)
class AccumulatedGradients(Demonstration):
    """Backward twice, from a fresh graph each time: the gradients add up, until they are zeroed.

    Args:
        x: where.
        factor: k in k x².

    Reference:
        Handout entry: DI-7.
    """

    x: float = 5.0
    factor: float = 3.0

    def facts(self) -> dict[str, Any]:
        """Return the gradient after each of four actions, in order."""
        x = torch.tensor(self.x, requires_grad=True)
        seen = []

        def backward() -> Tensor:
            torch.autograd.backward(self.factor * x**2)
            if x.grad is None:
                raise UsageError("backward left no gradient at x")
            seen.append(x.grad.item())
            return x.grad

        backward()
        gradient = backward()
        seen.append(gradient.zero_().item())
        backward()
        return {"gradients": seen, "actions": ["backward", "backward", "zeroed", "backward"]}


@dataclass(frozen=True)
class FreedGraph(Demonstration):
    """Backward twice through one graph: the first frees what the second would need.

    Args:
        x: where.
        c: the constant.

    Reference:
        Handout entry: DI-6.
    """

    x: float = 5.0
    c: float = 3.0

    def facts(self) -> dict[str, Any]:
        """Return the first gradient, and what torch says to the second backward."""
        x = torch.tensor(self.x, requires_grad=True)
        y = self.c * torch.sin(x) + x + self.c
        torch.autograd.backward(y)
        gradient = None if x.grad is None else x.grad.item()
        return {"gradient": gradient, "error": refusal(y.backward)}


@dataclass(frozen=True)
class RetainedGradients(Demonstration):
    r"""Backward is a product of a transposed Jacobian and a vector.

    .. math:: y = b^\top x, \quad z = g(y), \qquad \nabla_x z = J_y^\top v, \quad v = \frac{dz}{dy}

    The gradient at y, which is no leaf, is kept by `retain_grad`. Computed in float64.

    Args:
        outer: g: `log` or `exp`.
        b: the weights.
        x: where; a single number is meant for each weight.

    Raises:
        UsageError: if b and x differ in length.

    Reference:
        Handout entries: DI-13 (log), DI-14 (exp).
    """

    outer: Literal["log", "exp"] = "log"
    b: tuple[float, ...] = (0.0, 1.0, 2.0, 3.0, 4.0)
    x: tuple[float, ...] = (2.0, 2.0, 2.0, 2.0, 2.0)

    def __post_init__(self) -> None:
        if len(self.b) != len(self.x):
            raise UsageError(f"b has {len(self.b)} numbers and x has {len(self.x)}: give as many")

    def facts(self) -> dict[str, Any]:
        """Return y, z and the gradients at y and x, and the same by full Jacobians."""
        outer = torch.log if self.outer == "log" else torch.exp
        b = torch.tensor(self.b, dtype=torch.float64)
        x = torch.tensor(self.x, dtype=torch.float64, requires_grad=True)
        y = torch.dot(b, x)
        y.retain_grad()
        z = outer(y)
        torch.autograd.backward(z)
        at_y, at_x = (_gradient(tensor) for tensor in (y, x))
        jacobian = jacrev(lambda point: torch.dot(b, point))(x.detach())
        whole = jacrev(lambda point: outer(torch.dot(b, point)))(x.detach())
        return {
            "y": y.item(),
            "z": z.item(),
            "dz_dy": at_y.item(),
            "dz_dx": at_x.tolist(),
            "jacobian_of_y": jacobian.tolist(),
            "transposed_jacobian_times_v": (jacobian.reshape(1, -1).mT @ at_y.reshape(1)).tolist(),
            "jacobian_of_z": whole.tolist(),
        }


def _gradient(tensor: Tensor) -> Tensor:
    if tensor.grad is None:
        raise UsageError("backward left no gradient: b or x holds nothing that z depends on")
    return tensor.grad
