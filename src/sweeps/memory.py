"""Memory: how much a member of a sweep takes, and how much there is."""

import os
from collections.abc import Sequence

import torch
from torch import Tensor

#: what is taken for free where a system does not tell
_UNKNOWN = 2**30


def available(device: torch.device) -> int:
    """Return how many bytes are free on a device."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return _UNKNOWN


def members_in(memory: int, parameters: Sequence[Tensor], step_bytes: int) -> int:
    """Return how many members can be trained at once.

    Args:
        memory: bytes that may be used.
        parameters: those of one member.
        step_bytes: what its loss and gradients allocate.

    Returns:
        At least 1. A member keeps its parameters, gradients, two states of Adam, the best
        parameters, and a checkpoint with copies of all but the gradients: nine times its size.
    """
    kept = 9 * sum(p.numel() * p.element_size() for p in parameters)
    return max(1, memory // max(1, kept + step_bytes))
