"""Initial states of a dynamical system: one fixed mini-batch."""

import math

from torch import Tensor

from ..errors import UsageError
from ..objectives import initial_states
from .precision import cast
from .resumable import ResumableData
from .tensor_loader import TensorLoader


class InitialStates(ResumableData):
    """One mini-batch of initial states, drawn once from the global seed, for every stage.

    Args:
        n: how many states.
        mean: their mean.
        std: their standard deviation.

    Attributes:
        x0: the states, shape (n,); there after `setup`.

    Raises:
        UsageError: n is below 1, std is negative, or a value is not finite.
    """

    x0: Tensor

    def __init__(self, n: int = 1024, mean: float = 1.0, std: float = 1.0) -> None:
        super().__init__()
        if n < 1:
            raise UsageError(f"n = {n} initial states is below 1: give 1 or more")
        if not math.isfinite(mean):
            raise UsageError(f"mean = {mean} of the initial states is not finite: give a number")
        if not (math.isfinite(std) and std >= 0):
            raise UsageError(f"std = {std} of the initial states must be finite and at least 0")
        self.n = n
        self.mean = mean
        self.std = std

    def setup(self, stage: str) -> None:
        """Draw the states.

        Args:
            stage: `fit`, `validate`, `test` or `predict`; all get the same states.
        """
        super().setup(stage)
        self._draw()

    def load_state_dict(self, state_dict: dict[str, object]) -> None:
        """Take back the seed of the run that goes on, and with it the states.

        Args:
            state_dict: what `state_dict` returned.
        """
        super().load_state_dict(state_dict)
        self._draw()

    def _draw(self) -> None:
        drawn = initial_states(self.n, self.mean, self.std, self.seed)
        self.x0 = cast("the initial states", drawn, self.dtype)

    def train_dataloader(self) -> TensorLoader:
        """Return the mini-batch: one update per epoch."""
        return self.resumable(TensorLoader(self.x0))

    def val_dataloader(self) -> dict[str, TensorLoader]:
        """Return the same mini-batch."""
        return {"train": TensorLoader(self.x0)}

    def test_dataloader(self) -> TensorLoader:
        """Return the same mini-batch."""
        return TensorLoader(self.x0)

    def predict_dataloader(self) -> TensorLoader:
        """Return the same mini-batch."""
        return TensorLoader(self.x0)
