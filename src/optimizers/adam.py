"""Adam: steps scaled by running means of the gradient and of its square."""

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from .rule import Hyperparameter, Rule, like, require


def adam_step(
    parameter: Tensor,
    gradient: Tensor,
    mean: Tensor,
    square: Tensor,
    step: int,
    lr: Hyperparameter,
    betas: tuple[float, float],
    eps: Hyperparameter,
) -> None:
    r"""Take one step of Adam, in place.

    .. math::
        m_t = \beta_1 m_{t-1} + (1 - \beta_1) g_t, \qquad
        v_t = \beta_2 v_{t-1} + (1 - \beta_2) g_t^2, \qquad
        \theta_t = \theta_{t-1} - \gamma
            \frac{m_t / (1 - \beta_1^t)}{\sqrt{v_t / (1 - \beta_2^t)} + \epsilon}

    Shapes: parameter, gradient, mean (:math:`m`), square (:math:`v`): any one shape. lr, eps: a
    number, or one for each row, (M, 1, …).

    Args:
        parameter: moved in place.
        gradient: left as it is.
        mean: running mean of the gradient, changed in place; zeros before the first step.
        square: running mean of the squared gradient, changed in place; zeros before the first step.
        step: the number of this step, t, from 1.
        lr: the learning rate :math:`\gamma`, > 0.
        betas: :math:`(\beta_1, \beta_2)`, each in [0, 1).
        eps: :math:`\epsilon`, >= 0.

    Example:
        >>> theta, m, v = torch.tensor([2.0]), torch.zeros(1), torch.zeros(1)
        >>> adam_step(theta, torch.tensor([36.0]), m, v, 1, lr=0.1, betas=(0.9, 0.999), eps=1e-8)
        >>> theta
        tensor([1.9000])

    Reference:
        Kingma and Ba (2015), algorithm 1; the order of operations is torch.optim.Adam's
        (``foreach=False``), bit for bit.
    """
    beta1, beta2 = betas
    mean.lerp_(gradient, 1 - beta1)
    square.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
    step_size = lr / (1 - beta1**step)
    denominator = (square.sqrt() / (1 - beta2**step) ** 0.5).add_(like(eps, square))
    if isinstance(step_size, Tensor):
        parameter.addcdiv_(mean * like(-step_size, mean), denominator)
    else:
        parameter.addcdiv_(mean, denominator, value=-step_size)


class Adam(Rule):
    r"""Adam, with bias-corrected running means of the gradient and of its square.

    Args:
        params: parameters or groups of them.
        lr: the learning rate :math:`\gamma`, > 0.
        betas: :math:`(\beta_1, \beta_2)`, each in [0, 1).
        eps: :math:`\epsilon`, >= 0.

    Raises:
        UsageError: (a ValueError) if a hyperparameter is out of its range.

    Reference:
        Equal bit for bit to ``torch.optim.Adam(params, lr, betas, eps, foreach=False)``, state
        included. The formula is in `adam_step`.
    """

    per_member: ClassVar[tuple[str, ...]] = ("lr", "eps")
    state_names: ClassVar[tuple[str, ...]] = ("step", "exp_avg", "exp_avg_sq")

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(params, lr=lr, betas=betas, eps=eps)

    def check(self, *, lr: float, betas: tuple[float, float], eps: float) -> None:  # type: ignore[override]
        """Refuse lr <= 0, betas outside [0, 1) and a negative eps."""
        require("lr", lr, lr > 0, "a finite number > 0")
        for index, beta in enumerate(betas):
            require(f"betas[{index}]", beta, 0 <= beta < 1, "in [0, 1)")
        require("eps", eps, eps >= 0, "a finite number >= 0")

    def update(
        self, parameter: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]
    ) -> None:
        """Move one parameter by the ratio of the two corrected means."""
        if not state:
            state["step"] = torch.tensor(0.0)  # a tensor, as torch.optim.Adam keeps it
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        state["step"] += 1
        adam_step(
            parameter,
            gradient,
            state["exp_avg"],
            state["exp_avg_sq"],
            int(state["step"]),
            group["lr"],
            group["betas"],
            group["eps"],
        )

    @staticmethod
    def pure(
        parameter: Tensor, gradient: Tensor, state: dict[str, Tensor], hyper: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the moved parameter, the two new means and the count of steps."""
        beta1, beta2 = hyper["betas"].unbind()
        step, dtype = state["step"] + 1, parameter.dtype
        keep1, keep2 = beta1.to(dtype), beta2.to(dtype)
        mean = keep1 * state["exp_avg"] + (1 - beta1).to(dtype) * gradient
        square = keep2 * state["exp_avg_sq"] + (1 - beta2).to(dtype) * gradient**2
        # in float64: 1 - beta**step loses half of float32's digits
        rate = (hyper["lr"] / (1 - beta1**step)).to(dtype)
        scale = (1 - beta2**step).sqrt().to(dtype)
        moved = parameter - rate * mean / (square.sqrt() / scale + hyper["eps"].to(dtype))
        return moved, {"step": step, "exp_avg": mean, "exp_avg_sq": square}
