"""How the entries of the problem set are run."""

from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from ..datamodules import diabetes, permutation
from .claims import agreement
from .entry import Measured
from .pictures import momentum_figure
from .runs import Finished, Runs

SEED = 42
BATCH = 32
EPOCHS = 10
RATE = 1.0e-2
TEN_EPOCHS = "linear_regression/ten_epochs"
SPLIT = "linear_regression/split"

#: the sets of momenta whose learning curves go into one picture each
MOMENTA = (("0", "0.1", "0.2", "0.3"), ("0", "0.5", "0.9", "1.0"), ("0.2", "0.4", "0.6", "0.8"))

Array = NDArray[np.float64]


def rational(runs: Runs) -> Measured:
    """PS-1.1."""
    run = runs("predict", "derivatives/rational")
    return Measured(
        {"f'(2)": run.table()[0]["first_derivative"]},
        picture=run.run.figures / "derivatives.png",
    )


def sigmoid(runs: Runs) -> Measured:
    """PS-1.2."""
    run = runs("predict", "derivatives/sigmoid", "--model.orders", "1")
    rows = run.table()
    by_autograd = [row["first_derivative"] for row in rows]
    s = [row["value"] for row in rows]
    return Measured(
        {
            "s' by autograd": agreement(by_autograd, [each * (1 - each) for each in s]),
            "s'(0)": min(rows, key=lambda row: abs(row["point"]))["first_derivative"],
        },
        picture=run.run.figures / "derivatives.png",
    )


def vector_pair(runs: Runs) -> Measured:
    """PS-1.3."""
    (row,) = runs("predict", "derivatives/vector_pair").table()
    jacobian = [[row[f"first_derivative[{i}][{j}]"] for j in (0, 1)] for i in (0, 1)]
    x, y = 1.376, 2.123
    closed = [[2 * x, 2 * y], [4 * x * y**2, 4 * x**2 * y]]
    return Measured(
        {
            "∂f₁/∂x": jacobian[0][0],
            "∂f₂/∂y": jacobian[1][1],
            "Jacobian": agreement(jacobian, closed),
        }
    )


def trace(runs: Runs) -> Measured:
    """PS-1.4."""
    (row,) = runs("predict", "derivatives/trace_of_square").table()
    gradient = [[row[f"first_derivative[{i}][{j}]"] for j in (0, 1)] for i in (0, 1)]
    return Measured({"gradient": gradient, "element [0, 1]": gradient[0][1]})


def sigmoid_twice(runs: Runs) -> Measured:
    """PS-1.5."""
    row = runs("predict", "derivatives/sigmoid").table()[0]
    return Measured({"s'(0.173)": row["first_derivative"], "s''(0.173)": row["second_derivative"]})


def plain_loop(x: Array, y: Array) -> tuple[list[float], list[float]]:
    """Fit a line by gradient descent in NumPy, with the gradient in closed form.

    Args:
        x: inputs, (n,).
        y: targets, (n,).

    Returns:
        Slope and bias at the end, and the loss of every batch.
    """
    slope = bias = 0.0
    losses = []
    for epoch in range(EPOCHS):
        order = permutation(SEED, epoch, len(x)).numpy()
        for first in range(0, len(x), BATCH):
            rows = order[first : first + BATCH]
            error = slope * x[rows] + bias - y[rows]
            losses.append(float((error**2).mean()))
            slope -= RATE * 2 * float((error * x[rows]).mean())
            bias -= RATE * 2 * float(error.mean())
    return [slope, bias], losses


def _data() -> tuple[Array, Array]:
    x, y = diabetes("bmi")
    return x[:, 0].numpy(), y.numpy()


def _line(run: Finished) -> list[float]:
    parameters = run.json("summary.json")["parameters"]
    return [*parameters["slope"], parameters["bias"]]


def _ten_epochs(runs: Runs) -> Finished:
    return runs("fit", TEN_EPOCHS, keep=("learning_curves",))


def _in_double_precision(runs: Runs) -> Finished:
    return runs("fit", TEN_EPOCHS, "--trainer.precision", "64-true")


def ten_epochs(runs: Runs) -> Measured:
    """PS-2.1."""
    shipped = _ten_epochs(runs)
    x, y = diabetes("bmi")
    paths = [runs.folder / "X.pt", runs.folder / "y.pt"]
    for path, tensor in zip(paths, (x, y), strict=True):
        torch.save(tensor, path)
    flags = ("--data.x_path", str(paths[0]), "--data.y_path", str(paths[1]))
    own = runs("fit", "linear_regression/your_data", *flags, "--data.split", "null")
    line = _line(_in_double_precision(runs))
    used = torch.load(shipped.run.split, weights_only=True)
    return Measured(
        {
            "slope and bias": agreement(line, plain_loop(*_data())[0]),
            "slope and bias from X.pt, y.pt": agreement(_line(own), _line(shipped)),
            "epochs": len(shipped.set_losses("train")) - 1,
            "rows trained on": len(used["train"]),
        },
        picture=shipped.run.figures / "epoch_losses.png",
        details={"slope and bias": f"{line[0]:.6g}, {line[1]:.6g}"},
    )


