"""The largest curvature of the loss during a run, and the learning rates that it allows."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils import parameters_to_vector

from ..optimizers.stability import preconditioned_rate, preconditioner, predicted_rate
from ..runs.files import write_whole
from ..runs.folder import log_series, run_to_write
from .fresh_metrics import is_new
from .instrument import UpdateInstrument, whole_number

_EXACT_UP_TO = 32  # parameters: beyond, Lanczos takes fewer products than there are rows
_PRECISION = 1e-5  # of an eigenvalue by Lanczos, relative to it
_KINKED = ("Relu", "Abs", "Sign", "Max", "Min", "Hardtanh", "Clamp", "L1", "Huber", "Shrink")


class Measured(NamedTuple):
    """A curvature.

    Attributes:
        step: how many updates had been made.
        largest: the largest eigenvalue of the Hessian.
        preconditioned: for Adam that of the Hessian which its second moments precondition; None of
            others, and before the first update.
        bound: below which learning rate the optimizer is stable; None where none is known.
    """

    step: int
    largest: float
    preconditioned: float | None
    bound: float | None


class Stability(UpdateInstrument):
    r"""Measure the largest eigenvalue of the loss's Hessian every some steps.

    .. math:: \gamma < \frac{2}{\lambda_{\max}}, \qquad \gamma < \frac{2(1 + \mu)}{\lambda_{\max}}

    are the bounds of gradient descent and the heavy ball on the quadratic that the loss is nearby;
    `predicted_rate` has those of Nesterov's momentum, of dampening and of decay, too. The loss is
    the first one of the step, on its batch, also where gradients add up over several batches
    (`accumulate_grad_batches`); its graph is used as it is, so that nothing is computed anew, drawn
    or changed. Up to 32 parameters the Hessian is made and its eigenvalues are exact;
    beyond, Lanczos' method (`scipy.sparse.linalg.eigsh`) finds the largest from products with
    vectors, to 1e-5. For Adam and AdamW the eigenvalue of the Hessian that is preconditioned by the
    second moments, as they are now, is measured beside it; the bound that follows from it is a
    diagnostic, since these move. No bound is given of another optimizer, where the curvature is not
    above 0, and where an operation with a kink (ReLU, abs, max, clamp) is in the graph.

    Written: `curvature.csv` (step, largest, preconditioned, bound) in the run's folder, and
    `curvature/largest` in TensorBoard, once an epoch and where a run ends early. A loss that cannot
    be differentiated twice, complex parameters and the scaled losses of 16-bit training are not
    measured, and a warning says so.

    Args:
        every: how many updates there are from one measurement to the next.

    Attributes:
        found: what was measured, in the order of the steps.

    Raises:
        UsageError: `every` is no whole number from 1 on.
    """

    def __init__(self, every: int = 100) -> None:
        self.every = whole_number(every, "updates")
        self.found: list[Measured] = []
        self._path: Path | None = None
        self._off, self._written, self._last = False, 0, -1
        self._kept = -1

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Begin anew, unless the trainer goes on."""
        super().setup(trainer, pl_module, stage)
        if stage == "fit" and is_new(trainer):
            self.found, self._off, self._written, self._last = [], False, 0, -1

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note where to write."""
        run = run_to_write(trainer)
        self._path = None if run is None else run.folder / "curvature.csv"
        self._kept = -1  # rows: what an earlier fit wrote may be damaged, or of later steps

    def updates_unheard(self, trainer: Trainer) -> int:
        """Return how many updates there are before the next that is measured."""
        return self.every if self._off else -trainer.global_step % self.every

    def on_before_backward(
        self, trainer: Trainer, pl_module: LightningModule, loss: Tensor
    ) -> None:
        """Measure, where it is time."""
        step = trainer.global_step
        if self._off or step % self.every or step == self._last:
            return
        self._last = step
        if not torch.isfinite(loss):  # the run has diverged, which says itself why
            return
        parameters = [p for p in pl_module.parameters() if p.requires_grad]
        if any(p.is_complex() for p in parameters) or trainer.precision == "16-mixed":
            self._give_up("complex parameters and scaled losses are not measured")
            return
        batches = trainer.accumulate_grad_batches if pl_module.automatic_optimization else 1
        try:
            self.found.append(self._measured(trainer, loss * batches, parameters))
        except RuntimeError as error:  # whatever has no second derivative
            self._give_up(" ".join(str(error).split()))

    def _measured(self, trainer: Trainer, loss: Tensor, parameters: Sequence[Tensor]) -> Measured:
        optimizer, step = trainer.optimizers[0], trainer.global_step
        largest = largest_eigenvalue(loss, parameters)
        if len(trainer.optimizers) > 1 or has_kinks(loss):
            return Measured(step, largest, None, None)
        divisors = preconditioner(optimizer, parameters)
        if divisors is None:
            return Measured(step, largest, None, predicted_rate(optimizer, largest))
        steepest = largest_eigenvalue(loss, parameters, *divisors)
        return Measured(step, largest, steepest, preconditioned_rate(optimizer, steepest))

    def _give_up(self, reason: str) -> None:
        self._off = True
        rank_zero_warn(f"Stability measures no curvature of this loss: {reason}")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write what was measured."""
        self._write(trainer)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Write what was measured, of a run that ends before its time, as one that diverges."""
        self._write(trainer)

    def _write(self, trainer: Trainer) -> None:
        if self._path is None or self._kept == len(self.found):
            return
        rows = (",".join("" if v is None else repr(v) for v in row) for row in self.found)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self._path, "\n".join(["step,largest,preconditioned,bound", *rows]) + "\n")
        for measured in self.found[self._written :]:
            log_series(trainer, "curvature/largest", [measured.largest], measured.step)
        self._written = self._kept = len(self.found)

    def state_dict(self) -> dict[str, Any]:
        """Return what was measured so far."""
        return {"found": [tuple(row) for row in self.found]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the measurements of an earlier run."""
        self.found = [Measured(*row) for row in state_dict["found"]]
        self._written = len(self.found)


