"""An optimizer that goes on from a checkpoint: configured values win over restored ones."""

import warnings
from copy import deepcopy
from typing import Any, cast

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from ..errors import UsageError

Scheduler = LRScheduler | ReduceLROnPlateau


def configured(optimizer: Optimizer, scheduler: Scheduler | None) -> dict[str, Any]:
    """Return what a fresh optimizer and its scheduler were made with, for a checkpoint to hold.

    Args:
        optimizer: before its first step.
        scheduler: before its first step; None if there is none.

    Returns:
        The optimizer's class, hyperparameters and groups, the scheduler's class and state.

    Raises:
        UsageError: if the scheduler has a period below 1, which torch takes until it is stepped.
    """
    for name in ("step_size", "T_max"):
        period = getattr(scheduler, name, 1)
        if not period > 0:
            raise UsageError(
                f"model.lr_scheduler: {type(scheduler).__name__}: {name} = {period}: give 1 or more"
            )
    return deepcopy(
        {
            "optimizer": type(optimizer).__name__,
            "hyperparameters": optimizer.defaults,
            "groups": [_without_parameters(group) for group in optimizer.param_groups],
            "scheduler": "none" if scheduler is None else type(scheduler).__name__,
            "schedule": {} if scheduler is None else scheduler.state_dict(),
        }
    )


def prefer_configured(
    checkpoint: dict[str, Any], optimizer: Optimizer, scheduler: Scheduler | None = None
) -> list[str]:
    r"""Put what is configured otherwise than it was in the place of what was saved.

    What is configured as before goes on as it was saved. A schedule that is configured otherwise,
    its learning rate included, goes on at its own epoch of now: the fresh scheduler is stepped as
    often as the saved one was. `ReduceLROnPlateau` keeps what it has seen, and its reductions:

    .. math:: \gamma_t \leftarrow \gamma_t \, \gamma_0^{\text{configured}} / \gamma_0^{\text{saved}}

    A scheduler of another class, or where there was none, begins when the run goes on.

    Args:
        checkpoint: a checkpoint with the state of one optimizer and what `configured` returned when
            its run began, changed in place.
        optimizer: a fresh one, as configured; it is used up.
        scheduler: its scheduler, if one is configured; it is used up.

    Returns:
        One sentence for each value that changes.

    Raises:
        UsageError: if the checkpoint is of an optimizer of another class or with other groups.
    """
    before, now = checkpoint["configured"], configured(optimizer, scheduler)
    _refuse_another(before, now)
    if before == now:
        return []
    same_class = before["scheduler"] == now["scheduler"]
    if same_class and (scheduler is None or isinstance(scheduler, ReduceLROnPlateau)):
        _take_changed(checkpoint, before, now)
    else:
        _take_all(checkpoint, optimizer, scheduler, replayed=same_class)
    return _notes(before, now)


def _take_all(
    checkpoint: dict[str, Any], optimizer: Optimizer, scheduler: Scheduler | None, replayed: bool
) -> None:
    """Take the values of a fresh schedule, at the epoch of the saved one if `replayed`."""
    if replayed:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # torch misses the optimizer's steps
            for _ in range(_steps(checkpoint["lr_schedulers"][0])):
                cast(LRScheduler, scheduler).step()
    saved = checkpoint["optimizer_states"][0]["param_groups"]
    for old, new in zip(saved, optimizer.param_groups, strict=True):
        old.update(_without_parameters(new))
    checkpoint["lr_schedulers"] = [] if scheduler is None else [scheduler.state_dict()]


def _steps(state: dict[str, Any]) -> int:
    """Return how often a saved scheduler was stepped."""
    return int(state["last_epoch"] if "last_epoch" in state else _steps(state["_schedulers"][0]))


def _take_changed(checkpoint: dict[str, Any], before: dict[str, Any], now: dict[str, Any]) -> None:
    """Take what is configured otherwise, and keep by how much a plateau has reduced the rate."""
    groups = checkpoint["optimizer_states"][0]["param_groups"]
    for group, old, new in zip(groups, before["groups"], now["groups"], strict=True):
        reduction = group["lr"] / old["lr"] if group["lr"] != old["lr"] else 1
        group.update({name: new[name] for name in new if new[name] != old.get(name)})
        group["lr"] = new["lr"] * reduction
    for state in checkpoint["lr_schedulers"]:
        old, new = before["schedule"], now["schedule"]
        state.update({name: new[name] for name in new if new[name] != old.get(name)})
        state["_last_lr"] = [group["lr"] for group in groups]


def _refuse_another(before: dict[str, Any], now: dict[str, Any]) -> None:
    one, other = ((each["optimizer"], *each["hyperparameters"]) for each in (before, now))
    if one != other:
        raise UsageError(
            f"the checkpoint is of an optimizer {_call(one)}, and {_call(other)} is configured: "
            "configure the optimizer that the run began with, or begin a new run"
        )
    if len(before["groups"]) != len(now["groups"]):
        raise UsageError(
            f"the checkpoint has {len(before['groups'])} groups of parameters, and the configured "
            f"optimizer has {len(now['groups'])}: configure as many, or begin a new run"
        )


def _call(words: tuple[str, ...]) -> str:
    return f"{words[0]}({', '.join(words[1:])})"


def _notes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Say what is configured otherwise, each value once."""
    notes = []
    for name in now["hyperparameters"]:
        old, new = ([each["hyperparameters"], *each["groups"]] for each in (before, now))
        pairs = [(o[name], n[name]) for o, n in zip(old, new, strict=True) if o[name] != n[name]]
        notes += [changed(name, *pair) for pair in pairs[:1]]
    if before["scheduler"] != now["scheduler"]:
        return [*notes, changed("lr_scheduler", before["scheduler"], now["scheduler"])]
    was, is_now = before["schedule"], now["schedule"]
    names = [name for name in is_now if not name.startswith("_") and name != "base_lrs"]
    settings = [name for name in names if was[name] != is_now[name]]
    notes += [changed(f"lr_scheduler.{n}", was[n], is_now[n]) for n in settings]
    return notes or ["lr_scheduler: it is configured otherwise than in the checkpoint, and so used"]


def changed(name: str, before: Any, now: Any) -> str:
    """Say that a value is configured otherwise than in the checkpoint of a run that goes on."""
    return f"{name}: {before} in the checkpoint, {now} as configured: {now} is used"


def _without_parameters(group: dict[str, Any]) -> dict[str, Any]:
    return {n: v for n, v in group.items() if n not in ("params", "param_names")}
