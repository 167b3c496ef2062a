"""Adam: steps scaled by running means of the gradient and of its square."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from .arithmetic import add_product, add_quotient, interpolated, scaled
from .rule import Rule, State, require


class Adam(Rule):
    r"""Adam, with bias-corrected running means of the gradient and of its square.

    .. math::
        m_t = \beta_1 m_{t-1} + (1 - \beta_1) g_t, \qquad
        v_t = \beta_2 v_{t-1} + (1 - \beta_2) g_t^2, \qquad
        \theta_t = \theta_{t-1} - \gamma
            \frac{m_t / (1 - \beta_1^t)}{\sqrt{v_t / (1 - \beta_2^t)} + \epsilon}

    Real and imaginary parts of a complex parameter are two parameters.

    Args:
        params: parameters or groups of them.
        lr: the learning rate :math:`\gamma`, > 0.
        betas: :math:`(\beta_1, \beta_2)`, each in [0, 1).
        eps: :math:`\epsilon`, >= 0.

    Raises:
        UsageError: (a ValueError) if a hyperparameter is out of its range.

    Example:
        >>> hyperparameters = {"lr": 0.1, "betas": (0.9, 0.999), "eps": 1e-8}
        >>> Adam.update(torch.tensor([2.0]), torch.tensor([36.0]), {}, hyperparameters)[0]
        tensor([1.9000])

    Reference:
        Kingma and Ba (2015), algorithm 1. Equal bit for bit to
        ``torch.optim.Adam(params, lr, betas, eps, foreach=False)``, state included.
    """

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

    @staticmethod
    def update(
        parameter: Tensor, gradient: Tensor, state: State, hyperparameters: Mapping[str, Any]
    ) -> tuple[Tensor, State]:
        """Move a parameter by the ratio of the two corrected means."""
        if parameter.is_complex():
            return _by_parts(parameter, gradient, state, hyperparameters)
        state = state or _start(parameter)
        lr, (beta1, beta2) = hyperparameters["lr"], hyperparameters["betas"]
        step = state["step"] + 1
        t = step if isinstance(beta1, Tensor) else step.item()
        mean = interpolated(state["exp_avg"], gradient, 1 - beta1)
        square = scaled(state["exp_avg_sq"], beta2)
        square = add_product(square, gradient, gradient, 1 - beta2)
        denominator = square.sqrt().div_((1 - beta2**t) ** 0.5).add_(hyperparameters["eps"])
        moved = add_quotient(parameter, mean, denominator, -lr / (1 - beta1**t))
        return moved, {"step": step, "exp_avg": mean, "exp_avg_sq": square}


def _start(parameter: Tensor) -> State:
    """Return the state before the first step, as torch.optim.Adam has it.

    The count of steps is not in the default type: bfloat16 counts to 256.
    """
    double = torch.get_default_dtype() == torch.float64
    return {
        "step": torch.zeros((), dtype=torch.float64 if double else torch.float32),
        "exp_avg": torch.zeros_like(parameter),
        "exp_avg_sq": torch.zeros_like(parameter),
    }


def _by_parts(
    parameter: Tensor, gradient: Tensor, state: State, hyperparameters: Mapping[str, Any]
) -> tuple[Tensor, State]:
    """Update a complex parameter as the pairs of real numbers that it is, (…, 2)."""
    of_pairs = {
        name: value[..., None] if isinstance(value, Tensor) and value.dim() else value
        for name, value in hyperparameters.items()
    }
    parts = {name: torch.view_as_real(v) if v.is_complex() else v for name, v in state.items()}
    real, slope = torch.view_as_real(parameter), torch.view_as_real(gradient)
    moved, parts = Adam.update(real, slope, parts, of_pairs)
    means = {name: torch.view_as_complex(parts[name]) for name in ("exp_avg", "exp_avg_sq")}
    return torch.view_as_complex(moved), {"step": parts["step"], **means}
