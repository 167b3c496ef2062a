"""Linear regression by gradient descent on the mean squared error."""

from typing import Any

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor
from torch.nn import Parameter
from torchmetrics import MeanSquaredError, R2Score

from ..datamodules.processes import rows_of_all_processes
from ..errors import UsageError
from ..internals.lightning import first_batch, is_attached
from ..objectives.squared_error import squared_error
from ..optimizers import GradientDescent
from .descent_module import DescentModule


class LinearRegression(DescentModule):
    r"""A line, or a plane, through data: slope and bias from zeros.

    .. math:: \hat y = x^\top w + b, \qquad L = \frac{1}{n} \sum_i (\hat y_i - y_i)^2

    Shapes: batch x: (n, d), y: (n,); slope w: (d,); bias b: ().

    Args:
        features: d; taken from the data where it is not given: from the DataModule's `features`,
            or else from the first batch of the training set.
        optimizer: see `DescentModule`.
        lr_scheduler: see `DescentModule`.
        manual_optimization: see `DescentModule`.
        compile: see `DescentModule`.

    Raises:
        UsageError: if `features` was given and the data have another number of columns; if x or y
            of a batch has another shape or x another type.
    """

    slope: Parameter
    bias: Parameter

    def __init__(
        self,
        features: int | None = None,
        optimizer: OptimizerCallable = GradientDescent,
        lr_scheduler: LRSchedulerCallable | None = None,
        manual_optimization: bool = False,
        compile: bool = False,
    ) -> None:
        super().__init__(optimizer, lr_scheduler, manual_optimization, compile)
        if features is not None and features < 1:
            raise UsageError(f"features must be at least 1, and {features} was given")
        self.register_parameter("slope", None)  # made when the number of features is known
        self.bias = Parameter(torch.zeros(()))
        if features is not None:
            self._make_slope(features)

    def _make_slope(self, features: int) -> None:
        if self.slope is None:
            self.slope = Parameter(torch.zeros(features))
        elif len(self.slope) != features:
            raise UsageError(
                f"features={len(self.slope)} was given, and the data have {features} columns: "
                "leave features out, and it is taken from the data"
            )

    def setup(self, stage: str) -> None:
        """Take the number of features from the data."""
        self._take_features()
        if self.slope is None and stage == "fit":
            batch = first_batch(self.trainer)
            x = batch[0] if isinstance(batch, (tuple, list)) and batch else None
            if not isinstance(x, Tensor) or x.ndim != 2:
                raise UsageError(
                    "the number of features cannot be seen in the first batch, which is no pair of "
                    "x, (n, d), and y, (n,): give LinearRegression features=d"
                )
            self._make_slope(x.shape[1])

    def _take_features(self) -> None:
        features = None
        if is_attached(self):
            features = getattr(self.trainer.datamodule, "features", None)  # type: ignore[attr-defined]
        if features is not None:
            self._make_slope(features)

    def __getstate__(self) -> dict[str, Any]:
        """Be copied whole: weight averaging does so before `setup`, when the data are there."""
        self._take_features()
        return super().__getstate__()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the number of features from a checkpoint.

        Raises:
            UsageError: if the checkpoint is of another model, or of another number of features.
        """
        saved = checkpoint["state_dict"].get("slope")
        if saved is None:
            raise UsageError(
                "the checkpoint is of another model, there is no slope in it: give one of a "
                "LinearRegression, or begin a new run"
            )
        if self.slope is not None and self.slope.shape != saved.shape:
            raise UsageError(
                f"the checkpoint has {len(saved)} features, and the configured model or its data "
                f"have {len(self.slope)}: give data with the columns of the run, or begin a new run"
            )
        self._make_slope(len(saved))
        super().on_load_checkpoint(checkpoint)

    def forward(self, x: Tensor) -> Tensor:
        """Return the prediction, (n,), for x, (n, d)."""
        self._check(x)
        return x @ self.slope + self.bias

    def _check(self, x: Tensor) -> None:
        slope: Parameter | None = self.slope
        if slope is None:
            raise UsageError(
                "LinearRegression has no slope yet: fit it, load a checkpoint, or give features"
            )
        fits = x.ndim == 2 and x.shape[1] == len(slope)
        if not fits or (x.dtype != slope.dtype and not torch.is_autocast_enabled(x.device.type)):
            raise UsageError(
                f"x has shape {tuple(x.shape)} and type {x.dtype}, and the slope has shape "
                f"{tuple(slope.shape)} and type {slope.dtype}: give x as (rows, {len(slope)}) and "
                f"{slope.dtype}, or another trainer.precision"
            )

    quantity = "mean squared error ({target} squared)"

    def loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Return the mean squared error of a batch (x, y)."""
        if len(batch) == 1:
            raise UsageError("the batch has inputs and no targets, which the loss needs: give both")
        x, y = batch
        return squared_error(self(x), y).mean()

    def largest_curvature(self, batch: tuple[Tensor, Tensor]) -> float:
        r"""Return the largest eigenvalue of :math:`\frac{2}{n} A^\top A`, A the batch and ones."""
        x = torch.nn.functional.pad(batch[0].double(), (0, 1), value=1.0)
        return float(2 / len(x) * torch.linalg.eigvalsh(x.T @ x)[-1])

    def closed_gradient(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        r"""Return :math:`\frac{2}{n} A^\top (\hat y - y)`, A the batch and ones."""
        x, y = batch
        error = x @ self.slope.detach() + self.bias.detach() - y
        return 2 / len(x) * torch.nn.functional.pad(x, (0, 1), value=1.0).T @ error

    def measure(self, name: str, batch: Any) -> None:
        """Add a batch to the loss, and for the held-out sets to MSE and R² too."""
        super().measure(name, batch)
        if name != "train":
            x, y = batch
            prediction = self(x)
            self.metric(f"mse/{name}", MeanSquaredError).update(prediction, y)
            several = rows_of_all_processes(batch, y.device) > 1  # of a single row there is no R²
            if several or f"r2/{name}" in self._set_metrics:
                self.metric(f"r2/{name}", R2Score).update(prediction, y)

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return the predictions of a batch (x, y)."""
        prediction: Tensor = self(batch[0])
        return prediction
