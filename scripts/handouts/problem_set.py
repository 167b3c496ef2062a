"""The problem set: automatic differentiation and SGD. Entries PS-1.1 to PS-2.5."""

from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from descentlab.datamodules import diabetes, permutation
from descentlab.handouts import Finished, Handout, Row
from handouts.pictures import momentum_figure

PROBLEM_SET = Handout(
    "PS",
    "A problem set: automatic differentiation and SGD",
    "Problems to hand in: five derivatives, then a line fitted to data with all that a training "
    "run needs.",
)

SEED = 42
BATCH = 32
EPOCHS = 10
RATE = 1.0e-2
SPLIT = "linear_regression/split"

#: of an update on 32 rows: two passes over the batch and their means
UPDATE = 2 * (4 + 32) + 4

#: of a mean over a set in float32: prediction, error, square, and a cascade of sums
MEAN = 4 + 16

#: the sets of momenta whose learning curves go into one picture each
MOMENTA = (("0", "0.1", "0.2", "0.3"), ("0", "0.5", "0.9", "1.0"), ("0.2", "0.4", "0.6", "0.8"))

Array = NDArray[np.float64]


@PROBLEM_SET.entry(
    "1.1",
    "f(x) = 2 / ((5 - x)² + 2²), its slope at 2",
    "derivatives/rational",
    formula="f'(x) = 4 (5 - x) / ((5 - x)² + 4)², f'(2) = 12/169",
)
def rational(row: Row) -> None:
    """Find the slope of f at 2 by autograd.

    f rises until 5, and so its slope, the second panel, is positive up to there.
    """
    run = row.predict()
    row.figures("f'(2)", "0.071", run.table()[0]["first_derivative"])
    row.picture = run.run.figures / "derivatives.png"


@PROBLEM_SET.entry(
    "1.2",
    "The sigmoid and its derivative on -5…5",
    "derivatives/sigmoid",
    formula="s(x) = 1 / (1 + e⁻ˣ), s' = s (1 - s)",
)
def sigmoid(row: Row) -> None:
    """Draw the sigmoid and its derivative by autograd below each other.

    The derivative is largest where the sigmoid is 1/2, and vanishes on both sides: a saturated unit
    learns slowly.
    """
    run = row.predict("--model.orders", "1")
    table = run.table()
    slopes = [each["first_derivative"] for each in table]
    closed = [each["value"] * (1 - each["value"]) for each in table]
    row.agreement("s' by autograd", "s (1 - s)", slopes, closed, 8, "float64", derived=False)
    middle = min(table, key=lambda each: abs(each["point"]))
    row.figures("s'(0)", "0.2500", middle["first_derivative"], derived=True)
    row.picture = run.run.figures / "derivatives.png"


@PROBLEM_SET.entry(
    "1.3",
    "f = [x² + y², 2x²y²] at x = 1.376, y = 2.123",
    "derivatives/vector_pair",
    formula="J = [[2x, 2y], [4xy², 4x²y]]",
)
def vector_pair(row: Row) -> None:
    """Find two of the four partial derivatives of a function with two values.

    Backward gives a row of the Jacobian at a time, one for each value.
    """
    (found,) = row.predict().table()
    jacobian = [[found[f"first_derivative[{i}][{j}]"] for j in (0, 1)] for i in (0, 1)]
    row.figures("∂f₁/∂x", "2.752", jacobian[0][0])
    row.figures("∂f₂/∂y", "16.079", jacobian[1][1])
    x, y = 1.376, 2.123
    closed = [[2 * x, 2 * y], [4 * x * y**2, 4 * x**2 * y]]
    printed = "[[2x, 2y], [4xy², 4x²y]]"
    row.agreement("Jacobian", printed, jacobian, closed, 8, "float64")


@PROBLEM_SET.entry(
    "1.4",
    "f(A) = trace(A²) at A = [[1, 2], [3, 4]]",
    "derivatives/trace_of_square",
    formula="∂ trace(A²) / ∂A = 2Aᵀ",
)
def trace(row: Row) -> None:
    """Find the gradient of a function of a matrix, and its element [0, 1].

    The gradient has the shape of A, and is twice its transpose.
    """
    (found,) = row.predict().table()
    gradient = [[found[f"first_derivative[{i}][{j}]"] for j in (0, 1)] for i in (0, 1)]
    row.figures("gradient", "[[2, 6], [4, 8]]", gradient)
    row.figures("element [0, 1]", "6.0", gradient[0][1])


