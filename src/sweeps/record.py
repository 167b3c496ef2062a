"""Record of each member of a group: its losses, its best epoch, whether it diverged."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..runs.record import WORSE
from .losses import per_row
from .members import Members

#: elements of a member's parameters that are written into tables
FEW_PARAMETERS = 8

#: the status of a member that ended above where it began


class Record:
    """The losses of a group's members at each validation, the best parameters, what diverged.

    Args:
        members: how many there are, M.

    Attributes:
        epochs: the epoch of each validation, counted from 0.
        diverged: the number of updates before the first loss that was not finite, -1 where all
            are; (M,), int64.
        best_epoch: the epoch with the least `val` loss, or `train` loss without a validation set;
            -1 before any; (M,), int64.
        best_loss: that loss; (M,), float64.
        best: the parameters of that epoch, by name; (M, …).
        start: the losses on each set before any update, (M,) float64; empty where unknown.
    """

    def __init__(self, members: int) -> None:
        self.epochs: list[int] = []
        self.diverged = torch.full((members,), -1)
        self.best_epoch = torch.full((members,), -1)
        self.best_loss = torch.full((members,), math.inf, dtype=torch.float64)
        self.best: dict[str, Tensor] = {}
        self.start: dict[str, Tensor] = {}
        self._sets: list[str] = []
        self._losses = torch.empty(0, 0, members, dtype=torch.float64)  # room for more epochs

    @property
    def curves(self) -> dict[str, Tensor]:
        """The losses on each set: (epochs, M), float64."""
        return {name: self._losses[: len(self.epochs), i] for i, name in enumerate(self._sets)}

    def mark(self, finite: Tensor, updates: int) -> None:
        """Mark the members that have just diverged.

        Args:
            finite: whether the loss of each member is finite, (M,).
            updates: how many updates were made before that loss.
        """
        self.diverged[~finite.cpu() & (self.diverged < 0)] = updates

    def measure(
        self, epoch: int, losses: Mapping[str, Tensor], parameters: Mapping[str, Tensor]
    ) -> None:
        """Add the losses of a validation, and keep the parameters of members at their best.

        Args:
            epoch: the epoch.
            losses: on each set, (M,).
            parameters: by name, (M, …).
        """
        self._append(epoch, losses)
        monitored = losses["val" if "val" in losses else "train"]
        better = monitored.double().cpu() < self.best_loss
        if not self.best:
            self.best = {name: p.detach().clone() for name, p in parameters.items()}
        if bool(better.any()):
            self.best_loss = torch.where(better, monitored.double().cpu(), self.best_loss)
            self.best_epoch[better] = epoch
            for name, p in parameters.items():
                chosen = per_row(better.to(p.device), p)
                self.best[name] = torch.where(chosen, p.detach(), self.best[name])

    def _append(self, epoch: int, losses: Mapping[str, Tensor]) -> None:
        row = torch.stack([losses[name].double().cpu() for name in losses])
        if not self._sets:
            self._sets = list(losses)
            self._losses = self._losses.new_empty(16, len(self._sets), row.shape[1])
        if len(self.epochs) == len(self._losses):
            self._losses = torch.cat([self._losses, torch.empty_like(self._losses)])
        self._losses[len(self.epochs)] = row
        self.epochs.append(epoch)

    def as_plain(self) -> dict[str, Any]:
        """Return all of it as tensors and plain types, for a checkpoint."""
        return {
            "epochs": list(self.epochs),
            "sets": list(self._sets),
            "losses": self._losses[: len(self.epochs)],
            "diverged": self.diverged,
            "best_epoch": self.best_epoch,
            "best_loss": self.best_loss,
            "best": self.best,
            "start": self.start,
        }

    @classmethod
    def of_plain(cls, plain: Mapping[str, Any], device: torch.device | str = "cpu") -> "Record":
        """Return what `as_plain` was made from, the parameters on a device."""
        record = cls(len(plain["diverged"]))
        record.epochs, record._sets = list(plain["epochs"]), list(plain["sets"])
        record._losses = plain["losses"].cpu()
        if not len(record._losses):
            record._sets = []
        for name in ("diverged", "best_epoch", "best_loss"):
            setattr(record, name, plain[name].cpu().clone())
        record.best = {name: p.to(device) for name, p in plain["best"].items()}
        record.start = {name: losses.cpu() for name, losses in plain["start"].items()}
        return record


def rows_of(members: Members, groups: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what is known of each member, one row each, in their order.

    Args:
        members: all members.
        groups: those begun so far: `members`, `record`, `last`, `updates` and `finished`.

    Returns:
        Rows of `member`, the swept values, `seed`, `status`, `diverged_at` (updates), `updates`,
        `best_epoch`, `best_loss`, `start_train`, `start_val`, `last_train` and `last_val`, and, if
        they are few, the last and the best parameters. What is not known is None. A status is one
        of these words:

        - finished: all updates were made, and the training loss is at most what it was at first;
        - ended worse: all updates were made, and the training loss is above that;
        - diverged: a loss was not finite, and the member was left as it was then;
        - stopped: the run ended before its time;
        - waiting: so it did before the turn of the member's group.
    """
    rows: dict[int, dict[str, Any]] = {}
    for group in groups:
        record = Record.of_plain(group["record"])
        known = {f"start_{name}": losses for name, losses in record.start.items()}
        known |= {f"last_{name}": curve[-1] for name, curve in record.curves.items() if len(curve)}
        kept = {f"last.{name}": p for name, p in group["last"].items()}
        kept |= {f"best.{name}": p for name, p in record.best.items()}
        few = sum(p[0].numel() for p in group["last"].values()) <= FEW_PARAMETERS
        for row, member in enumerate(group["members"]):
            diverged, best = int(record.diverged[row]), int(record.best_epoch[row])
            losses = {name: float(values[row]) for name, values in known.items()}
            rows[member] = {
                "status": _status(diverged, group["finished"], losses),
                "diverged_at": diverged if diverged >= 0 else None,
                "updates": diverged if diverged >= 0 else group["updates"],
                "best_epoch": best if best >= 0 else None,
                "best_loss": float(record.best_loss[row]) if best >= 0 else None,
                **losses,
                **(_flat(kept, row) if few else {}),
            }
    return [
        {"member": m, **members.values(m), **rows.get(m, {"status": "waiting"})}
        for m in range(len(members))
    ]


def _status(diverged: int, finished: bool, losses: Mapping[str, float]) -> str:
    if diverged >= 0:
        return "diverged"
    if not finished:
        return "stopped"
    name = "train" if "last_train" in losses else "val"
    worse = losses.get(f"last_{name}", -math.inf) > losses.get(f"start_{name}", math.inf)
    return WORSE if worse else "finished"


def _flat(parameters: Mapping[str, Tensor], row: int) -> dict[str, float]:
    """Return the elements of a member's parameters by name and index: `last.slope[0]`."""
    flat = {}
    for name, values in parameters.items():
        value = values[row]
        for index in torch.cartesian_prod(*map(torch.arange, value.shape)) if value.dim() else []:
            indices = index.reshape(-1).tolist()
            flat[f"{name}{indices}".replace(" ", "")] = float(value[tuple(indices)])
        if not value.dim():
            flat[name] = float(value)
    return flat


def ranked(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return rows by their best loss, the least first and those without one last."""
    return sorted(rows, key=lambda row: (row.get("best_loss") is None, row.get("best_loss") or 0.0))
