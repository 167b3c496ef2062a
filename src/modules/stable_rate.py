"""The learning rate at which gradient descent stops being stable, found from a module alone."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from ..errors import RunError, UsageError
from ..optimizers import GradientDescent
from ..runs.folder import Run
from .descent_module import DescentModule

Loss = Callable[[], Tensor]

_SETTLED = torch.finfo(torch.float32).eps
_FIRST_RATE = 1.0
_OCTAVES = 120  # halvings or doublings of the first rate, before the search is given up


def curvature_by_power_iteration(
    loss: Loss, parameters: Sequence[Tensor], iterations: int = 50
) -> float:
    r"""Return the Hessian's eigenvalue of largest magnitude, from products with vectors alone.

    .. math:: v \leftarrow \frac{Hv}{\lVert Hv \rVert}, \qquad \lambda = v^\top H v, \qquad
        Hv = \nabla\,(v^\top \nabla L)

    Args:
        loss: computes L anew.
        parameters: what L depends on.
        iterations: of the power method at most; the error shrinks by the ratio of the two largest
            magnitudes, squared, each time, and it ends when float32 shows no change.

    Returns:
        The eigenvalue, with its sign; 0 where L has no curvature along the first vector, of ones.

    Example:
        >>> theta = torch.tensor([1.0, 2.0], requires_grad=True)
        >>> curvature_by_power_iteration(lambda: (theta * theta).sum(), [theta])
        2.0
    """
    vector = [torch.ones_like(p) for p in parameters]
    eigenvalue = 0.0
    for _ in range(iterations):
        length = _norm(vector)
        if length == 0:
            return 0.0
        vector = [part / length for part in vector]
        gradients = torch.autograd.grad(loss(), parameters, create_graph=True)
        along = torch.stack([(g * v).sum() for g, v in zip(gradients, vector, strict=True)]).sum()
        if not along.requires_grad:
            return 0.0
        product = torch.autograd.grad(along, parameters, materialize_grads=True)
        before = eigenvalue
        eigenvalue = sum(float((v * hv).sum()) for v, hv in zip(vector, product, strict=True))
        if abs(eigenvalue - before) <= _SETTLED * abs(eigenvalue):
            break
        vector = list(product)
    return eigenvalue


def _norm(parts: Sequence[Tensor]) -> float:
    return float(torch.stack([part.norm() for part in parts]).norm())


def settles(loss: Loss, parameters: Sequence[Tensor], lr: float, steps: int) -> bool:
    """Return whether real steps of gradient descent get smaller; the parameters are put back.

    Args:
        loss: computes the loss anew.
        parameters: what is stepped.
        lr: the learning rate.
        steps: how many steps, >= 2.

    Returns:
        Whether the last step is smaller than the first; False where one is not finite.
    """
    start = [p.detach().clone() for p in parameters]
    optimizer = GradientDescent(parameters, lr=lr)
    sizes = []
    for _ in range(steps):
        before = [p.detach().clone() for p in parameters]
        optimizer.zero_grad()
        torch.autograd.backward(loss())
        optimizer.step()
        sizes.append(_norm([p.detach() - b for p, b in zip(parameters, before, strict=True)]))
    with torch.no_grad():
        for parameter, value in zip(parameters, start, strict=True):
            parameter.copy_(value)
    return sizes[-1] < sizes[0]


def largest_stable_rate(stable: Callable[[float], bool], precision: float) -> float:
    """Return the rate at which a question about rates turns from yes to no, by bisection.

    Args:
        stable: the question; yes below some rate and no above it.
        precision: how close, relative to the rate.

    Returns:
        The rate.

    Raises:
        RunError: if it does not turn at any rate that a float32 parameter can tell apart.

    Example:
        >>> round(largest_stable_rate(lambda rate: rate < 0.3, 1e-6), 5)
        0.3
    """
    low = high = _FIRST_RATE
    factor = 2.0 if stable(low) else 0.5
    for _ in range(_OCTAVES):
        low, high = (high, high * 2) if factor > 1 else (low / 2, low)
        if stable(high if factor > 1 else low) is (factor < 1):
            break
    else:
        raise RunError(f"no learning rate from {_FIRST_RATE:g} to {high:g} changes stability")
    while high - low > precision * low:
        middle = (low + high) / 2
        low, high = (middle, high) if stable(middle) else (low, middle)
    return (low + high) / 2


class StableRate(LightningModule):
    r"""Find the largest stable learning rate of a module's loss on a batch, in two ways.

    Predicted: :math:`2 / \lambda_{\max}` with the curvature by power iteration. Observed: real
    steps of `GradientDescent`, and a bisection for the rate at which they stop getting smaller.
    Neither asks the module what it knows of itself. `predict` writes `stability.json`.

    On a quadratic both agree; elsewhere the first holds near the start, and the second along the
    steps that were taken.

    Args:
        module: whose loss is looked at.
        steps: of each descent that is observed, >= 2.
        precision: of the observed rate, relative to it.

    Raises:
        UsageError: if steps is below 2, or precision is not > 0.
    """

    def __init__(self, module: DescentModule, steps: int = 6, precision: float = 1.0e-5) -> None:
        super().__init__()
        if steps < 2:
            raise UsageError(f"steps = {steps}: two or more are needed to see whether they shrink")
        if not precision > 0:
            raise UsageError(f"precision = {precision} must be > 0")
        self.module = module
        self.steps = steps
        self.precision = precision
        self._found: dict[str, Any] = {}

    def predict_step(self, batch: Any, batch_idx: int) -> dict[str, Any]:
        """Return the curvature and both rates for a batch."""
        with torch.inference_mode(False), torch.enable_grad():
            batch = tuple(part.clone() for part in batch)  # a clone is no inference tensor
            parameters = [p for p in self.module.parameters() if p.requires_grad]

            def loss() -> Tensor:
                return self.module.loss(batch)

            curvature = curvature_by_power_iteration(loss, parameters)
            observed = largest_stable_rate(
                lambda rate: settles(loss, parameters, rate, self.steps), self.precision
            )
        self._found = {
            "largest_curvature": curvature,
            "predicted": 2 / curvature if curvature > 0 else None,
            "observed": observed,
        }
        return self._found

    def on_predict_end(self) -> None:
        """Write and print what was found."""
        if not self.trainer.is_global_zero or self.trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        run = Run.of(self.trainer)
        run.folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self._found, indent=2)
        (run.folder / "stability.json").write_text(text + "\n", encoding="utf-8")
        self.print(f"{text}\nwritten to {run.folder / 'stability.json'}")
