"""Base class of objectives: a value, its derivatives in closed form, and what follows from them."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..errors import UsageError


def diagonal(entries: Tensor) -> Tensor:
    r"""Return the second derivative of a sum of functions of one element each.

    .. math:: H_{ij} = h_i \delta_{ij}

    Shapes: entries: any shape s; result: s + s, zero off the diagonal.

    Example:
        >>> diagonal(torch.tensor([1.0, 2.0]))
        tensor([[1., 0.],
                [0., 2.]])
    """
    return torch.diag_embed(entries.reshape(-1)).reshape(entries.shape + entries.shape)


def _fits(wanted: tuple[int | str, ...], given: tuple[int, ...]) -> bool:
    """Whether a shape is the wanted one; a letter is any length >= 1, but the same throughout."""
    lengths: dict[int | str, int] = {}
    return len(wanted) == len(given) and all(
        length == name if isinstance(name, int) else length == lengths.setdefault(name, length) > 0
        for name, length in zip(wanted, given, strict=True)
    )


@dataclass(frozen=True)
class Objective(ABC):
    r"""A function of one tensor :math:`\theta`, with its derivatives in closed form beside it.

    An objective says itself, with no help from autograd, what its derivatives are; calling it is
    differentiable by autograd, so each can be held against the other (see `check.py`). It takes
    one point: a table over many is made by ``torch.func.vmap(objective)(points)``, for the
    derivatives likewise. For that reason no method branches on a number or takes one out of a
    tensor.

    A new objective is a frozen dataclass with `value`, `gradient` and `hessian` (a vector-valued
    one has `jacobian` in place of `gradient`), `shape` and `first_guess`.

    Shapes: theta: `shape`, where a letter stands for any one length >= 1. Value: () unless the
    class says otherwise. Gradient: that of theta.

    Raises:
        UsageError: if a field is not finite, or theta has another shape than `shape`.
    """

    shape: ClassVar[tuple[int | str, ...]] = ()
    first_guess: ClassVar[Any] = 0.0
    kinks: ClassVar[tuple[float, ...]] = ()
    """The values of theta at which the first derivative jumps."""

    def __post_init__(self) -> None:
        for field in fields(self):
            if not field.init:
                continue
            value = getattr(self, field.name)
            numbers = value if isinstance(value, (tuple, list)) else (value,)
            if any(isinstance(number, float) and not math.isfinite(number) for number in numbers):
                raise UsageError(f"{self.name}: {field.name} must be finite, not {value}.")

    def __call__(self, theta: Tensor) -> Tensor:
        """Return the value at theta, after a look at its shape."""
        if not _fits(self.shape, tuple(theta.shape)):
            guess = str(self.start.tolist()).replace(" ", "")
            raise UsageError(
                f"{self.name} takes a theta of shape ({', '.join(map(str, self.shape))}), "
                f"not {tuple(theta.shape)}: give numbers such as {guess} (on the command line "
                f"--model.start '{guess}'); for many points at once use torch.func.vmap."
            )
        return self.value(theta)

    @abstractmethod
    def value(self, theta: Tensor) -> Tensor:
        """Return the value at theta, which is taken to have the right shape."""

    def gradient(self, theta: Tensor) -> Tensor:
        """Return the gradient; shape of theta.

        Raises:
            UsageError: if the objective is vector-valued.
        """
        raise UsageError(f"{self.name} is vector-valued and has no gradient: use its jacobian.")

    def jacobian(self, theta: Tensor) -> Tensor:
        """Return the first derivative; shape of the value + shape of theta."""
        return self.gradient(theta)

    @abstractmethod
    def hessian(self, theta: Tensor) -> Tensor:
        """Return the second derivative; shape of the value + shape of theta, twice."""

    @property
    def name(self) -> str:
        """The name of the class, for messages and tables."""
        return type(self).__name__

    @property
    def start(self) -> Tensor:
        """A sensible start, as float64: cast it to the dtype that you train in."""
        return torch.tensor(self.first_guess, dtype=torch.float64)

    @property
    def minimiser(self) -> Tensor | None:
        """The global minimiser (float64, broadcastable to theta), or None if there is none."""
        return None

    @property
    def largest_curvature(self) -> float | None:
        r"""The largest eigenvalue of the Hessian, where that is the same everywhere, or None."""
        return None

    @property
    def stable_learning_rate(self) -> float | None:
        r"""The bound below which gradient descent converges, or None where it is not known.

        .. math:: 0 < \gamma < 2 / \lambda_{\max}

        Known where the Hessian is constant and there is a minimiser: along a direction of
        curvature :math:`\lambda` the error is multiplied by :math:`1 - \gamma\lambda` at each step.
        """
        if self.largest_curvature is None or self.minimiser is None:
            return None
        return 2.0 / self.largest_curvature
