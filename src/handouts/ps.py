"""The problem set: automatic differentiation and SGD. Entries PS-1.1 to PS-2.5."""

from .claims import Agreement, Figures, Wording
from .entry import Entry
from .ps_runs import (
    batch_losses,
    best_epochs,
    last_and_best,
    momentum,
    rational,
    sigmoid,
    sigmoid_twice,
    ten_epochs,
    trace,
    vector_pair,
)

#: of an update on 32 rows: two passes over the batch and their means
UPDATE = 2 * (4 + 32) + 4

#: of a mean over a set in float32: prediction, error, square, and a cascade of sums
MEAN = 4 + 16

ENTRIES = (
    Entry(
        "PS-1.1",
        "f(x) = 2 / ((5 - x)² + 2²), its slope at 2",
        (Figures("f'(2)", "0.071"),),
        "derivatives/rational.yaml",
        rational,
    ),
    Entry(
        "PS-1.2",
        "The sigmoid and its derivative on -5…5",
        (
            Agreement("s' by autograd", "s (1 - s)", dtype="float64", roundings=8),
            Figures("s'(0)", "0.2500", derived=True),
        ),
        "derivatives/sigmoid.yaml",
        sigmoid,
    ),
    Entry(
        "PS-1.3",
        "f = [x² + y², 2x²y²] at x = 1.376, y = 2.123",
        (
            Figures("∂f₁/∂x", "2.752"),
            Figures("∂f₂/∂y", "16.079"),
            Agreement(
                "Jacobian",
                "[[2x, 2y], [4xy², 4x²y]]",
                dtype="float64",
                roundings=8,
                derived=True,
            ),
        ),
        "derivatives/vector_pair.yaml",
        vector_pair,
    ),
    Entry(
        "PS-1.4",
        "f(A) = trace(A²) at A = [[1, 2], [3, 4]]",
        (
            Figures("gradient", "[[2, 6], [4, 8]]"),
            Figures("element [0, 1]", "6.0"),
        ),
        "derivatives/trace_of_square.yaml",
        trace,
    ),
    Entry(
        "PS-1.5",
        "The sigmoid at 0.173: first and second derivative",
        (Figures("s'(0.173)", "0.248"), Figures("s''(0.173)", "-0.021")),
        "derivatives/sigmoid.yaml",
        sigmoid_twice,
    ),
    Entry(
        "PS-2.1",
        "A line through data: batches of 32, lr 0.01, 10 epochs, no split",
        (
            Agreement(
                "slope and bias",
                "those of a plain NumPy loop",
                dtype="float64",
                roundings=140 * UPDATE,
                derived=True,
            ),
            Agreement(
                "slope and bias from X.pt, y.pt",
                "those from the same data as shipped, bit for bit",
                derived=True,
            ),
            Figures("epochs", "10"),
            Figures("rows trained on", "442", derived=True),
        ),
        "linear_regression/ten_epochs.yaml",
        ten_epochs,
        "The print is incomplete: its files X.pt and y.pt are not public. The job is done on the "
        "diabetes data that the project ships, and again on the same data as X.pt and y.pt, which "
        "you replace by your own.",
    ),
    Entry(
        "PS-2.2",
        "The loss of every batch",
        (
            Figures("losses kept", "140", derived=True),
            Wording("in order", "yes", derived=True),
            Agreement(
                "each of them",
                "that of a plain NumPy loop",
                dtype="float64",
                roundings=140 * UPDATE,
                derived=True,
            ),
        ),
        "linear_regression/ten_epochs.yaml",
        batch_losses,
        "14 batches in each of 10 epochs: one loss for every update.",
    ),
    Entry(
        "PS-2.3",
        "A split 80:10:10, 150 epochs, and the best epochs",
        (
            Figures("rows to train, validate, test", "[353, 44, 45]", derived=True),
            Agreement("their numbers", "scikit-learn's own split", derived=True),
            Figures("epochs", "150"),
            Agreement(
                "training loss after each", "NumPy's mean square", roundings=MEAN, derived=True
            ),
            Agreement(
                "validation loss after each", "NumPy's mean square", roundings=MEAN, derived=True
            ),
            Agreement("epochs of the least losses", "the least of all epochs", derived=True),
        ),
        "linear_regression/split.yaml",
        best_epochs,
    ),
    Entry(
        "PS-2.4",
        "The test loss with the last parameters and with the best",
        (
            Figures("parameters kept after so many epochs", "150"),
            Agreement(
                "test loss, last parameters", "NumPy's mean square", roundings=MEAN, derived=True
            ),
            Agreement(
                "test loss, best parameters", "NumPy's mean square", roundings=MEAN, derived=True
            ),
            Agreement("best epoch", "that of the least validation loss", derived=True),
        ),
        "linear_regression/split.yaml",
        last_and_best,
    ),
    Entry(
        "PS-2.5",
        "Momentum by hand, and the learning curves of several μ",
        (
            Figures(
                "momenta drawn", "[[0, 0.1, 0.2, 0.3], [0, 0.5, 0.9, 1.0], [0.2, 0.4, 0.6, 0.8]]"
            ),
            Agreement("by hand and by torch.optim.SGD", "the same, bit for bit"),
            Figures("equal losses, slopes and biases", "7000", derived=True),
        ),
        "linear_regression/momentum_by_hand.yaml",
        momentum,
    ),
)
