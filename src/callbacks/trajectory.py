"""Picture of a descent: the path of the parameters over the loss."""

import warnings
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning_utilities.core.apply_func import apply_to_collection
from numpy.typing import NDArray
from torch import Tensor
from torch.func import functional_call, vmap
from torch.nn import Module

from ..datamodules.processes import batch_rows
from ..drawing import trajectory
from ..drawing.animation import animation_of
from ..drawing.figure import Figure
from .whole_sets import PictureOfWholeSets, batches_of, why_no_sets

LARGEST = 1_000  # parameters
_FAR = 1e100  # beyond it the arithmetic of the axes overflows
_MOST = 2**22  # numbers of the parameters and the data, that are taken in at once


@runtime_checkable
class HasLoss(Protocol):
    """A module with a loss that can be evaluated anywhere, and perhaps a known minimiser."""

    def loss(self, batch: Any) -> Tensor:
        """Return the loss of a batch, a tensor without dimensions."""
        ...

    def minimiser(self, batch: Any) -> Tensor | None:
        """Return the parameters of the least loss, one behind the other, where they are known."""
        ...


class Trajectory(PictureOfWholeSets):
    """Draw `figures/trajectory`: the path over the loss, as PNG, SVG and in TensorBoard.

    The path goes through the parameters before the first update and after every epoch, of up to
    1,000 parameters. The loss around it is that of the whole training set, which the module's
    validation loaders hold under the name `train`. Drawn when the fit ends, also by an exception; a
    run that resumes draws the path before it too. A module of another kind is left without a
    picture, with a warning.

    Args:
        animate: whether `figures/trajectory.gif` shows the path as it grows, which takes some
            seconds.
    """

    picture = "trajectory"

    def __init__(self, animate: bool = False) -> None:
        super().__init__()
        self.animate = animate

    def _begin(self) -> None:
        self._points: list[Tensor] = []
        self._updates: list[int] = []

    def _why_not(self, trainer: Trainer, pl_module: LightningModule) -> str | None:
        parameters = list(pl_module.parameters())
        if not isinstance(pl_module, HasLoss):
            return "it has no loss(batch) and minimiser(batch), as a DescentModule has"
        if not parameters or sum(p.numel() for p in parameters) > LARGEST:
            return f"it has not 1 to {LARGEST:,} parameters"
        if not all(p.is_floating_point() for p in parameters):
            return "its parameters are not real numbers"
        return why_no_sets(trainer)

    def _take_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self._points:
            self._take(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the parameters of the epoch."""
        if self._folder is not None:
            self._take(trainer, pl_module)

    def _take(self, trainer: Trainer, pl_module: LightningModule) -> None:
        while self._updates and self._updates[-1] >= trainer.global_step:
            self._updates.pop()  # an epoch that is run again
            self._points.pop()
        self._updates.append(trainer.global_step)
        flat = [p.detach().reshape(-1) for p in pl_module.parameters()]
        self._points.append(torch.cat(flat).to("cpu", torch.float64))

    def state_dict(self) -> dict[str, Any]:
        """Return the path so far."""
        points = torch.stack(self._points) if self._points else torch.empty(0)
        return {"points": points, "updates": list(self._updates)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the path of an earlier run."""
        points, updates = state_dict["points"], state_dict["updates"]
        if len(points) != len(updates) or (updates and points.ndim != 2):
            raise ValueError(f"a path of {len(updates)} points is {tuple(points.shape)}")
        self._points, self._updates = list(points.double()), [int(each) for each in updates]

    def figure(self, trainer: Trainer, pl_module: LightningModule) -> Figure | None:
        """Return the path over the loss, as far as it is finite; None where nothing moved."""
        surface = LossSurface(pl_module, batches_of(trainer, pl_module, "train"))
        path = surface.path(self._points, self._updates)
        if len(path.points) < 2:
            return None
        return trajectory.trajectory_figure(path, surface.losses, surface.minimisers)

    def _more(self, figure: Figure) -> dict[str, bytes]:
        return {"gif": animation_of(figure)} if self.animate else {}


class _Loss(Module):
    """The loss of a module as the output of one that holds it, which `functional_call` takes."""

    def __init__(self, module: Any) -> None:
        super().__init__()
        self.module = module

    def forward(self, batch: Any) -> Tensor:
        loss: Tensor = self.module.loss(batch)
        return loss


class LossSurface:
    """The loss of a module on a set, at any parameters; the module's own are left alone.

    Its `minimisers`, (m, p), are all that a module gives, as `ToyObjective.minimisers` does, or its
    one `minimiser`; None where it knows none.

    Args:
        module: has the loss.
        batches: the set. The losses of several are added up where that is the module's `reduction`,
            and else averaged by their rows.
    """

    def __init__(self, module: Any, batches: list[Any]) -> None:
        self._holder = _Loss(module)
        self._batches = batches
        rows = [batch_rows(batch) for batch in batches]
        adds_up = getattr(module, "reduction", "mean") == "sum"
        self._weights = [1.0 if adds_up else count / sum(rows) for count in rows]
        self._like = list(self._holder.named_parameters())
        every = getattr(module, "minimisers", module.minimiser)
        least = every(batches[0]) if len(batches) == 1 else None
        self.minimisers: NDArray[np.float64] | None = None
        if least is not None:
            count = sum(p.numel() for _, p in self._like)
            self.minimisers = least.detach().reshape(-1, count).to("cpu", torch.float64).numpy()

    def _at(self, point: Tensor) -> Tensor:
        """Return the loss, with the parameters in place of the module's own."""
        sizes = [p.numel() for _, p in self._like]
        values = {
            name: part.to(p.device, p.dtype).view_as(p)
            for (name, p), part in zip(self._like, torch.split(point, sizes), strict=True)
        }
        losses = [functional_call(self._holder, values, (batch,)) for batch in self._batches]
        return torch.stack([w * loss for w, loss in zip(self._weights, losses, strict=True)]).sum()

    def losses(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the losses, (m,), at points, (m, p)."""
        places = torch.from_numpy(points)
        with torch.no_grad():
            try:
                found = self._at_once(places)
            except Exception:  # a loss that branches on its values, or draws: point by point
                found = torch.stack([self._at(place) for place in places])
        return found.to("cpu", torch.float64).numpy()

    def _at_once(self, places: Tensor) -> Tensor:
        """Return the losses at all points, (m,), of many of them at a time.

        Raises:
            Exception: the loss cannot be batched, or would be no faster for it.
        """
        sizes = [p.numel() for _, p in self._like]
        apply_to_collection(self._batches, Tensor, lambda part: sizes.append(part.numel()))
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # that there is no rule to batch an operation
            return vmap(self._at, chunk_size=max(1, _MOST // sum(sizes)))(places)

    def path(self, points: list[Tensor], updates: list[int]) -> trajectory.Path:
        """Return the path with its losses and gradients, as far as all of it is finite."""
        losses, norms = [], []
        with torch.enable_grad():
            for point in points:
                place = point.clone().requires_grad_()
                loss = self._at(place)
                (gradient,) = torch.autograd.grad(loss, place)
                values = torch.stack([loss.detach().double().cpu(), place.detach().abs().max()])
                if not bool((values.abs() < _FAR).all()):
                    break
                losses.append(float(loss.detach()))
                norms.append(float(gradient.norm()))
        count = len(losses)
        names = [
            name.removeprefix("module.") + (f"[{', '.join(map(str, index))}]" if index else "")
            for name, p in self._like
            for index in np.ndindex(*p.shape)
        ]
        stacked = torch.stack(points[:count]).numpy() if count else np.zeros((0, len(names)))
        return trajectory.Path(
            stacked, np.array(losses), np.array(norms), names, np.array(updates[:count])
        )
