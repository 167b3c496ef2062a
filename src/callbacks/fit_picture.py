"""Picture of a fit: the data of a regression, and the line through them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from numpy.typing import NDArray
from torch import Tensor
from torch.func import functional_call
from torch.nn import Module

from ..drawing.figure import Figure
from ..drawing.fit import Points, fit_figure
from ..errors import UsageError
from .best_parameters import BestParameters
from .whole_sets import PictureOfWholeSets, batches_of, why_no_sets

LARGEST = 100_000  # parameters, of which those of the start are kept too
EARLY = 5  # the epoch of which there is a line beside those of the start, the best and the last

Values = dict[str, Tensor]


class FitPicture(PictureOfWholeSets):
    """Draw `figures/fit`: data, predictions and residuals, as PNG, SVG and in TensorBoard.

    Of one input: the lines before the first update, after epoch 5, with the best parameters and
    with the last ones. Of several: the prediction of the best parameters over the targets. The data
    are those of the module's validation loaders, which hold the training set under the name `train`
    and the validation set, if there is one, under `val`, in batches (x, y) of shapes (n, d) and
    (n,). The best parameters, and those of epoch 5 if it is neither the best nor the last, are
    those of a `BestParameters` among the callbacks. Drawn when the fit ends,
    also by an exception. A module of another kind is left without a picture, with a warning.
    """

    picture = "fit"

    def _begin(self) -> None:
        self._start: Values = {}

    def _why_not(self, trainer: Trainer, pl_module: LightningModule) -> str | None:
        return why_no_sets(trainer)

    def _take_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.global_step == 0 and sum(p.numel() for p in pl_module.parameters()) <= LARGEST:
            self._start = {
                name: p.detach().to("cpu", copy=True) for name, p in pl_module.named_parameters()
            }

    def state_dict(self) -> dict[str, Any]:
        """Return the parameters before the first update."""
        return {"start": dict(self._start)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take them from an earlier run."""
        self._start = dict(state_dict["start"])

    def figure(self, trainer: Trainer, pl_module: LightningModule) -> Figure:
        """Return the data with what is predicted of them."""
        labels = getattr(trainer.datamodule, "labels", ("x", "y"))  # type: ignore[attr-defined]  # set outside its __init__
        return fit_figure(*self._predicted(trainer, pl_module), labels)

    def _predicted(
        self, trainer: Trainer, pl_module: LightningModule
    ) -> tuple[dict[str, Points], str]:
        """Return the sets with what is predicted of them, and the name of the judged parameters."""
        judged = last = f"last, {trainer.global_step} updates"
        values = {"start": self._start} if self._start else {}
        found = [one for one in trainer.callbacks if isinstance(one, BestParameters) and one.best]  # type: ignore[attr-defined]  # set outside its __init__
        if found and found[0].best is not None:
            values |= _early(found[0])
            judged = f"best, epoch {found[0].best_epoch}"
            values[judged] = found[0].best["state_dict"]
        values[last] = {}
        loaders: Any = trainer.val_dataloaders
        names = [name for name in ("train", "val") if name in loaders]
        with _evaluating(pl_module):
            sets = {
                name: _points(pl_module, batches_of(trainer, pl_module, name), values)
                for name in names
            }
        return sets, judged


def _early(kept: BestParameters) -> dict[str, Values]:
    """Return the parameters after an early epoch, if they are neither the best nor the last."""
    epochs = kept.history.epochs
    if EARLY in epochs and EARLY not in (kept.best_epoch, max(epochs)):
        return {f"epoch {EARLY}": epochs[EARLY]}
    return {}


@contextmanager
def _evaluating(module: Module) -> Iterator[None]:
    """Have a module predict as in a validation, inside; then each part is in its mode again."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part, mode in modes.items():
            part.training = mode


def _points(module: Module, batches: list[Any], values: Mapping[str, Values]) -> Points:
    """Return the rows of a set, and the predictions with each of the parameters.

    Raises:
        UsageError: if the batches are no pairs, or there is not one prediction for each target.
    """
    if not all(isinstance(batch, (tuple, list)) and len(batch) == 2 for batch in batches):
        raise UsageError("its batches are no pairs of inputs and targets")
    y = torch.cat([batch[1] for batch in batches])
    predictions = {
        name: torch.cat([_at(module, given, batch[0]) for batch in batches])
        for name, given in values.items()
    }
    shapes = {tuple(each.shape) for each in predictions.values()}
    if y.ndim != 1 or shapes != {tuple(y.shape)}:
        raise UsageError(f"its targets are {tuple(y.shape)}, its predictions {shapes}: no (n,)")
    x = torch.cat([batch[0].reshape(len(batch[0]), -1) for batch in batches])
    return Points(_numbers(x), _numbers(y), {name: _numbers(p) for name, p in predictions.items()})


def _at(module: Module, values: Values, x: Tensor) -> Tensor:
    """Return the predictions with other parameters, as far as they are given."""
    own = dict(module.named_parameters())
    moved = {name: each.to(own[name]) for name, each in values.items() if name in own}
    predicted: Tensor = functional_call(module, moved, (x,))
    return predicted


def _numbers(tensor: Tensor) -> NDArray[np.float64]:
    return tensor.detach().to("cpu", torch.float64).numpy()
