"""The squared error, of shapes that are equal."""

from torch import Tensor

from ..errors import UsageError


def squared_error(prediction: Tensor, target: Tensor) -> Tensor:
    r"""Return the squared error of each element, neither summed nor averaged.

    .. math:: e_i = (\hat y_i - y_i)^2

    Shapes: prediction, target and the result: one and the same.

    Args:
        prediction: :math:`\hat y`.
        target: y.

    Raises:
        UsageError: if the shapes differ. PyTorch would broadcast (n,) and (n, 1) to (n, n), every
            prediction less every target.

    >>> import torch
    >>> squared_error(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 2.0])).tolist()
    [4.0, 0.0]
    """
    if prediction.shape != target.shape:
        raise UsageError(
            f"the predictions have shape {tuple(prediction.shape)}, and the targets have shape "
            f"{tuple(target.shape)}: give targets of the shape of the predictions"
        )
    return (prediction - target) ** 2
