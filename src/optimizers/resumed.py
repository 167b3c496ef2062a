"""What is configured wins over what a checkpoint holds, for an optimizer that goes on."""

from collections.abc import Iterator
from typing import Any

from torch.optim import Optimizer

from ..errors import UsageError

#: what a parameter group holds besides the optimizer's hyperparameters
_KEPT = {"params", "param_names", "initial_lr", "max_lr", "min_lr", "max_momentum", "base_momentum"}
#: what these schedulers change at every step: the saved value is the one to go on with
_CYCLED = {"momentum", "betas"}


def prefer_configured(checkpoint: dict[str, Any], optimizer: Optimizer) -> list[str]:
    r"""Put the configured hyperparameters of an optimizer in the place of the saved ones.

    A learning rate that a scheduler has moved stays where it is, unless the rate that it started
    from is configured otherwise; then it is moved in proportion, and the scheduler with it:

    .. math:: \gamma_t \leftarrow \gamma_t \, \gamma_0^{\text{configured}} / \gamma_0^{\text{saved}}

    Args:
        checkpoint: a checkpoint with the state of one optimizer, changed in place.
        optimizer: a fresh one, as configured; with a scheduler, if one is configured.

    Returns:
        One sentence for each hyperparameter that changes.

    Raises:
        UsageError: if the checkpoint is of an optimizer with other hyperparameters or groups.
    """
    saved = checkpoint["optimizer_states"][0]["param_groups"]
    fresh = optimizer.param_groups
    _refuse_another(saved, fresh, optimizer)
    notes: dict[str, None] = {}  # each once, in order
    for number, (old, new) in enumerate(zip(saved, fresh, strict=True)):
        scheduled = "initial_lr" in old and "initial_lr" in new
        start = "initial_lr" if scheduled else "lr"
        before, now = old[start], new[start]
        if before != now:
            notes[_note("lr", before, now)] = None
            if scheduled:
                _scale(checkpoint, number, now)
            else:
                old["lr"] = now
        cycled = _CYCLED if "max_momentum" in old else set()
        for name in sorted(optimizer.defaults.keys() - {"lr"} - cycled):
            if old[name] != new[name]:
                notes[_note(name, old[name], new[name])] = None
                old[name] = new[name]
        for name in new.keys() - old.keys():  # a scheduler's, where there was none before
            old[name] = new[name]
    return list(notes)


def _refuse_another(
    saved: list[dict[str, Any]], fresh: list[dict[str, Any]], optimizer: Optimizer
) -> None:
    names, wanted = set(saved[0]) - _KEPT, set(optimizer.defaults)
    if names != wanted:
        raise UsageError(
            f"the checkpoint is of an optimizer with {', '.join(sorted(names))}, and "
            f"{type(optimizer).__name__} has {', '.join(sorted(wanted))}: configure the optimizer "
            "that the run began with, or begin a new run"
        )
    if len(saved) != len(fresh):
        raise UsageError(
            f"the checkpoint has {len(saved)} groups of parameters, and the configured optimizer "
            f"has {len(fresh)}: configure as many, or begin a new run"
        )


def _scale(checkpoint: dict[str, Any], number: int, start: float) -> None:
    """Scale all rates of a scheduled group, so that the rate it started from is another."""
    group = checkpoint["optimizer_states"][0]["param_groups"][number]
    factor = start / group["initial_lr"]
    group["initial_lr"] = start
    for name in group.keys() & {"lr", "max_lr", "min_lr"}:
        group[name] *= factor
    for state in _scheduler_states(checkpoint["lr_schedulers"]):
        if "base_lrs" in state:
            state["base_lrs"][number] = start
        if "_last_lr" in state:
            state["_last_lr"][number] *= factor


def _scheduler_states(states: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the states of schedulers, and of those inside them."""
    for state in states:
        yield state
        yield from _scheduler_states(state.get("_schedulers", []))


def _note(name: str, before: Any, now: Any) -> str:
    return f"{name}: {before} in the checkpoint, {now} as configured: {now} is used"
