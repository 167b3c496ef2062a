"""Protocol of a module whose updates can be made in chunks and compiled."""

from collections.abc import Iterator
from typing import Any, Protocol

from lightning.pytorch import Trainer
from torch import Tensor
from torch.nn import Parameter


class Chunkable(Protocol):
    """A LightningModule with a loss on a batch, and an update that is written out."""

    #: whether updates are to be compiled
    compiles: bool
    #: whether Lightning makes the updates
    automatic_optimization: bool
    #: whether gradients are forgotten before each update
    zeroes_gradients: bool

    @property
    def trainer(self) -> Trainer:
        """What trains it."""

    @property
    def global_step(self) -> int:
        """The number of updates so far."""

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Yield the parameters with their names."""

    def loss(self, batch: Any) -> Tensor:
        """Return the loss of one batch, a tensor without dimensions."""

    def step_schedulers(self) -> None:
        """Step the schedulers at an epoch's end, under manual optimization."""

    def descends_as_written(self) -> bool:
        """Return whether `descend`, and all that it calls, is what the base class has."""
