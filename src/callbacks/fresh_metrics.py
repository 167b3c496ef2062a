"""Which metrics belong to the parameters of this moment, and which are of an earlier one."""

from lightning.pytorch import Trainer
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from ..internals.lightning import batches_trained


class FreshMetrics:
    """Tell the metrics that were logged since one last looked from those that only stayed.

    `trainer.callback_metrics` keeps a value until it is logged again, however old it is.
    """

    def __init__(self) -> None:
        self._seen: dict[str, Tensor] = {}

    def look(self, trainer: Trainer) -> dict[str, float]:
        """Return the metrics that were logged since the last look, and remember all."""
        metrics = dict(trainer.callback_metrics)
        fresh = {
            name: float(value)
            for name, value in metrics.items()
            # Lightning hands out a new view at each access; the memory behind it stays the same
            if name not in self._seen or value.data_ptr() != self._seen[name].data_ptr()
        }
        self._seen = metrics
        return fresh


def fitting(trainer: Trainer) -> bool:
    """Return whether this is a fit's training or validation: no sanity check, no `validate`."""
    return trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking


def is_new(trainer: Trainer) -> bool:
    """Return whether a trainer has made no update, so that what a callback keeps begins anew."""
    return batches_trained(trainer) == 0