@PROBLEM_SET.entry(
    "1.5",
    "The sigmoid at 0.173: first and second derivative",
    "derivatives/sigmoid",
    formula="s' = s (1 - s), s'' = s' (1 - 2s)",
)
def sigmoid_twice(row: Row) -> None:
    """Differentiate twice: the derivative is itself a graph, if torch is told to record it."""
    found = row.predict().table()[0]
    row.figures("s'(0.173)", "0.248", found["first_derivative"])
    row.figures("s''(0.173)", "-0.021", found["second_derivative"])


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


def data() -> tuple[Array, Array]:
    """Body mass index and progression."""
    x, y = diabetes("bmi")
    return x[:, 0].numpy(), y.numpy()


def line(run: Finished) -> list[float]:
    """Slope and bias at the end."""
    parameters = run.json("summary.json")["parameters"]
    return [*parameters["slope"], parameters["bias"]]


def as_shipped(row: Row) -> Finished:
    """The fit of ten epochs, with its pictures."""
    return row.fit(keep=("learning_curves",))


def in_double_precision(row: Row) -> Finished:
    """The same in float64, as the plain loop is."""
    return row.fit("--trainer.precision", "64-true")


@PROBLEM_SET.entry(
    "2.1",
    "A line through data: batches of 32, lr 0.01, 10 epochs, no split",
    "linear_regression/ten_epochs",
    formula="L(a, b) = mean((ax + b - y)²)",
    note="The print is incomplete: its files X.pt and y.pt are not public. The job is done on the "
    "diabetes data that the project ships, and again on the same data as X.pt and y.pt, which "
    "you replace by your own.",
)
def ten_epochs(row: Row) -> None:
    """Fit slope and bias from zero by SGD, in batches of 32, for ten epochs.

    The loss falls by a third in each of the first epochs, and then levels off.
    """
    shipped = as_shipped(row)
    x, y = diabetes("bmi")
    flags: list[str] = []
    for name, tensor in (("x", x), ("y", y)):
        path = row.folder / f"{'X' if name == 'x' else name}.pt"
        torch.save(tensor, path)
        flags += [f"--data.{name}_path", str(path)]
    own = row.fit(*flags, "--data.split", "null", config="linear_regression/your_data")
    found = line(in_double_precision(row))
    row.agreement(
        "slope and bias",
        "those of a plain NumPy loop",
        found,
        plain_loop(*data())[0],
        140 * UPDATE,
        "float64",
    )
    row.agreement(
        "slope and bias from X.pt, y.pt",
        "those from the same data as shipped, bit for bit",
        line(own),
        line(shipped),
    )
    row.figures("epochs", "10", len(shipped.set_losses("train")) - 1)
    used = torch.load(shipped.run.split, weights_only=True)
    row.figures("rows trained on", "442", len(used["train"]), derived=True)
    row.details["slope and bias"] = f"{found[0]:.6g}, {found[1]:.6g}"
    row.picture = shipped.run.figures / "epoch_losses.png"


@PROBLEM_SET.entry(
    "2.2",
    "The loss of every batch",
    "linear_regression/ten_epochs",
    note="14 batches in each of 10 epochs: one loss for every update.",
)
def batch_losses(row: Row) -> None:
    """Keep the loss of every batch, in order, and plot them.

    The batches differ, so their losses scatter around the curve of the epochs' means.
    """
    run = as_shipped(row)
    steps = [int(each["step"]) for each in run.rows(run.run.batch_losses)]
    row.figures("losses kept", "140", len(steps), derived=True)
    in_order = all(later == earlier + 1 for earlier, later in pairwise(steps))
    answer = "yes" if in_order and steps[0] == 0 else "no"
    row.wording("in order", "yes", answer, derived=True)
    row.agreement(
        "each of them",
        "that of a plain NumPy loop",
        in_double_precision(row).losses(),
        plain_loop(*data())[1],
        140 * UPDATE,
        "float64",
    )
    row.picture = run.run.figures / "batch_losses.png"


def split(row: Row) -> Finished:
    """The fit of 150 epochs on four fifths, and its test."""
    return row.fit("--test_after_fit", "true", config=SPLIT, keep=("learning_curves",))


def mean_square(run: Finished, rows: Array, epoch: int) -> float:
    """The mean squared error on some rows with the parameters after an epoch, by NumPy."""
    x, y = (part[rows].astype(np.float32).astype(np.float64) for part in data())
    parameters = run.parameters()
    slope, bias = (float(parameters[name][epoch]) for name in ("slope", "bias"))
    return float(((slope * x + bias - y) ** 2).mean())


def rows_of_the_sets() -> dict[str, Array]:
    """The row numbers of each set, by scikit-learn."""
    train, held_out = train_test_split(np.arange(442), test_size=0.2, random_state=SEED)
    val, test = train_test_split(held_out, test_size=0.5, random_state=SEED)
    return {"train": train, "val": val, "test": test}