def batch_losses(runs: Runs) -> Measured:
    """PS-2.2."""
    run = _ten_epochs(runs)
    steps = [int(row["step"]) for row in run.rows(run.run.batch_losses)]
    losses = _in_double_precision(runs).losses()
    in_order = all(later == earlier + 1 for earlier, later in pairwise(steps))
    return Measured(
        {
            "losses kept": len(steps),
            "in order": "yes" if in_order and steps[0] == 0 else "no",
            "each of them": agreement(losses, plain_loop(*_data())[1]),
        },
        picture=run.run.figures / "batch_losses.png",
    )


def _split(runs: Runs) -> Finished:
    return runs("fit", SPLIT, "--test_after_fit", "true", keep=("learning_curves",))


def _mean_square(run: Finished, rows: Array, epoch: int) -> float:
    """The mean squared error on some rows with the parameters after an epoch, by NumPy."""
    x, y = (part[rows].astype(np.float32).astype(np.float64) for part in _data())
    parameters = run.parameters()
    slope, bias = (float(parameters[name][epoch]) for name in ("slope", "bias"))
    return float(((slope * x + bias - y) ** 2).mean())


def _rows_of_the_sets() -> dict[str, Array]:
    train, held_out = train_test_split(np.arange(442), test_size=0.2, random_state=SEED)
    val, test = train_test_split(held_out, test_size=0.5, random_state=SEED)
    return {"train": train, "val": val, "test": test}


def best_epochs(runs: Runs) -> Measured:
    """PS-2.3."""
    run = _split(runs)
    kept = torch.load(run.run.split, weights_only=True)
    rows = _rows_of_the_sets()
    least = run.json("summary.json")["least"]
    losses = {name: run.set_losses(name)[1:] for name in ("train", "val")}
    anew = {name: [_mean_square(run, rows[name], epoch) for epoch in range(150)] for name in losses}
    return Measured(
        {
            "rows to train, validate, test": [len(kept[name]) for name in rows],
            "their numbers": agreement(
                [kept[name].tolist() for name in rows], [part.tolist() for part in rows.values()]
            ),
            "epochs": len(losses["train"]),
            "training loss after each": agreement(losses["train"], anew["train"]),
            "validation loss after each": agreement(losses["val"], anew["val"]),
            "epochs of the least losses": agreement(
                [least[name]["epoch"] for name in losses],
                [int(np.argmin(losses[name])) for name in losses],
            ),
        },
        picture=run.run.figures / "epoch_losses.png",
        details={
            f"least {label} loss": f"{least[name]['loss']:.6g} at epoch {least[name]['epoch']}"
            for name, label in (("train", "training"), ("val", "validation"))
        },
    )


def last_and_best(runs: Runs) -> Measured:
    """PS-2.4."""
    run = _split(runs)
    tested = run.json("test.json")
    rows = _rows_of_the_sets()["test"]
    anew = {name: _mean_square(run, rows, tested[name]["epoch"]) for name in ("last", "best")}
    return Measured(
        {
            "parameters kept after so many epochs": len(run.parameters()["bias"]),
            "test loss, last parameters": agreement(tested["last"]["mse"], anew["last"]),
            "test loss, best parameters": agreement(tested["best"]["mse"], anew["best"]),
            "best epoch": agreement(
                tested["best"]["epoch"], run.json("summary.json")["least"]["val"]["epoch"]
            ),
        },
        details={
            f"test loss, {name}": f"{tested[name]['mse']:.6g} (epoch {tested[name]['epoch']})"
            for name in ("last", "best")
        },
    )


def momentum(runs: Runs) -> Measured:
    """PS-2.5."""
    config, flag = "linear_regression/momentum_by_hand", "--model.optimizer.momentum"
    torch_sgd = ("--model.optimizer", "torch.optim.SGD", "--model.optimizer.lr", "1.0e-3")
    curves: dict[str, list[float]] = {}
    ours: list[float] = []
    theirs: list[float] = []
    for value in sorted({value for part in MOMENTA for value in part}, key=float):
        by_hand = runs("fit", config, flag, value)
        by_torch = runs("fit", config, *torch_sgd, flag, value)
        curves[value] = by_hand.set_losses("train")
        for run, kept in ((by_hand, ours), (by_torch, theirs)):
            parameters = run.parameters()
            kept += [*run.losses(), *parameters["slope"][:, 0].tolist()]
            kept += parameters["bias"].tolist()
    equal = sum(a == b for a, b in zip(ours, theirs, strict=True))
    return Measured(
        {
            "momenta drawn": [[float(value) for value in part] for part in MOMENTA],
            "by hand and by torch.optim.SGD": agreement(ours, theirs),
            "equal losses, slopes and biases": equal,
        },
        picture=momentum_figure(MOMENTA, curves),
    )
