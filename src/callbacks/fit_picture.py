"""Picture of a fit: the data of a regression, and the line through them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from numpy.typing import NDArray
from torch import Tensor
from torch.func import functional_call
from torch.nn import Module

from ..drawing.curves import save_figure
from ..drawing.fit import Points, fit_figure
from ..errors import UsageError
from ..runs.folder import run_to_write, show_image
from .best_parameters import BestParameters
from .fresh_metrics import is_new
from .instrument import Instrument
from .whole_sets import batches_of, load_sets, why_no_sets

LARGEST = 100_000  # parameters, of which those of the start are kept too

Values = dict[str, Tensor]


class FitPicture(Instrument):
    """Draw `figures/fit`: data, predictions and residuals, as PNG, SVG and in TensorBoard.

    Of one input: the lines before the first update, with the best parameters and with the last
    ones. Of several: the prediction of the best parameters over the targets. The data are those of
    the module's validation loaders, which hold the training set under the name `train` and the
    validation set, if there is one, under `val`, in batches (x, y) of shapes (n, d) and (n,). The
    best parameters are those of a `BestParameters` among the callbacks. Drawn when the fit ends,
    also by an exception; a run that goes on with nothing left to train has the last ones alone. A
    module of another kind is left without a picture, with a warning.
    """

    def __init__(self) -> None:
        self._trains = False
        self._begin()

    def _begin(self) -> None:
        self._start: Values = {}
        self._folder: Path | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Begin anew, unless the trainer goes on."""
        if stage == "fit" and is_new(trainer):
            self._begin()

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin a fit."""
        self._trains = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the parameters before the first update, and find the place of the figure."""
        self._trains = True
        self._look(trainer, pl_module)

    def _look(self, trainer: Trainer, pl_module: LightningModule) -> None:
        reason = why_no_sets(trainer)
        if reason is not None:
            rank_zero_warn(f"No fit is drawn of {type(pl_module).__name__}: {reason}.")
            return
        run = run_to_write(trainer)
        self._folder = run.figures if run is not None else None
        if trainer.global_step == 0 and sum(p.numel() for p in pl_module.parameters()) <= LARGEST:
            self._start = {
                name: p.detach().to("cpu", copy=True) for name, p in pl_module.named_parameters()
            }

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the figure, also of a run that was stopped after its last update."""
        if not self._trains and trainer.global_step > 0:
            load_sets(trainer)
            self._look(trainer, pl_module)
        self._draw(trainer, pl_module)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Draw the figure of a run that ends before its time."""
        self._draw(trainer, pl_module)

    def state_dict(self) -> dict[str, Any]:
        """Return the parameters before the first update."""
        return {"start": dict(self._start)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take them from an earlier run."""
        self._start = dict(state_dict["start"])

    def _draw(self, trainer: Trainer, pl_module: LightningModule) -> None:
        folder, self._folder = self._folder, None
        if folder is None:
            return
        try:
            labels = getattr(trainer.datamodule, "labels", ("x", "y"))  # type: ignore[attr-defined]  # set outside its __init__
            figure = fit_figure(*self._predicted(trainer, pl_module), labels)
            show_image(
                trainer, "figure/fit", save_figure(figure, folder / "fit"), trainer.global_step
            )
        except FloatingPointError as error:  # of a run that diverged, which says so itself
            rank_zero_info(f"The fit was not drawn: {error}")
        except Exception as error:  # a picture is never worth a run
            rank_zero_warn(f"The fit was not drawn: {error}")

    def _predicted(
        self, trainer: Trainer, pl_module: LightningModule
    ) -> tuple[dict[str, Points], str]:
        """Return the sets with what is predicted of them, and the name of the judged parameters."""
        judged = last = f"last, {trainer.global_step} updates"
        values = {"start": self._start} if self._start else {}
        found = [one for one in trainer.callbacks if isinstance(one, BestParameters) and one.best]  # type: ignore[attr-defined]  # set outside its __init__
        if found and found[0].best is not None:
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