@PROBLEM_SET.entry("2.3", "A split 80:10:10, 150 epochs, and the best epochs", SPLIT)
def best_epochs(row: Row) -> None:
    """Hold rows out, and measure the loss on both sets after every epoch. Which epochs are best?

    The validation loss is least before the last epoch, while the training loss still falls.
    """
    run = split(row)
    kept = torch.load(run.run.split, weights_only=True)
    sets = rows_of_the_sets()
    sizes = [len(kept[name]) for name in sets]
    row.figures("rows to train, validate, test", "[353, 44, 45]", sizes, derived=True)
    numbers, theirs = ([part[name].tolist() for name in sets] for part in (kept, sets))
    row.agreement("their numbers", "scikit-learn's own split", numbers, theirs)
    least = run.json("summary.json")["least"]
    losses = {name: run.set_losses(name)[1:] for name in ("train", "val")}
    row.figures("epochs", "150", len(losses["train"]))
    for name, label in (("train", "training"), ("val", "validation")):
        anew = [mean_square(run, sets[name], epoch) for epoch in range(150)]
        row.agreement(f"{label} loss after each", "NumPy's mean square", losses[name], anew, MEAN)
        found = least[name]
        row.details[f"least {label} loss"] = f"{found['loss']:.6g} at epoch {found['epoch']}"
    found = [least[name]["epoch"] for name in losses]
    epochs = [int(np.argmin(values)) for values in losses.values()]
    name = "epochs of the least losses"
    row.agreement(name, "the least of all epochs", found, epochs)
    row.picture = run.run.figures / "epoch_losses.png"


@PROBLEM_SET.entry("2.4", "The test loss with the last parameters and with the best", SPLIT)
def last_and_best(row: Row) -> None:
    """Keep the parameters after every epoch, and test with the last and with the best ones.

    The best ones are those of the least validation loss, chosen without a look at the test set.
    """
    run = split(row)
    tested = run.json("test.json")
    rows = rows_of_the_sets()["test"]
    kept = len(run.parameters()["bias"])
    row.figures("parameters kept after so many epochs", "150", kept)
    for name in ("last", "best"):
        found, epoch = tested[name]["mse"], tested[name]["epoch"]
        anew = mean_square(run, rows, epoch)
        row.agreement(f"test loss, {name} parameters", "NumPy's mean square", found, anew, MEAN)
        row.details[f"test loss, {name}"] = f"{found:.6g} (epoch {epoch})"
    least = run.json("summary.json")["least"]["val"]["epoch"]
    best = tested["best"]["epoch"]
    row.agreement("best epoch", "that of the least validation loss", best, least)


@PROBLEM_SET.entry(
    "2.5",
    "Momentum by hand, and the learning curves of several μ",
    "linear_regression/momentum_by_hand",
    formula="b₁ = g₁, b_t = μ b_{t-1} + g_t, θ_t = θ_{t-1} - lr b_t",
)
def momentum(row: Row) -> None:
    """Write momentum by hand, and draw the learning curves of three sets of μ, coloured by μ.

    More momentum is faster, up to a point: at μ = 1 nothing is ever forgotten, and the loss swings
    up and down without end.
    """
    flag = "--model.optimizer.momentum"
    torch_sgd = ("--model.optimizer", "torch.optim.SGD", "--model.optimizer.lr", "1.0e-3")
    curves: dict[str, list[float]] = {}
    ours: list[float] = []
    theirs: list[float] = []
    for value in sorted({value for part in MOMENTA for value in part}, key=float):
        by_hand, by_torch = row.fit(flag, value), row.fit(*torch_sgd, flag, value)
        curves[value] = by_hand.set_losses("train")
        for run, kept in ((by_hand, ours), (by_torch, theirs)):
            parameters = run.parameters()
            kept += [*run.losses(), *parameters["slope"][:, 0].tolist()]
            kept += parameters["bias"].tolist()
    printed = "[[0, 0.1, 0.2, 0.3], [0, 0.5, 0.9, 1.0], [0.2, 0.4, 0.6, 0.8]]"
    row.figures("momenta drawn", printed, [[float(value) for value in part] for part in MOMENTA])
    row.agreement(
        "by hand and by torch.optim.SGD", "the same, bit for bit", ours, theirs, derived=False
    )
    equal = sum(a == b for a, b in zip(ours, theirs, strict=True))
    row.figures("equal losses, slopes and biases", "7000", equal, derived=True)
    row.picture = momentum_figure(MOMENTA, curves)
