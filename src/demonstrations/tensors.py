"""Tensors on their own: where they live, what their numbers are, and what they do not keep."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..errors import UsageError
from .demonstration import Demonstration

ACCELERATORS = ("cuda", "mps", "xpu")
NOT_PRESENT = "not present"


def devices_present() -> dict[str, bool]:
    """Return whether each kind of device that torch knows of is here.

    Example:
        >>> devices_present()["cpu"]
        True
    """
    present = {"cpu": True}
    for kind in ACCELERATORS:
        present[kind] = bool(getattr(torch, kind).is_available())
    return present


@dataclass(frozen=True)
class Devices(Demonstration):
    """The version of torch, the devices that are here, and a sum of two tensors on each of them.

    Args:
        a: the first tensor.
        b: the second one.

    Raises:
        UsageError: if the two differ in length.

    Reference:
        Handout entry: TP-1.1.
    """

    a: tuple[float, ...] = (11.0, 11.0)
    b: tuple[float, ...] = (11.0, 11.0)

    def __post_init__(self) -> None:
        if len(self.a) != len(self.b):
            raise UsageError(f"a has {len(self.a)} numbers and b has {len(self.b)}: give as many")

    def facts(self) -> dict[str, Any]:
        """Return the version, and for each device the sum or that it is not present."""
        sums = {
            kind: self._sum(torch.device(kind)) if present else NOT_PRESENT
            for kind, present in devices_present().items()
        }
        return {"torch": torch.__version__, "sums": sums, "gpus": _gpus()}

    def _sum(self, device: torch.device) -> list[float]:
        first, second = (torch.tensor(values, device=device) for values in (self.a, self.b))
        total: list[float] = (first + second).tolist()
        return total


def _gpus() -> list[str]:
    return [
        f"{torch.cuda.get_device_name(index)}, compute capability "
        f"{'.'.join(map(str, torch.cuda.get_device_capability(index)))}"
        for index in range(torch.cuda.device_count())
    ]


@dataclass(frozen=True)
class NumpyConversion(Demonstration):
    """Points at equal distances by NumPy and by torch, their types, and the ways between both.

    Args:
        count: how many points.
        start: the first.
        stop: the last.

    Reference:
        Handout entry: DI-1.
    """

    count: int = 10
    start: float = -5.0
    stop: float = 5.0

    def facts(self) -> dict[str, Any]:
        """Return the points and the types on both sides of each conversion."""
        array = np.linspace(self.start, self.stop, self.count)
        tensor = torch.linspace(self.start, self.stop, self.count)
        taken_over = torch.from_numpy(array)
        given_back = tensor.numpy()
        return {
            "numpy": array.tolist(),
            "torch": tensor.tolist(),
            "largest_difference": float(np.abs(array - given_back).max()),
            "types": {
                "np.linspace": str(array.dtype),
                "torch.linspace": _name(tensor.dtype),
                "torch.from_numpy": _name(taken_over.dtype),
                "torch.from_numpy(…).float()": _name(taken_over.float().dtype),
                "torch.linspace(…).numpy()": str(given_back.dtype),
            },
        }


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


@dataclass(frozen=True)
class NoGradientKept(Demonstration):
    """A parabola of a tensor that requires no gradient: there is a value, and nothing else.

    Args:
        x: where.

    Reference:
        Handout entry: DI-2.
    """

    x: float = 5.0

    def facts(self) -> dict[str, Any]:
        """Return the value, and what is kept of the way to it."""
        x = torch.tensor(self.x)
        y = 3 * x**2 + x
        return {
            "y": y.item(),
            "requires_grad": y.requires_grad,
            "grad_fn": None if y.grad_fn is None else y.grad_fn.name(),
            "grad": None if x.grad is None else x.grad.item(),
        }
