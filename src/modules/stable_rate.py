"""The learning rate at which a module's optimizer stops being stable, found from its loss alone."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.model_helpers import is_overridden
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor, nn
from torch.optim import Optimizer

from ..drawing.figure import Figure, files_of
from ..drawing.stability import loss_by_rate_figure, stability_map_figure
from ..errors import UsageError
from ..optimizers.stability import (
    Settling,
    curvature_by_power_iteration,
    largest_stable_rate,
    predicted_rate,
)
from ..runs.files import write_whole
from ..runs.folder import Run, keep_picture
from .descent_module import DescentModule

#: after how many the loss is drawn
UPDATES = 50


class StableRate(LightningModule):
    r"""Find the largest stable learning rate of a module on a batch, in two ways.

    Predicted: :math:`2 / \lambda_{\max}` of gradient descent and :math:`2 (1 + \mu) /
    \lambda_{\max}` of momentum, with the curvature by power iteration (`predicted_rate` has those
    of SGD's other forms); null for other optimizers.
    Observed: real steps of the module's own optimizer, and a bisection for the rate at which they
    stop getting smaller. Neither asks the module what it knows of itself. `predict` writes
    `stability.json`, and draws the loss after 50 updates over the learning rate, with both rates;
    with momenta also the two over the momentum, which is a map of where the optimizer is stable.

    On a quadratic both agree; elsewhere the first holds near the start, and the second along the
    steps that were taken. The module is stepped in float64, where the device has it, and put back.

    Args:
        module: whose loss and optimizer are looked at.
        steps: of each descent that is observed, at most; most end long before. At least 8.
        precision: of the observed rate, relative to it: at the rate steps settled, and above it by
            this they did not.
        momenta: of the optimizer, each in [0, 1), for the map.

    Raises:
        UsageError: if steps is below 8, precision is not > 0, a momentum is not in [0, 1), or the
            module makes its optimizer in a `configure_optimizers` of its own, or one without
            momentum where momenta are given.
    """

    #: a loss needs the targets, which `RegressionData` leaves out of predictions otherwise
    predicts_with_targets = True

    def __init__(
        self,
        module: DescentModule,
        steps: int = 4096,
        precision: float = 1.0e-5,
        momenta: Sequence[float] = (),
    ) -> None:
        super().__init__()
        if steps < 8:
            raise UsageError(f"steps = {steps}: eight or more are needed to see how they grow")
        if not precision > 0:
            raise UsageError(f"precision = {precision} must be > 0")
        if wrong := [each for each in momenta if not 0 <= each < 1]:
            raise UsageError(f"momenta: {wrong[0]} must be in [0, 1)")
        if is_overridden("configure_optimizers", module, DescentModule):
            raise UsageError(
                f"{type(module).__name__} has a configure_optimizers of its own, from which no "
                "single optimizer can be taken: give it an optimizer in its place"
            )
        self.module = module
        self.steps = steps
        self.precision = precision
        self.momenta = momenta
        self._figures: dict[str, Figure] = {}
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

            curvature = curvature_by_power_iteration(loss, parameters)
            settling = Settling(loss, parameters, self._optimizer, self.steps)
            self._found = {"largest_curvature": curvature, **self._rates(settling, curvature)}
            self._draw_losses(settling)
            if self.momenta:
                self._found["by_momentum"] = self._by_momentum(settling, curvature)
        return self._found

    def _optimizer(self, momentum: float | None = None) -> Optimizer:
        """Return a new optimizer, with another momentum if one is given."""
        optimizer = self.module.optimizer_and_scheduler()[0]
        if momentum is not None and "momentum" not in optimizer.defaults:
            raise UsageError(
                f"momenta: {type(optimizer).__name__} has no momentum: give another optimizer, "
                "such as --model.module.optimizer Momentum"
            )
        for group in optimizer.param_groups if momentum is not None else ():
            group["momentum"] = momentum
        return optimizer

    def _rates(self, settling: Settling, curvature: float) -> dict[str, float | None]:
        return {
            "predicted": predicted_rate(settling.make(), curvature),
            "observed": largest_stable_rate(settling, self.precision),
        }

    def _draw_losses(self, settling: Settling) -> None:
        """Draw the loss after some updates, from a thirtieth of the observed rate on.

        Near that rate, where the loss shoots up, it is taken at many more.
        """
        observed = self._found["observed"]
        near = observed * np.linspace(0.9, 1.1, 21)
        rates = np.sort([*np.geomspace(observed / 30, 1.5 * observed, 25), *near]).tolist()
        losses = [settling.loss_after(lr, UPDATES) for lr in rates]
        marks = {name: self._found[name] for name in ("predicted", "observed")}
        start = settling.loss_after(observed, 0)
        name = _in_words(settling.make())
        self._figures["loss_by_rate"] = loss_by_rate_figure(
            rates, losses, UPDATES, start, marks, name
        )

    def _by_momentum(self, settling: Settling, curvature: float) -> list[dict[str, float | None]]:
        """Return both rates for each momentum, and draw them."""
        rows = []
        for momentum in self.momenta:
            settling.make = partial(self._optimizer, momentum)
            rows.append({"momentum": momentum, **self._rates(settling, curvature)})
        self._figures["stability_map"] = stability_map_figure(rows)
        return rows

    def on_predict_end(self) -> None:
        """Write and print what was found."""
        if not self.trainer.is_global_zero or self.trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        run = Run.of(self.trainer)
        run.folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self._found, indent=2)
        write_whole(run.folder / "stability.json", text + "\n")
        for name, figure in self._figures.items():
            keep_picture(self.trainer, run.figures / name, files_of(figure))
        self.print(f"{text}\nwritten to {run.folder / 'stability.json'}, drawn in {run.figures}")


def _in_words(optimizer: Optimizer) -> str:
    """Return the class of an optimizer, with its momentum where it has one.

    Example:
        >>> _in_words(torch.optim.SGD([torch.zeros(1)], lr=0.1, momentum=0.9))
        'SGD, momentum 0.9'
        >>> _in_words(torch.optim.Adam([torch.zeros(1)]))
        'Adam'
    """
    momentum = optimizer.param_groups[0].get("momentum")
    name = type(optimizer).__name__
    return f"{name}, momentum {momentum:g}" if isinstance(momentum, int | float) else name


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
