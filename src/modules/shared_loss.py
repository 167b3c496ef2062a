"""The loss of a batch of which several processes have a part each."""

from typing import Any, Literal

import torch
from torch import Tensor

from ..datamodules.processes import (
    batch_rows,
    mean_over_processes,
    rank_and_world,
    sum_over_processes,
)


class _Weighted(torch.autograd.Function):
    """The loss of the whole batch as the value, the part's own as what is differentiated."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, whole: Tensor, weight: float) -> Tensor:
        ctx.weight = weight
        return whole.to(own.dtype, copy=True)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return gradients[0] * ctx.weight, None, None


def of_all_processes(loss: Tensor, batch: Any, reduction: Literal["mean", "sum"]) -> Tensor:
    r"""Return the loss of the whole batch, from that of this process's part of it.

    .. math:: L = \frac{1}{n} \sum_r n_r L_r, \qquad
        \nabla L = \frac{1}{W} \sum_r w_r \nabla L_r, \qquad w_r = \frac{n_r W}{n}

    for a mean over rows, and :math:`L = \sum_r L_r`, :math:`w_r = W` for a sum. The value is L, the
    same in all processes; what is differentiated is :math:`w_r L_r`, so that the mean over the
    processes, which Lightning's strategies take of the gradients, is the gradient of L, whichever
    way the rows are divided. To be called in all processes; a part without rows adds nothing.

    Args:
        loss: of this part, :math:`L_r`, a tensor without dimensions.
        batch: this part, of :math:`n_r` rows.
        reduction: whether a loss is the mean or the sum over its rows.

    Returns:
        L, a tensor without dimensions.
    """
    world = rank_and_world()[1]
    if reduction == "sum":
        (whole,) = sum_over_processes([loss.detach()], loss.device)
        return _weighted(loss, whole, float(world))
    whole, count = mean_over_processes(loss.detach(), batch)
    return _weighted(loss, whole, batch_rows(batch) * world / float(count))


def _weighted(loss: Tensor, whole: Tensor, weight: float) -> Tensor:
    result: Tensor = _Weighted.apply(loss, whole, weight)  # type: ignore[no-untyped-call]  # torch's own
    return result
