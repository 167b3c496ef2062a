"""How much memory a member of a sweep takes, and how much there is."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

#: what is taken for free where a system does not tell
_UNKNOWN = 2**30


def bytes_of(computation: Callable[[], Any]) -> int:
    """Return how many bytes a computation allocates, freed ones too: the most that it may hold."""
    allocations = _Allocations()
    with allocations, torch.inference_mode(False), torch.enable_grad():
        computation()
    return allocations.bytes


class _Allocations(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch has no types here
    """Count the bytes of what is made, views left out."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes: int = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        made = function(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, (tuple, list)) else [made]:
            if isinstance(tensor, Tensor) and not tensor._is_view():
                self.bytes += tensor.untyped_storage().nbytes()
        return made


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
