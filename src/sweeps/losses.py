"""The losses of all members of a sweep on a batch, and their gradients, as one computation."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.func import vmap
from torch.nn import Parameter

from ..errors import UsageError
from ..modules.descent_module import DescentModule
from .memory import bytes_of

#: what the losses of members on a whole set may take at once; more members are done in parts
EVALUATION_BYTES = 2**28


class MemberLosses:
    r"""The losses :math:`L(\theta_m, B_{s(m)})` of members m on the batch B of their seed s.

    Shapes: each parameter: (M, …), the M members seed by seed; result: (M,).

    Args:
        module: has the loss; what its parameters hold is not looked at.
    """

    def __init__(self, module: DescentModule) -> None:
        self._module = module
        order = {id(parameter): index for index, parameter in enumerate(module.parameters())}
        self._places = [  # one parameter may have several
            (part._parameters, name, order[id(parameter)])
            for part in module.modules()
            for name, parameter in part._parameters.items()
            if parameter is not None
        ]
        self._cost: dict[Any, int] = {}

    def _one(self, parameters: Sequence[Tensor], batch: Any) -> Tensor:
        """Return the loss of one member: the module's own, with the parameters in their places.

        As `torch.func.functional_call` does, in a quarter of its time.
        """
        own = [home[name] for home, name, _ in self._places]
        try:
            for home, name, index in self._places:
                home[name] = cast(Parameter, parameters[index])
            return self._module.loss(batch)
        finally:
            for (home, name, _), parameter in zip(self._places, own, strict=True):
                home[name] = parameter

    def __call__(self, parameters: Sequence[Tensor], batch: Any, dims: Any) -> Tensor:
        """Return the losses on a batch of `stack_seeds`.

        Args:
            parameters: those of the module, in its order, a member in each row.
            batch: shared by all, or stacked by seed.
            dims: where the seeds are in the batch.

        Returns:
            The losses, (M,).

        Raises:
            UsageError: if the loss cannot be computed for all members at once.
        """
        try:
            if not _stacked(dims):
                return self._of_one_seed(parameters, batch)
            seeds = _seeds(batch, dims)
            by_seed = [p.view(seeds, -1, *p.shape[1:]) for p in parameters]
            return vmap(self._of_one_seed, in_dims=(0, dims))(by_seed, batch).flatten()
        except RuntimeError as error:
            if "vmap" not in str(error):
                raise
            reason = " ".join(str(error).split(".")[0].split())
            kind = type(self._module).__name__
            raise UsageError(
                f"the loss of {kind} cannot be computed for all members at once: {reason}: "
                "write it without branches on values, or train one setting at a time"
            ) from error

    def _of_one_seed(self, parameters: Sequence[Tensor], batch: Any) -> Tensor:
        losses: Tensor = vmap(lambda *each: self._one(each, batch))(*parameters)
        return losses

    def gradients(
        self, parameters: Sequence[Tensor], batch: Any, dims: Any
    ) -> tuple[Tensor, tuple[Tensor | None, ...]]:
        """Return the losses, detached, and each member's gradient of its own loss.

        One backward pass from all losses: a row of the parameters is in one loss alone.
        """
        losses = self(parameters, batch, dims)
        found = torch.autograd.grad(losses, parameters, torch.ones_like(losses), allow_unused=True)
        return losses.detach(), found

    def on_set(self, parameters: Sequence[Tensor], batches: Sequence[Any]) -> Tensor:
        """Return the losses on a batch of a whole set, in bounded memory.

        Args:
            parameters: those of the module, a member in each row, seed by seed.
            batches: the batch of each seed.
        """
        batch, dims = stack_seeds(batches) if len(batches) == 1 else (batches[0], None)
        alike = all(_same(batches[0], other) for other in batches[1:])
        each = len(parameters[0]) // (1 if alike else len(batches))
        losses = []
        for number, batch in enumerate(batches[:1] if alike else batches):
            rows = slice(number * each, (number + 1) * each)
            at_once = self._at_once([p[rows][:1] for p in parameters], batch)
            for part in range(rows.start, rows.stop, at_once):
                stop = min(part + at_once, rows.stop)
                losses.append(self([p[part:stop] for p in parameters], batch, dims))
        return torch.cat(losses)

    def _at_once(self, one: Sequence[Tensor], batch: Any) -> int:
        key = _shape(batch)
        if key not in self._cost:
            self._cost[key] = bytes_of(lambda: self(one, batch, None))
        return max(1, EVALUATION_BYTES // max(1, self._cost[key]))


def stack_seeds(batches: Sequence[Any]) -> tuple[Any, Any]:
    """Stack the batches of seeds, where they differ.

    Args:
        batches: one for each seed, alike in structure.

    Returns:
        The batch; and, in its structure, 0 for a tensor that is stacked and None for the rest.

    Example:
        >>> x = torch.ones(2)
        >>> stack_seeds([(x, torch.zeros(1)), (x, torch.ones(1))])[1]
        (None, 0)
    """
    first = batches[0]
    if isinstance(first, (tuple, list)):
        pairs = [stack_seeds(parts) for parts in zip(*batches, strict=True)]
        if not any(_stacked(dims) for _, dims in pairs):
            return first, None
        return tuple(part for part, _ in pairs), tuple(dims for _, dims in pairs)
    if not isinstance(first, Tensor) or all(_same(first, other) for other in batches[1:]):
        return first, None
    return torch.stack(list(batches)), 0


def spread(values: Tensor, like: Tensor) -> Tensor:
    """Give one value per member, (M,), the dimensions of a parameter, (M, 1, …)."""
    return values.view(-1, *(1 for _ in like.shape[1:]))


def _stacked(dims: Any) -> bool:
    return any(map(_stacked, dims)) if isinstance(dims, (tuple, list)) else dims is not None


def _seeds(batch: Any, dims: Any) -> int:
    """Return how many seeds a stacked batch has."""
    if isinstance(dims, tuple):
        pairs = zip(batch, dims, strict=True)
        return next(_seeds(part, each) for part, each in pairs if _stacked(each))
    return len(batch)


def _same(one: Any, other: Any) -> bool:
    """Return whether two batches are the same memory, or no tensors."""
    if isinstance(one, (tuple, list)):
        return all(map(_same, one, other))
    if not isinstance(one, Tensor):
        return True
    alike = one.shape == other.shape and one.stride() == other.stride()
    return alike and one.data_ptr() == int(other.data_ptr())


def _shape(batch: Any) -> Any:
    if isinstance(batch, (tuple, list)):
        return tuple(map(_shape, batch))
    return tuple(batch.shape) if isinstance(batch, Tensor) else None
