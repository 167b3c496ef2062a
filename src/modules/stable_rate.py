"""The learning rate at which a module's optimizer stops being stable, found from its loss alone."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.model_helpers import is_overridden
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor, nn
from torch.optim import Optimizer

from ..errors import UsageError
from ..optimizers.stability import (
    Settling,
    curvature_by_power_iteration,
    largest_stable_rate,
    predicted_rate,
)
from ..runs.files import write_whole
from ..runs.folder import Run
from .descent_module import DescentModule


class StableRate(LightningModule):
    r"""Find the largest stable learning rate of a module on a batch, in two ways.

    Predicted: :math:`2 / \lambda_{\max}` of gradient descent and :math:`2 (1 + \mu) /
    \lambda_{\max}` of momentum, with the curvature by power iteration (`predicted_rate` has those
    of SGD's other forms); null for other optimizers.
    Observed: real steps of the module's own optimizer, and a bisection for the rate at which they
    stop getting smaller. Neither asks the module what it knows of itself. `predict` writes
    `stability.json`.

    On a quadratic both agree; elsewhere the first holds near the start, and the second along the
    steps that were taken. The module is stepped in float64, where the device has it, and put back.

    Args:
        module: whose loss and optimizer are looked at.
        steps: of each descent that is observed, at most; most end long before. At least 8.
        precision: of the observed rate, relative to it.

    Raises:
        UsageError: if steps is below 8, precision is not > 0, or the module makes its optimizer in
            a `configure_optimizers` of its own.
    """

    #: a loss needs the targets, which `RegressionData` leaves out of predictions otherwise
    predicts_with_targets = True

    def __init__(self, module: DescentModule, steps: int = 4096, precision: float = 1.0e-5) -> None:
        super().__init__()
        if steps < 8:
            raise UsageError(f"steps = {steps}: eight or more are needed to see how they grow")
        if not precision > 0:
            raise UsageError(f"precision = {precision} must be > 0")
        if is_overridden("configure_optimizers", module, DescentModule):
            raise UsageError(
                f"{type(module).__name__} has a configure_optimizers of its own, from which no "
                "single optimizer can be taken: give it an optimizer in its place"
            )
        self.module = module
        self.steps = steps
        self.precision = precision
        self._found: dict[str, Any] = {}

    def setup(self, stage: str) -> None:
        """Let the module take from the data what it needs."""
        self.module.setup(stage)

    def predict_step(self, batch: Any, batch_idx: int) -> dict[str, Any]:
        """Return the curvature and both rates for a batch."""
        dtype = torch.float32 if self.device.type == "mps" else torch.float64  # it has no float64
        with torch.inference_mode(False), torch.enable_grad(), _in_precision(self.module, dtype):
            # a clone is no inference tensor
            batch = apply_to_collection(batch, Tensor, lambda part: _cloned(part, dtype))
            parameters = [p for p in self.module.parameters() if p.requires_grad]

            def loss() -> Tensor:
                return self.module.loss(batch)

            def make() -> Optimizer:
                return self.module.optimizer_and_scheduler()[0]

            curvature = curvature_by_power_iteration(loss, parameters)
            settling = Settling(loss, parameters, make, self.steps)
            self._found = {
                "largest_curvature": curvature,
                "predicted": predicted_rate(make(), curvature),
                "observed": largest_stable_rate(settling, self.precision),
            }
        return self._found

    def on_predict_end(self) -> None:
        """Write and print what was found."""
        if not self.trainer.is_global_zero or self.trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        run = Run.of(self.trainer)
        run.folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self._found, indent=2)
        write_whole(run.folder / "stability.json", text + "\n")
        self.print(f"{text}\nwritten to {run.folder / 'stability.json'}")


@contextmanager
def _in_precision(module: nn.Module, dtype: torch.dtype) -> Iterator[None]:
    """Have real parameters and buffers in a precision, and afterwards in their own again."""
    tensors = [t for t in (*module.parameters(), *module.buffers()) if t.is_floating_point()]
    own = [tensor.dtype for tensor in tensors]
    for tensor in tensors:
        tensor.data = tensor.data.to(dtype)
    try:
        yield
    finally:
        for tensor, before in zip(tensors, own, strict=True):
            tensor.grad = None
            tensor.data = tensor.data.to(before)


def _cloned(part: Tensor, dtype: torch.dtype) -> Tensor:
    return part.clone().to(dtype) if part.is_floating_point() else part.clone()
