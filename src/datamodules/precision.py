"""Tensors in the type that a trainer computes in, or refused where that type cannot hold them."""

import torch
from torch import Tensor

from ..errors import UsageError

#: values that are looked at together, a column of them sorted
AT_ONCE = 2**20


def cast(name: str, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Cast to a floating type, without a copy where none is needed.

    Args:
        name: what the values are, in the plural, for messages.
        tensor: shape (rows,) or (rows, columns).
        dtype: float32 or float64.

    Returns:
        The tensor in the type.

    Raises:
        UsageError: a value would become infinite, whole numbers would become equal, or less than
            half of the different values of a column would remain different.
    """
    if tensor.dtype == dtype or not tensor.numel() or _holds_all(tensor.dtype, dtype):
        return tensor.to(dtype)
    least, most = (float(end) for end in tensor.aminmax())
    if tensor.is_floating_point() and max(-least, most) > torch.finfo(dtype).max:
        raise UsageError(
            f"{name} hold values too large for float32: use --trainer.precision 64-true"
        )
    exact = max(-least, most) * torch.finfo(dtype).eps <= 2
    if not (exact and not tensor.is_floating_point()):
        rows = max(AT_ONCE // max(tensor[0].numel(), 1), 1)
        for part in torch.split(tensor, rows):
            _refuse_equal(name, part.reshape(len(part), -1), dtype)
    return tensor.to(dtype)


def _holds_all(own: torch.dtype, dtype: torch.dtype) -> bool:
    """Return whether a type holds all values of another exactly."""
    small = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.float16, torch.bfloat16)
    return own in small or (own == torch.float32 and dtype == torch.float64)


def _refuse_equal(name: str, tensor: Tensor, dtype: torch.dtype) -> None:
    for number, column in enumerate(tensor.T):
        before = column.unique()
        after = len(before.to(dtype).unique())
        whole = not column.is_floating_point() or bool((before == before.round()).all())
        if after < len(before) and (whole or after < len(before) / 2):
            advice = (
                "subtract a constant from them"
                if dtype == torch.float64
                else "use --trainer.precision 64-true, or subtract a constant from them"
            )
            where = f"column {number} of {name}" if tensor.shape[1] > 1 else name
            raise UsageError(
                f"{where}: of {len(before)} different values, such as {before[-1].item()}, "
                f"{after} remain different in {str(dtype).removeprefix('torch.')}: {advice}"
            )
