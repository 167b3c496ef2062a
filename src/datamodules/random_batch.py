"""One batch of random inputs and targets: something to fit that means nothing."""

import torch
from torch import Tensor

from ..errors import UsageError
from .resumable import ResumableData
from .tensor_loader import TensorLoader


class RandomBatch(ResumableData):
    """Standard normal inputs and targets, drawn once from the global seed, for every stage.

    Batches are pairs (x, y) of shapes (n, inputs) and (n, outputs).

    Args:
        n: rows.
        inputs: columns of x.
        outputs: columns of y.

    Raises:
        UsageError: if a number is below 1.
    """

    def __init__(self, n: int = 64, inputs: int = 1000, outputs: int = 10) -> None:
        super().__init__()
        for name, value in (("n", n), ("inputs", inputs), ("outputs", outputs)):
            if value < 1:
                raise UsageError(f"{name} = {value} is below 1: give 1 or more")
        self.n = n
        self.inputs = inputs
        self.outputs = outputs

    def _batch(self) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(self.seed)
        x = torch.randn(self.n, self.inputs, generator=generator, dtype=torch.float64)
        y = torch.randn(self.n, self.outputs, generator=generator, dtype=torch.float64)
        return x.to(self.dtype), y.to(self.dtype)

    def train_dataloader(self) -> TensorLoader:
        """Return the batch: one update per epoch."""
        return self.resumable(TensorLoader(*self._batch()))

    def val_dataloader(self) -> dict[str, TensorLoader]:
        """Return the same batch."""
        return {"train": TensorLoader(*self._batch())}

    def test_dataloader(self) -> TensorLoader:
        """Return the same batch."""
        return TensorLoader(*self._batch())

    def predict_dataloader(self) -> TensorLoader:
        """Return the same batch."""
        return TensorLoader(*self._batch())
