"""How the entries of the notebook are run."""

import torch

from .claims import agreement
from .entry import Measured
from .runs import Finished, Runs

START = ((2.0, 3.0), (6.0, 4.0))
RATE = 5.0e-3


def _rows(finished: Finished, step: int) -> tuple[list[float], list[float]]:
    """The rows a and b after a step, counted from 1."""
    a, b = finished.parameters()["theta"][step - 1].tolist()
    return a, b


def _repeated(runs: Runs, zeroed: str) -> list[dict[str, dict[str, list[float] | None]]]:
    flags = ("--model.demonstration.zero_grad", zeroed)
    run = runs("predict", "autograd/repeated_backward", *flags)
    steps: list[dict[str, dict[str, list[float] | None]]] = run.json("facts.json")["steps"]
    return steps


def gradient(runs: Runs) -> Measured:
    """AG-1."""
    (row,) = runs("predict", "derivatives/cubic").table()
    by_autograd = [[row[f"first_derivative[{i}][{j}]"] for j in (0, 1)] for i in (0, 1)]
    a, b = torch.tensor(START, dtype=torch.float64)
    closed = torch.stack((9 * a**2, -2 * b))
    return Measured(
        {
            "L": row["value"],
            "∂a": by_autograd[0],
            "∂b": by_autograd[1],
            "both": agreement(by_autograd, closed),
        }
    )


def refused(runs: Runs) -> Measured:
    """AG-2."""
    facts = runs("predict", "autograd/missing_requires_grad").json("facts.json")
    return Measured({"error": facts["error"]})


def one_step(runs: Runs) -> Measured:
    """AG-3."""
    run = runs("fit", "toy/cubic_sgd")
    a, b = _rows(run, 1)
    start = torch.tensor(START, dtype=torch.float64)
    slope = torch.stack((9 * start[0] ** 2, -2 * start[1]))
    loss = run.set_losses("train")[-1]
    return Measured(
        {
            "a": a,
            "b": b,
            "new loss": loss,
            "new loss in full": loss,
            "a and b": agreement([a, b], start - RATE * slope),
        }
    )


def not_zeroed(runs: Runs) -> Measured:
    """AG-4."""
    first, second = _repeated(runs, "false")
    sums = [
        [
            one + two
            for one, two in zip(first["own"][row] or [], second["own"][row] or [], strict=True)
        ]
        for row in ("a", "b")
    ]
    return Measured(
        {
            "a.grad": second["kept_after"]["a"],
            "b.grad": second["kept_after"]["b"],
            "the second step's own, a": second["own"]["a"],
            "the second step's own, b": second["own"]["b"],
            "both": agreement([second["kept_after"]["a"], second["kept_after"]["b"]], sums),
        }
    )


def zeroed(runs: Runs) -> Measured:
    """AG-5."""
    _, second = _repeated(runs, "true")
    return Measured(
        {
            "after zero_grad()": f"a.grad {second['kept_before']['a']}, "
            f"b.grad {second['kept_before']['b']}",
            "a.grad": second["kept_after"]["a"],
            "b.grad": second["kept_after"]["b"],
        }
    )


def first_adam_step(runs: Runs) -> Measured:
    """AG-6."""
    theirs, ours = (runs("fit", name) for name in ("toy/cubic_adam", "toy/adam_by_hand"))
    point = theirs.parameters()["theta"][0].tolist()
    (row,) = runs("predict", "derivatives/cubic", "--data.points", str([point])).table()
    return Measured(
        {
            "a, torch.optim": _rows(theirs, 1)[0],
            "b, torch.optim": _rows(theirs, 1)[1],
            "a, by hand": _rows(ours, 1)[0],
            "b, by hand": _rows(ours, 1)[1],
            "new loss": theirs.set_losses("train")[1],
            "new ∂a": [row["first_derivative[0][0]"], row["first_derivative[0][1]"]],
            "both ways": agreement(ours.parameters()["theta"], theirs.parameters()["theta"]),
        }
    )


def second_adam_step(runs: Runs) -> Measured:
    """AG-7."""
    theirs, ours = (runs("fit", name) for name in ("toy/cubic_adam", "toy/adam_by_hand"))
    return Measured({"a, torch.optim": _rows(theirs, 2)[0], "a, by hand": _rows(ours, 2)[0]})