def largest_eigenvalue(
    loss: Tensor,
    parameters: Sequence[Tensor],
    divisors: Sequence[Tensor] | None = None,
    decay: float = 0.0,
) -> float:
    r"""Return the largest eigenvalue of a loss's Hessian; its graph is left as it is.

    .. math:: \lambda_{\max}(P^{-1/2} (H + w) P^{-1/2})

    Args:
        loss: with its graph, (); differentiable twice.
        parameters: what it is differentiated by.
        divisors: the diagonal of P, in the parts of the parameters, > 0; ones if not given.
        decay: w.

    Raises:
        RuntimeError: autograd cannot differentiate it twice.

    Example:
        >>> theta = torch.tensor([1.0, 2.0], requires_grad=True)
        >>> largest_eigenvalue((theta**2 * torch.tensor([1.0, 3.0])).sum(), [theta])
        6.0
    """
    with torch.enable_grad():
        slopes = parameters_to_vector(
            torch.autograd.grad(
                loss, parameters, create_graph=True, allow_unused=True, materialize_grads=True
            )
        )
    scale = torch.ones_like(slopes) if divisors is None else parameters_to_vector(divisors).rsqrt()
    scale = scale.detach()
    if not slopes.requires_grad:
        return decay * float(scale.square().max())
    if any("Error" in name for name in _nodes(slopes)):  # autograd would take them for constants
        raise RuntimeError("an operation in it can be differentiated once only")

    def product(vector: Tensor) -> Tensor:
        made = torch.autograd.grad(
            slopes, parameters, scale * vector, True, allow_unused=True, materialize_grads=True
        )
        return scale * (parameters_to_vector(made).detach() + decay * scale * vector)

    count = len(slopes)
    if count <= _EXACT_UP_TO:
        unit = torch.eye(count, dtype=slopes.dtype, device=slopes.device)
        hessian = torch.stack([product(row) for row in unit]).double()
        return float(torch.linalg.eigvalsh((hessian + hessian.T) / 2)[-1])

    return _by_lanczos(product, slopes.detach())


def _by_lanczos(product: Callable[[Tensor], Tensor], like: Tensor) -> float:
    """Return the largest eigenvalue of a symmetric matrix, from its products with vectors."""
    from scipy.sparse.linalg import LinearOperator, eigsh  # for large modules alone

    def multiply(vector: NDArray[np.float64]) -> NDArray[np.float64]:
        found = product(torch.from_numpy(vector.ravel()).to(like))
        return found.to("cpu", torch.float64).numpy()

    operator = LinearOperator((len(like), len(like)), matvec=multiply, dtype=np.float64)
    start = np.random.default_rng(0).standard_normal(len(like))
    if not multiply(start).any():  # as of a loss of straight pieces, of which eigsh makes an error
        return 0.0
    values = eigsh(operator, 1, which="LA", v0=start, tol=_PRECISION, return_eigenvectors=False)
    return float(values[0])


def has_kinks(loss: Tensor) -> bool:
    """Return whether an operation that has a kink is in a loss's graph."""
    names = [name.replace("LogSoftmax", "").replace("Softmax", "").lower() for name in _nodes(loss)]
    return any(word.lower() in name for name in names for word in _KINKED)


def _nodes(value: Tensor) -> Iterator[str]:
    """Yield the names of the operations that led to a tensor."""
    seen, waiting = set(), [value.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        yield node.name()
        waiting += [each for each, _ in node.next_functions]
