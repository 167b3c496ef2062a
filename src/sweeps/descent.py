"""The members of one group under way: their updates, their losses on whole sets, what is kept."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from ..datamodules.processes import batch_rows
from ..modules.descent_module import DescentModule
from .losses import MemberLosses
from .members import Group
from .record import Record


class GroupDescent:
    """Descend the losses of all members of a group at once, on stacked parameters.

    Args:
        module: has the loss; its parameters become those of the group, (M, …).
        starts: a module like it for each seed of the group, with its parameters and buffers.
        group: the members.
        reduction: how losses of batches make that of a set.

    Attributes:
        losses: those of the members, as functions of their tensors.
        record: the losses and the best parameters of the members, and what diverged.
        epoch: the epoch under way or just ended, -1 before any.
        ended: how many epochs have ended.
        updates: how many updates each member has had.
    """

    def __init__(
        self,
        module: DescentModule,
        starts: Sequence[DescentModule],
        group: Group,
        reduction: Literal["mean", "sum"],
    ) -> None:
        self.group = group
        self.record = Record(len(group.members))
        self.epoch, self.ended, self.updates = -1, 0, 0
        self._mean = reduction == "mean"
        self._sums: dict[str, tuple[Tensor, int]] = {}
        self._frozen: tuple[Tensor, list[Tensor]] | None = None
        each = len(group.points)
        for name, parameter in module.named_parameters():
            values = [start.get_parameter(name).detach() for start in starts]
            parameter.grad = None
            parameter.data = torch.stack(values).repeat_interleave(each, 0).to(parameter)
        own = _buffers_of_seeds(module, starts)
        self.losses = MemberLosses(module, list(own))
        self._named = dict(module.named_parameters())
        self._parameters = list(self._named.values())
        buffers = [values.repeat_interleave(each, 0) for values in own.values()]
        self._tensors = [*self._parameters, *buffers]

    def update(self, batch: Any, dims: Any, step: Callable[[], Any], zero: bool = True) -> Tensor:
        """Make one update of all members, except those that have diverged.

        Args:
            batch: from `stack_seeds`.
            dims: where the seeds are in it.
            step: moves the parameters by their gradients.
            zero: False adds the gradients to those of earlier updates.

        Returns:
            The least of the members' losses before the update.
        """
        losses, gradients = self.gradients(batch, dims)
        least = losses.amin()
        if self._frozen is not None or not math.isfinite(float(losses.sum())):
            self._freeze(losses)
            least = least_finite(losses)
        for parameter, gradient in zip(self._parameters, gradients, strict=False):
            if zero or parameter.grad is None or gradient is None:
                parameter.grad = gradient
            else:
                parameter.grad += gradient
        step()
        if self._frozen is not None:
            rows, values = self._frozen
            with torch.no_grad():
                for parameter, value in zip(self._parameters, values, strict=True):
                    parameter[rows] = value
        self.updates += 1
        return least

    def gradients(self, batch: Any, dims: Any) -> tuple[Tensor, list[Tensor | None]]:
        """Return the members' losses on a batch of `stack_seeds`, and their gradients."""
        return self.losses.gradients(self._tensors, batch, dims)

    def _freeze(self, losses: Tensor) -> None:
        """Mark the members whose loss is not finite; their parameters stay as they are now."""
        self.record.mark(losses.isfinite(), self.updates)
        rows = (self.record.diverged >= 0).nonzero()[:, 0].to(losses.device)
        if len(rows) > (len(self._frozen[0]) if self._frozen is not None else 0):
            self._frozen = rows, [p.detach()[rows].clone() for p in self._parameters]

    def add_to_set(self, name: str, batches: Sequence[Any]) -> None:
        """Add a batch to the losses on a whole set.

        Args:
            name: of the set.
            batches: the batch of each seed, or one for all.
        """
        losses = self.losses.on_set(self._tensors, batches)
        rows = batch_rows(batches[0])
        total, weight = self._sums.get(name, (torch.zeros_like(losses), 0))
        self._sums[name] = total + losses * (rows if self._mean else 1), weight + rows

    def losses_of_sets(self, keep: bool) -> dict[str, Tensor]:
        """Return the members' losses on the sets that were gone through, (M,) each.

        Args:
            keep: whether to keep them, and the parameters of members that are at their best.
        """
        sums, self._sums = self._sums, {}
        found = {
            name: total / weight if self._mean else total for name, (total, weight) in sums.items()
        }
        if keep and found:
            self.record.measure(self.epoch, found, self._named)
            for value in found.values():
                if not math.isfinite(float(value.sum())):
                    self._freeze(value)
        return found

    def keep_start(self, losses: Mapping[str, Tensor]) -> None:
        """Keep the losses on the sets as those before any update, unless there were some."""
        if not self.updates:
            self.record.start = {name: value.double().cpu() for name, value in losses.items()}

    def end_epoch(self) -> None:
        """Count the epoch under way."""
        self.ended = self.epoch + 1

    def result(self, finished: bool) -> dict[str, Any]:
        """Return what is known of the members, and their parameters, for `rows_of`."""
        last = {name: p.detach().cpu().clone() for name, p in self._named.items()}
        return {**self.as_plain(), "last": last, "finished": finished}

    def as_plain(self) -> dict[str, Any]:
        """Return all but the parameters as tensors and plain types, for a checkpoint."""
        return {
            "members": list(self.group.members),
            "parameters": list(self._named),
            "record": self.record.as_plain(),
            "epoch": self.epoch,
            "ended": self.ended,
            "updates": self.updates,
        }

    def go_on(self, plain: Mapping[str, Any], parameters: Mapping[str, Tensor]) -> None:
        """Go on from what `as_plain` returned.

        Args:
            plain: what it returned.
            parameters: those of then, by name.
        """
        device = self._parameters[0].device
        self.record = Record.of_plain(plain["record"], device)
        self.epoch, self.ended, self.updates = (plain[k] for k in ("epoch", "ended", "updates"))
        rows = (self.record.diverged >= 0).nonzero()[:, 0]
        if len(rows):
            self._frozen = (
                rows.to(device),
                [parameters[name][rows.cpu()].to(device) for name in self._named],
            )


def _buffers_of_seeds(module: DescentModule, starts: Sequence[DescentModule]) -> dict[str, Tensor]:
    """Give a module the buffers that seeds share, and return the others, (seeds, …), by name."""
    different = {}
    for name, buffer in module.named_buffers():
        values = [start.get_buffer(name) for start in starts]
        if all(torch.equal(values[0], other) for other in values[1:]):
            buffer.data = values[0].to(buffer)
        else:
            different[name] = torch.stack(values).to(buffer)
    return different


def least_finite(losses: Tensor) -> Tensor:
    """Return the least of the losses that are finite, infinity where none is."""
    return losses.nan_to_num(math.inf, math.inf, math.inf).amin()
