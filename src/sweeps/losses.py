"""The losses of all members of a sweep on a batch, and their gradients, as one computation."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.func import vmap

from ..errors import UsageError
from ..internals.torch import allocated_bytes, homes
from ..modules.descent_module import DescentModule

#: what the losses of members on a whole set may take at once; more members are done in parts
EVALUATION_BYTES = 2**28


class MemberLosses:
    r"""The losses :math:`L(\theta_m, B_{s(m)})` of members m on the batch B of their seed s.

    Shapes: each tensor of a member: (M, …), the M members seed by seed; result: (M,).

    Args:
        module: has the loss; what its parameters hold is not looked at.
        buffers: the names of those of which each member has its own; the others are shared.
    """

    def __init__(self, module: DescentModule, buffers: Sequence[str] = ()) -> None:
        self._module = module
        known = dict(module.named_buffers())
        tensors = [*module.parameters(), *(known[name] for name in buffers)]
        order = {id(tensor): index for index, tensor in enumerate(tensors)}
        self._homes = [  # one tensor may have several
            (home, name, order[id(tensor)])
            for home in homes(module)
            for name, tensor in home.items()
            if id(tensor) in order
        ]
        self._trained = [index for index, p in enumerate(module.parameters()) if p.requires_grad]
        self._cost: dict[Any, int] = {}

    def _one(self, tensors: Sequence[Tensor], batch: Any) -> Tensor:
        """Return the loss of one member: the module's own, with the tensors in their places.

        As `torch.func.functional_call` does, in a quarter of its time.
        """
        own = [home[name] for home, name, _ in self._homes]
        try:
            for home, name, index in self._homes:
                home[name] = tensors[index]
            return self._module.loss(batch)
        finally:
            for (home, name, _), tensor in zip(self._homes, own, strict=True):
                home[name] = tensor

    def __call__(self, tensors: Sequence[Tensor], batch: Any, dims: Any) -> Tensor:
        """Return the losses on a batch of `stack_seeds`.

        Args:
            tensors: the module's parameters in its order, then the buffers; a member in each row.
            batch: shared by all, or stacked by seed.
            dims: where the seeds are in the batch.

        Returns:
            The losses, (M,).

        Raises:
            UsageError: if the loss cannot be computed for all members at once.
        """
        try:
            if not _stacked(dims):
                return self._of_one_seed(tensors, batch)
            seeds = _seeds(batch, dims)
            by_seed = [each.reshape(seeds, -1, *each.shape[1:]) for each in tensors]
            return vmap(self._of_one_seed, in_dims=(0, dims))(by_seed, batch).flatten()
        except RuntimeError as error:
            if "vmap" not in str(error):
                raise
            raise self.refused(error) from error

    def refused(self, error: Exception) -> UsageError:
        """Return what to say of a loss that cannot be computed for all members at once."""
        reason = " ".join(str(error).split(".")[0].split())
        return UsageError(
            f"the loss of {type(self._module).__name__} cannot be computed for all members at "
            f"once: {reason}: write it without branches on values, or train one setting at a time"
        )

    def _of_one_seed(self, tensors: Sequence[Tensor], batch: Any) -> Tensor:
        losses: Tensor = vmap(lambda *each: self._one(each, batch))(*tensors)
        return losses

    def gradients(
        self, tensors: Sequence[Tensor], batch: Any, dims: Any
    ) -> tuple[Tensor, list[Tensor | None]]:
        """Return the losses, detached, and each member's gradient of its own loss.

        One backward pass from all losses: a row of the parameters is in one loss alone.

        Returns:
            The losses; and for each parameter, frozen ones too, its gradient or None.
        """
        losses = self(tensors, batch, dims)
        found: list[Tensor | None] = [None] * len(tensors)
        trained = [tensors[index] for index in self._trained]
        ones = torch.ones_like(losses)
        gradients = torch.autograd.grad(losses, trained, ones, allow_unused=True)
        for index, gradient in zip(self._trained, gradients, strict=True):
            found[index] = gradient
        return losses.detach(), found

    def on_set(self, tensors: Sequence[Tensor], batches: Sequence[Any]) -> Tensor:
        """Return the losses on a batch of a whole set, in bounded memory.

        Args:
            tensors: the module's parameters, then the buffers; a member in each row, seed by seed.
            batches: the batch of each seed.
        """
        batch, dims = stack_seeds(batches) if len(batches) == 1 else (batches[0], None)
        alike = all(_same(batches[0], other) for other in batches[1:])
        each = len(tensors[0]) // (1 if alike else len(batches))
        losses = []
        for number, batch in enumerate(batches[:1] if alike else batches):
            rows = slice(number * each, (number + 1) * each)
            at_once = self._at_once([p[rows][:1] for p in tensors], batch)
            for part in range(rows.start, rows.stop, at_once):
                stop = min(part + at_once, rows.stop)
                losses.append(self([p[part:stop] for p in tensors], batch, dims))
        return torch.cat(losses)

    def _at_once(self, one: Sequence[Tensor], batch: Any) -> int:
        key = _shape(batch)
        if key not in self._cost:
            self._cost[key] = allocated_bytes(lambda: self(one, batch, None))
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


def per_row(values: Tensor, parameter: Tensor) -> Tensor:
    """Give one value for each member, (M,), the dimensions of a parameter, (M, 1, …)."""
    return values.view(-1, *(1 for _ in parameter.shape[1:]))


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
