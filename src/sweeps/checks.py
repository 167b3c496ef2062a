"""Modules that cannot be swept, refused before any update."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from ..errors import UsageError
from ..internals.lightning import TRANSFER_HOOKS
from ..modules.descent_module import DescentModule
from .data import seeded
from .descent import GroupDescent
from .losses import stack_seeds
from .members import LARGEST_SEED, Group

#: seeds whose first loss and gradient are held against those of a run of its own
SEEDS_TRIED = 4

#: what a run of its own calls, and a sweep, which has the loss alone, does not
_NOT_CALLED = (
    "training_step",
    "validation_step",
    "descend",
    "backward",
    "manual_backward",
    "configure_gradient_clipping",
    "configure_model",
    "configure_optimizers",
    "configure_callbacks",
    "lr_scheduler_step",
    "optimizer_step",
    "optimizer_zero_grad",
    *TRANSFER_HOOKS,
    *sorted(name for name in dir(DescentModule) if name.startswith("on_")),
)
_CALLED = {"on_load_checkpoint", "on_save_checkpoint", *vars(torch.nn.Module)}


def check_module(module: DescentModule) -> None:
    """Refuse a module that trains by more than its loss.

    Raises:
        UsageError: naming what a sweep would pass over.
    """
    kind = type(module)
    for name in _NOT_CALLED:
        changed = getattr(kind, name) is not getattr(DescentModule, name)
        if name not in _CALLED and (changed or module.__dict__.get(name) is not None):
            raise UsageError(
                f"{kind.__name__} has its own {name}, which a sweep does not call, as it "
                "descends the loss alone: leave it out, or train one setting at a time"
            )
    if module._make_scheduler is not None:
        raise UsageError("a sweep keeps hyperparameters constant: leave lr_scheduler out")
    if module.compiles:
        raise UsageError("a sweep is not compiled: leave compile out of its module")
    if not any(p.requires_grad for p in module.parameters()):
        raise UsageError(f"{kind.__name__} has no parameter that requires a gradient to train")


def check_precision(trainer: Trainer) -> None:
    """Refuse precisions in which the members at once are not those of runs of their own.

    Raises:
        UsageError: naming those in which they are.
    """
    if trainer.precision not in ("32-true", "64-true"):
        raise UsageError(
            f"trainer.precision = {trainer.precision}: a sweep runs in 32-true or 64-true"
        )


def check_members(
    draw: Callable[[int], DescentModule], seeds: Sequence[int], batches: Sequence[Any]
) -> None:
    """Hold the first loss and gradient of some members against those of a run of its own.

    Args:
        draw: makes the module with a seed.
        seeds: some seeds of the sweep.
        batches: the first batch of each, or one for all.

    Raises:
        UsageError: if a loss is random, changes a buffer, or is another for all members at once.
    """
    every = list(batches) * (len(seeds) // len(batches))
    own = [_own(draw(seed), batch, seed) for seed, batch in zip(seeds, every, strict=True)]
    starts = [draw(seed) for seed in seeds]
    module, group = draw(seeds[0]), Group(tuple(seeds), (0, 1), tuple(range(2 * len(seeds))))
    descent = GroupDescent(module, starts, group, module.reduction)
    try:
        with seeded(seeds[0]):
            losses, gradients = descent.gradients(*stack_seeds(batches))
    except UsageError:
        raise
    except Exception as error:  # the loss of one can be computed: what fails is that of many
        raise descent.losses.refused(error) from error
    for number, (loss, expected) in enumerate(own):
        rows = [None if each is None else each[2 * number] for each in gradients]
        if _apart([losses[2 * number]], [loss]) or _apart(rows[: len(expected)], expected):
            raise UsageError(
                f"the loss of {type(module).__name__} is another for all members at once than for "
                f"seed {seeds[number]} alone ({float(losses[2 * number]):.6g} for {float(loss):.6g}"
                ", or its gradient): it depends on more than parameters, buffers and the batch: "
                "train one setting at a time"
            )


def _own(module: DescentModule, batch: Any, seed: int) -> tuple[Tensor, list[Tensor | None]]:
    """Return the loss and the gradients of a run of its own, its loss the same at each call."""
    kind, before = type(module).__name__, {n: b.clone() for n, b in module.named_buffers()}
    with seeded(seed):
        loss = module.loss(batch)
    for name, buffer in module.named_buffers():
        if not torch.equal(buffer.nan_to_num(), before[name].nan_to_num()):
            raise UsageError(
                f"{kind} changes its buffer {name} at every call, as batch normalization does, and "
                "members share their module: train one setting at a time"
            )
    parameters = list(module.parameters())
    trained = [p for p in parameters if p.requires_grad]
    gradients = iter(torch.autograd.grad(loss, trained, allow_unused=True))
    with seeded((seed + 1) % LARGEST_SEED):
        again = module.loss(batch)
    if _apart([again], [loss]):
        raise UsageError(
            f"the loss of {kind} is another at each call on the same batch: it draws at random, as "
            "dropout does, or keeps count: train one setting at a time"
        )
    return loss.detach(), [next(gradients) if p.requires_grad else None for p in parameters]


def _apart(found: Sequence[Tensor | None], expected: Sequence[Tensor | None]) -> bool:
    """Return whether tensors differ by more than rounding, as measured by the largest of them."""
    pairs = list(zip(found, expected, strict=True))
    if any((a is None) != (b is None) for a, b in pairs):
        return True
    known = [(a.detach(), b.detach()) for a, b in pairs if a is not None and b is not None]
    scale = max((float(b.abs().max()) for _, b in known if b.numel()), default=0.0)
    return any(
        not torch.allclose(
            a, b, rtol=0.0, atol=torch.finfo(b.dtype).eps ** 0.5 * scale, equal_nan=True
        )
        for a, b in known
    )
