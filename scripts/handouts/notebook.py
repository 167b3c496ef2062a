"""The notebook: automatic differentiation and torch.optim. Entries AG-1 to AG-7."""

from typing import Any

import torch

from descentlab.handouts import Finished, Handout, Row

NOTEBOOK = Handout(
    "AG",
    "A notebook: automatic differentiation and torch.optim",
    "A notebook to be run cell by cell. Its toy, L(a, b) = Σ (3a³ - b²), is that of PyTorch's own "
    "tutorial on autograd.",
)

START = torch.tensor([[2.0, 3.0], [6.0, 4.0]], dtype=torch.float64)
RATE = 5.0e-3
ADAM = ("toy/cubic_adam", "toy/adam_by_hand")
WAYS = ("torch.optim", "by hand")


def slope(theta: torch.Tensor) -> torch.Tensor:
    """The gradient in closed form: 9a² and -2b."""
    return torch.stack((9 * theta[0] ** 2, -2 * theta[1]))


def after(run: Finished, step: int) -> Any:
    """The rows a and b after a step, counted from 1."""
    return run.parameters()["theta"][step - 1].tolist()


@NOTEBOOK.entry(
    "1",
    "The cubic toy's value and gradient",
    "derivatives/cubic",
    formula="L(a, b) = Σ (3a³ - b²), ∂L/∂a = 9a², ∂L/∂b = -2b",
)
def gradient(row: Row) -> None:
    """Find L and its gradient by autograd, at a = [2, 3] and b = [6, 4].

    Autograd's gradient is that of pencil and paper, to the last bits.
    """
    (found,) = row.predict().table()
    by_autograd = [[found[f"first_derivative[{i}][{j}]"] for j in (0, 1)] for i in (0, 1)]
    row.figures("L", "53", found["value"])
    row.figures("∂a", "[36, 81]", by_autograd[0])
    row.figures("∂b", "[-12, -8]", by_autograd[1])
    closed = slope(START)
    row.agreement("both", "9a² and -2b", by_autograd, closed, 3, "float64", derived=False)


@NOTEBOOK.entry(
    "2", "Backward on tensors that do not require grad", "autograd/missing_requires_grad"
)
def refused(row: Row) -> None:
    """Call backward where no tensor requires a gradient. What does torch say?

    Nothing was recorded, so there is no graph to walk back through, and torch refuses.
    """
    row.wording(
        "error",
        "RuntimeError: element 0 of tensors does not require grad and does not have a grad_fn",
        row.predict().json("facts.json")["error"],
    )


@NOTEBOOK.entry("3", "One step of SGD, lr = 0.005", "toy/cubic_sgd", formula="θ₁ = θ₀ - lr ∂L/∂θ")
def one_step(row: Row) -> None:
    """Take one step of torch.optim.SGD at 0.005. Where are a, b and the loss then?

    Each number moves against its own slope, and the loss falls from 53 to 17.46.
    """
    run = row.fit()
    a, b = after(run, 1)
    row.figures("a", "[1.8200, 2.5950]", a)
    row.figures("b", "[6.0600, 4.0400]", b)
    loss = run.set_losses("train")[-1]
    row.figures("new loss", "17.4649", loss)
    row.figures("new loss in full", "17.464889526367188", loss)
    by_hand = START - RATE * slope(START)
    row.agreement("a and b", "θ₀ - lr ∂L/∂θ", [a, b], by_hand, 3, derived=False)


def two_steps(row: Row, zero_grad: str) -> Any:
    """The gradients of two steps of SGD: their own, and those kept before and after backward."""
    run = row.predict("--model.demonstration.zero_grad", zero_grad)
    return run.json("facts.json")["steps"]


@NOTEBOOK.entry(
    "4",
    "A second backward without zeroing the gradients",
    "autograd/repeated_backward",
    formula="θ.grad after the second backward = ∂L/∂θ(θ₀) + ∂L/∂θ(θ₁)",
)
def not_zeroed(row: Row) -> None:
    """Take a step, and call backward again without zeroing. What is in a.grad and b.grad?

    Backward adds to what is there, so that it holds the sum of both steps' gradients.
    """
    first, second = two_steps(row, "false")
    kept, own = second["kept_after"], second["own"]
    row.figures("a.grad", "[65.8116, 141.6062]", kept["a"])
    row.figures("b.grad", "[-24.1200, -16.0800]", kept["b"])
    row.figures("the second step's own, a", "[29.8116, 60.6062]", own["a"])
    row.figures("the second step's own, b", "[-12.1200, -8.0800]", own["b"])
    sums = [[x + y for x, y in zip(first["own"][k], own[k], strict=True)] for k in ("a", "b")]
    both = [kept["a"], kept["b"]]
    row.agreement("both", "the sum of both steps' own gradients", both, sums, 2, derived=False)


@NOTEBOOK.entry("5", "The same with zero_grad() between the steps", "autograd/repeated_backward")
def zeroed(row: Row) -> None:
    """Zero the gradients between the two steps. What is there after zeroing, and at the end?

    zero_grad() leaves None, not 0, and the second backward then leaves its own gradient alone.
    """
    _, second = two_steps(row, "true")
    before, kept = second["kept_before"], second["kept_after"]
    found = f"a.grad {before['a']}, b.grad {before['b']}"
    row.wording("after zero_grad()", "a.grad None, b.grad None", found)
    row.figures("a.grad", "[29.8116, 60.6062]", kept["a"])
    row.figures("b.grad", "[-12.1200, -8.0800]", kept["b"])


@NOTEBOOK.entry(
    "6",
    "The first step of Adam, by torch.optim and by hand",
    "toy/adam_by_hand",
    formula="m = (1 - β₁) g, v = (1 - β₂) g², θ₁ = θ₀ - lr m̂ / (√v̂ + ε) with m̂ = g, v̂ = g²",
)
def first_adam_step(row: Row) -> None:
    """Take a step of Adam at 0.1, by torch.optim and by a rule that is written out.

    The first step of Adam moves every number by lr, whatever its gradient: only the sign counts.
    """
    theirs, ours = (row.fit(config=name) for name in ADAM)
    for way, run in zip(WAYS, (theirs, ours), strict=True):
        a, b = after(run, 1)
        row.figures(f"a, {way}", "[1.9000, 2.9000]", a)
        row.figures(f"b, {way}", "[6.1000, 4.1000]", b)
    row.figures("new loss", "39.7240", theirs.set_losses("train")[1])
    flags = ("--data.points", str([after(theirs, 1)]))
    (there,) = row.predict(*flags, config="derivatives/cubic").table()
    new = [there["first_derivative[0][0]"], there["first_derivative[0][1]"]]
    row.figures("new ∂a", "[32.4900, 75.6900]", new)
    by_hand, by_torch = (run.parameters()["theta"] for run in (ours, theirs))
    row.agreement("both ways", "the same, bit for bit", by_hand, by_torch)


@NOTEBOOK.entry("7", "The second step of Adam, both ways", "toy/adam_by_hand")
def second_adam_step(row: Row) -> None:
    """Take a second step of Adam, both ways.

    The gradient has changed a little, and the step is a little less than lr.
    """
    for way, name in zip(WAYS, ADAM, strict=True):
        row.figures(f"a, {way}", "[1.8004, 2.8002]", after(row.fit(config=name), 2)[0])
