"""Sweeps and single runs with the same settings, with their parameters after every update."""

import torch
from lightning.pytorch import Callback, Trainer, seed_everything

from descentlab.errors import RunError
from descentlab.sweeps import Sweep


class Trajectory(Callback):
    """The parameters after every update."""

    def __init__(self):
        self.seen = []

    def on_train_batch_end(self, trainer, pl_module, *args):
        self.seen.append([p.detach().clone() for p in pl_module.parameters()])


class StopAt(Callback):
    """Break a run off in the middle of an epoch."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.current_epoch == self.epoch and batch_idx == 1:
            raise RunError("broken off on purpose")


def fit(module, data, seed=42, epochs=3, precision="64-true", callbacks=(), **flags):
    """Fit as the command does with `--seed_everything SEED`; return what happened."""
    seed_everything(seed, verbose=False)
    if callable(module) and not isinstance(module, torch.nn.Module):
        module = module()
    trajectory = Trajectory()
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        precision=precision,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[trajectory, *callbacks],
        **flags,
    )
    trainer.fit(module, datamodule=data)
    return trajectory.seen, module


def sweep(make, data, rule, grid, seeds=None, **flags):
    """Fit all members at once; `rule` makes an optimizer from parameters and hyperparameters."""
    settings = {name: flags.pop(name) for name in ("members_at_once",) if name in flags}
    return fit(lambda: Sweep(make, rule, grid, seeds, **settings), data, **flags)


def largest_difference(members, member, single):
    """Return the largest relative difference of a member's trajectory from that of its own run."""
    assert len(members) == len(single)
    worst = 0.0
    for stacked, own in zip(members, single, strict=True):
        for theirs, mine in zip(stacked, own, strict=True):
            scale = mine.abs().max().clamp_min(torch.finfo(mine.dtype).tiny)
            worst = max(worst, float((theirs[member] - mine).abs().max() / scale))
    return worst
