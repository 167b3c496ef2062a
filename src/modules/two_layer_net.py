"""A network of two layers, fitted by the summed squared error."""

from typing import ClassVar, Literal

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn

from ..objectives.squared_error import squared_error
from ..optimizers import Adam
from .descent_module import DescentModule


class TwoLayerNet(DescentModule):
    r"""Two linear layers with a ReLU between them.

    .. math:: \hat y = W_2 \max(W_1 x + b_1, 0) + b_2, \qquad L = \sum_{ij} (\hat y_{ij} - y_{ij})^2

    The squared error is summed, not averaged, over rows and outputs.

    Shapes: batch x: (n, inputs), y: (n, outputs); targets of another shape are refused.

    Args:
        inputs: columns of x.
        hidden: units between the layers.
        outputs: columns of y.
        optimizer: see `DescentModule`.
        lr_scheduler: see `DescentModule`.
        manual_optimization: see `DescentModule`.
    """

    reduction: ClassVar[Literal["mean", "sum"]] = "sum"

    def __init__(
        self,
        inputs: int = 1000,
        hidden: int = 100,
        outputs: int = 10,
        optimizer: OptimizerCallable = Adam,
        lr_scheduler: LRSchedulerCallable | None = None,
        manual_optimization: bool = False,
    ) -> None:
        super().__init__(optimizer, lr_scheduler, manual_optimization)
        self.layers = nn.Sequential(
            nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs, (n, outputs), for x, (n, inputs)."""
        outputs: Tensor = self.layers(x)
        return outputs

    quantity = "summed squared error"

    def loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Return the summed squared error of a batch (x, y)."""
        x, y = batch
        return squared_error(self(x), y).sum()

    def predict_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Return the outputs of a batch (x, y)."""
        return torch.as_tensor(self(batch[0]))
