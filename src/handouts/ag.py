"""The notebook: automatic differentiation and torch.optim. Entries AG-1 to AG-7."""

from .ag_runs import (
    first_adam_step,
    gradient,
    not_zeroed,
    one_step,
    refused,
    second_adam_step,
    zeroed,
)
from .claims import Agreement, Figures, Wording
from .entry import Entry

ENTRIES = (
    Entry(
        "AG-1",
        "The cubic toy's value and gradient",
        (
            Figures("L", "53"),
            Figures("∂a", "[36, 81]"),
            Figures("∂b", "[-12, -8]"),
            Agreement("both", "9a² and -2b", dtype="float64", roundings=3, derived=True),
        ),
        "derivatives/cubic.yaml",
        gradient,
    ),
    Entry(
        "AG-2",
        "Backward on tensors that do not require grad",
        (
            Wording(
                "error",
                "RuntimeError: element 0 of tensors does not require grad and does not have a "
                "grad_fn",
            ),
        ),
        "autograd/missing_requires_grad.yaml",
        refused,
    ),
    Entry(
        "AG-3",
        "One step of SGD, lr = 0.005",
        (
            Figures("a", "[1.8200, 2.5950]"),
            Figures("b", "[6.0600, 4.0400]"),
            Figures("new loss", "17.4649"),
            Figures("new loss in full", "17.464889526367188"),
            Agreement("a and b", "θ₀ - lr ∂L/∂θ", roundings=3),
        ),
        "toy/cubic_sgd.yaml",
        one_step,
    ),
    Entry(
        "AG-4",
        "A second backward without zeroing the gradients",
        (
            Figures("a.grad", "[65.8116, 141.6062]"),
            Figures("b.grad", "[-24.1200, -16.0800]"),
            Figures("the second step's own, a", "[29.8116, 60.6062]"),
            Figures("the second step's own, b", "[-12.1200, -8.0800]"),
            Agreement("both", "the sum of both steps' own gradients", roundings=2),
        ),
        "autograd/repeated_backward.yaml",
        not_zeroed,
    ),
    Entry(
        "AG-5",
        "The same with zero_grad() between the steps",
        (
            Wording("after zero_grad()", "a.grad None, b.grad None"),
            Figures("a.grad", "[29.8116, 60.6062]"),
            Figures("b.grad", "[-12.1200, -8.0800]"),
        ),
        "autograd/repeated_backward.yaml",
        zeroed,
    ),
    Entry(
        "AG-6",
        "The first step of Adam, by torch.optim and by hand",
        (
            Figures("a, torch.optim", "[1.9000, 2.9000]"),
            Figures("b, torch.optim", "[6.1000, 4.1000]"),
            Figures("a, by hand", "[1.9000, 2.9000]"),
            Figures("b, by hand", "[6.1000, 4.1000]"),
            Figures("new loss", "39.7240"),
            Figures("new ∂a", "[32.4900, 75.6900]"),
            Agreement("both ways", "the same, bit for bit", derived=True),
        ),
        "toy/adam_by_hand.yaml",
        first_adam_step,
    ),
    Entry(
        "AG-7",
        "The second step of Adam, both ways",
        (
            Figures("a, torch.optim", "[1.8004, 2.8002]"),
            Figures("a, by hand", "[1.8004, 2.8002]"),
        ),
        "toy/adam_by_hand.yaml",
        second_adam_step,
    ),
)
