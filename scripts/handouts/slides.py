"""The slides: PyTorch and automatic differentiation. Entries DI-1 to DI-14."""

import json
import math

from descentlab.handouts import Finished, Handout, Row, edge_text, node_text
from descentlab.objectives import WavyKink
from handouts.pictures import (
    beside_each_other,
    descent_on_the_wave_figure,
    minima_figure,
    random_fits_figure,
)

SLIDES = Handout(
    "DI",
    "Lecture slides: PyTorch and automatic differentiation",
    "Slides of a lecture, with code to be tried and the figures that it prints.",
)

TEN_POINTS = "[-5.0000, -3.8889, -2.7778, -1.6667, -0.5556, 0.5556, 1.6667, 2.7778, 3.8889, 5.0000]"
#: where a descent begins, to end in each local minimum in turn
BESIDE_THE_MINIMA = ("-4.5", "-3.0", "-1.4", "0.8", "2.2", "3.8")
WAVY_RATES = ("0.05", "0.07", "0.15")
WAVY_STARTS = ("0.5", "-2.0", "-5.0")
SEEDS = range(20)
MILESTONES = (99, 199, 299, 399, 499)


@SLIDES.entry("1", "Ten points from -5 to 5, by NumPy and by torch", "autograd/numpy_conversion")
def numpy_conversion(row: Row) -> None:
    """Make ten points from -5 to 5 in NumPy and in torch, and convert both ways. Which types?

    torch makes float32 where NumPy makes float64, and a conversion keeps the type that is there.
    """
    facts = row.predict().json("facts.json")
    types = facts["types"]
    row.wording("type in torch", "float32", types["torch.linspace"])
    row.wording("type from NumPy", "float64", types["torch.from_numpy"])
    row.wording("type after .float()", "float32", types["torch.from_numpy(…).float()"])
    back = types["torch.linspace(…).numpy()"]
    row.wording("type back in NumPy", "float32", back, derived=True)
    row.figures("points in torch", TEN_POINTS, facts["torch"])
    row.figures("points in NumPy", TEN_POINTS, facts["numpy"])
    row.figures("largest difference", "0.0000", facts["largest_difference"], derived=True)


@SLIDES.entry(
    "2",
    "y = 3x² + x at 5, where no gradient is required",
    "autograd/no_gradient_kept",
    formula="y = 3x² + x",
)
def no_gradient(row: Row) -> None:
    """Find y where x requires no gradient. What does torch keep?

    The value alone: there is no node of a graph, and no gradient.
    """
    facts = row.predict().json("facts.json")
    row.figures("y", "80", facts["y"])
    kept = f"grad_fn {facts['grad_fn']}, grad {facts['grad']}"
    row.wording("kept", "grad_fn None, grad None", kept)


def sine_graph(row: Row, leaves: str, nodes: str, edges: str, *flags: str) -> None:
    """Claim the value and the graph of the sine, and show the graph."""
    run = row.predict(*flags)
    facts = run.json("facts.json")
    row.figures("y", "5.1232", facts["y"])
    row.wording("leaves that require grad", leaves, ", ".join(facts["leaves"]))
    row.wording("nodes", nodes, node_text(run.graph("y")))
    row.wording("edges", edges, edge_text(run.graph("y")))
    row.picture = run.run.graphs / "y_with_saved_tensors.png"
    row.details["the picture"] = "with attributes and saved tensors (orange)"


@SLIDES.entry(
    "3",
    "y = c sin x + x + c at x = 5, c = 3, and its graph",
    "autograd/sine_graph",
    formula="y = c sin x + x + c",
)
def sine(row: Row) -> None:
    """Find y with x requiring a gradient, and draw the graph, with all that was saved for backward.

    x alone is a leaf. c is there only as a saved tensor: the product needs it for the slope in x.
    """
    sine_graph(
        row,
        "x",
        "AccumulateGrad, AddBackward0 (2), MulBackward0, SinBackward0, x, y",
        "AccumulateGrad → AddBackward0, AccumulateGrad → SinBackward0, "
        "AddBackward0 → AddBackward0, AddBackward0 → y, MulBackward0 → AddBackward0, "
        "SinBackward0 → MulBackward0, x → AccumulateGrad",
    )


@SLIDES.entry("4", "The same with c requiring grad too", "autograd/sine_graph")
def sine_with_two_leaves(row: Row) -> None:
    """Let c require a gradient too, and compare the two graphs.

    c is a second leaf, with two ways back to it: by the product and by the sum.
    """
    sine_graph(
        row,
        "x, c",
        "AccumulateGrad (2), AddBackward0 (2), MulBackward0, SinBackward0, c, x, y",
        "AccumulateGrad → AddBackward0 (2), AccumulateGrad → MulBackward0, "
        "AccumulateGrad → SinBackward0, AddBackward0 → AddBackward0, AddBackward0 → y, "
        "MulBackward0 → AddBackward0, SinBackward0 → MulBackward0, c → AccumulateGrad, "
        "x → AccumulateGrad",
        "--model.demonstration.c_requires_grad",
        "true",
    )


@SLIDES.entry(
    "5", "The slope of DI-3 by backward", "derivatives/sine", formula="dy/dx = c cos x + 1"
)
def sine_slope(row: Row) -> None:
    """Call backward on y. What is the slope at x = 5?

    The second panel is the slope of the first: at x = 5 it is 1.851.
    """
    run = row.predict()
    at_five = next(each for each in run.table() if each["point"] == 5.0)
    row.figures("dy/dx", "1.8510", at_five["first_derivative"])
    row.picture = run.run.figures / "derivatives.png"


@SLIDES.entry("6", "A second backward through the freed graph", "autograd/freed_graph")
def freed_graph(row: Row) -> None:
    """Call backward a second time on the same y. What does torch say?

    The first backward frees what was saved, so the way back can be walked once only.
    """
    row.wording(
        "error",
        "RuntimeError: Trying to backward through the graph a second time…",
        row.predict().json("facts.json")["error"],
    )


@SLIDES.entry(
    "7",
    "y = 3x² at 5: backward, again, zeroed, and again",
    "autograd/accumulated_gradients",
    formula="dy/dx = 6x = 30",
)
def accumulation(row: Row) -> None:
    """Call backward on two such y without zeroing, then zero the gradient, then call it once more.

    30 is added to 30; after zeroing it is 30 again.
    """
    row.figures("gradient", "[30, 60, 0, 30]", row.predict().json("facts.json")["gradients"])


@SLIDES.entry(
    "8",
    "y = mean(ln(x² + 1) + 5x) at 0, 1, 2, 3, 4",
    "derivatives/mean_log",
    formula="∂y/∂x_i = (2x_i / (x_i² + 1) + 5) / 5",
)
def mean_of_logs(row: Row) -> None:
    """Find the mean and its gradient, one number for each of the five points.

    Each number has a fifth of its own slope, since y is the mean of five.
    """
    (found,) = row.predict().table()
    row.figures("y", "11.4877", found["value"])
    slope = [found[f"first_derivative[{i}]"] for i in range(5)]
    row.figures("gradient", "[1.0000, 1.2000, 1.1600, 1.1200, 1.0941]", slope)


@SLIDES.entry(
    "9",
    "The graph of a regression's error, without and with X requiring grad",
    "autograd/regression_graph",
    formula="error = mean((Xθ - y)²), with y the row means of X",
    note="With X requiring grad the targets are part of the graph too (MeanBackward1), since they "
    "are the row means of X.",
)
def regression_graphs(row: Row) -> None:
    """Draw the graph of a regression's error, first as it is, then with X requiring a gradient.

    On the left θ is the only leaf. On the right X is another, and its gradient comes in two ways.
    """
    one = row.predict()
    two = row.predict("--model.demonstration.x_requires_grad", "true")
    leaves = [", ".join(run.json("facts.json")["leaves"]) for run in (one, two)]
    row.wording("leaves that require grad", "theta", leaves[0])
    row.wording(
        "nodes",
        "AccumulateGrad, MeanBackward0, MmBackward0, PowBackward0, SubBackward0, error, theta",
        node_text(one.graph("error")),
    )
    row.wording(
        "edges",
        "AccumulateGrad → MmBackward0, MeanBackward0 → error, MmBackward0 → SubBackward0, "
        "PowBackward0 → MeanBackward0, SubBackward0 → PowBackward0, theta → AccumulateGrad",
        edge_text(one.graph("error")),
    )
    row.wording("leaves with X", "theta, X", leaves[1])
    row.wording(
        "nodes with X",
        "AccumulateGrad (2), MeanBackward0, MeanBackward1, MmBackward0, PowBackward0, "
        "SubBackward0, X, error, theta",
        node_text(two.graph("error")),
    )
    row.wording(
        "edges with X",
        "AccumulateGrad → MeanBackward1, AccumulateGrad → MmBackward0 (2), "
        "MeanBackward0 → error, MeanBackward1 → SubBackward0, MmBackward0 → SubBackward0, "
        "PowBackward0 → MeanBackward0, SubBackward0 → PowBackward0, X → AccumulateGrad, "
        "theta → AccumulateGrad",
        edge_text(two.graph("error")),
    )
    titled = {"theta requires grad": one, "theta and X require grad": two}
    row.picture = beside_each_other(
        {title: (run.run.graphs / "error.png").read_bytes() for title, run in titled.items()}
    )


def wavy(row: Row, start: str, rate: str, steps: str = "100") -> Finished:
    """Descend on the wave."""
    flags = ("--model.start", start, "--model.optimizer.lr", rate, "--trainer.max_epochs", steps)
    return row.fit(*flags, config="toy/wavy")


@SLIDES.entry(
    "10",
    "θ cos 4θ + 2|θ| on [-5, 5]: the kink, and the other minima",
    "derivatives/wavy",
    formula="f(θ) = θ cos 4θ + 2|θ|, f'(θ) = cos 4θ - 4θ sin 4θ + 2 sign θ",
    note="The grid of 100 points does not contain the kink. The local minima are the ends of real "
    "descents that begin beside them.",
)
def minima(row: Row) -> None:
    """Draw the objective on [-5, 5], and find its minimiser on a grid of 100 points.

    The least value is at a kink, where there is no derivative; gradient descent ends in whichever
    minimum it begins beside.
    """
    table = row.predict().table()
    kink = next(each for each in table if each["point"] == 0.0)
    lowest = min(table[-100:], key=lambda each: each["value"])
    row.figures("value at the kink", "0.0000", kink["value"], derived=True)
    least = min(each["value"] for each in table)
    row.figures("least of all values", "0.0000", least, derived=True)
    row.figures("minimiser on the grid", "-0.0505", lowest["point"], derived=True)
    ends = [wavy(row, start, "0.01", "150") for start in BESIDE_THE_MINIMA]
    places = [run.parameters()["theta"][-1].item() for run in ends]
    values = [run.set_losses("train")[-1] for run in ends]
    printed = "[-4.6991, -3.1215, -1.5292, 0.6838, 2.3292, 3.9110]"
    row.figures("other local minima", printed, places, derived=True)
    printed = "[4.7057, 3.1316, 1.5503, 0.7395, 2.3428, 3.9190]"
    row.figures("their values", printed, values, derived=True)
    row.figures("slope used at the kink", "1.0000", kink["first_derivative"], derived=True)
    row.picture = minima_figure(WavyKink(), places, values)
    row.details["convention"] = "sign(0) = 0, as in torch.abs; the subgradients are -1 to 3"


def nearest_minimum(place: float) -> float:
    """The local minimum that is nearest to a place."""
    return min((0.0, *WavyKink.local_minima), key=lambda minimum: abs(minimum - place))


@SLIDES.entry(
    "11",
    "Gradient descent on DI-10, 100 steps, three learning rates",
    "toy/wavy",
    formula="θ_{k+1} = θ_k - lr f'(θ_k)",
    note="The print is wrong: from its start, 0.5, all three learning rates (0.05, 0.07, 0.15) end "
    "in the same local minimum. What it claims of them holds from -5, and in part from -2. Its "
    "code also skips the first gradient, and its plotting function reads an undefined name.",
)
def wavy_descent(row: Row) -> None:
    """Descend a hundred steps at 0.05, 0.07 and 0.15. Which rate leaves the local minimum?

    From 0.5, as printed, none does. From -5 the small steps are caught in the first valleys, and
    the large ones jump over them to the kink.
    """
    paths = {
        start: {
            rate: [float(start), *wavy(row, start, rate).parameters()["theta"].tolist()]
            for rate in WAVY_RATES
        }
        for start in WAVY_STARTS
    }
    ends = {start: [path[-1] for path in by_rate.values()] for start, by_rate in paths.items()}
    printed = "[0.6838, 0.6838, 0.6838]"
    row.figures("ends from 0.5, as printed", printed, ends["0.5"], derived=True)
    row.figures("ends from -2", "[-1.529, -1.529, 0.112]", ends["-2.0"], derived=True)
    row.figures("ends from -5", "[-2.855, -1.529, -0.295]", ends["-5.0"], derived=True)
    caught, escaped = (nearest_minimum(end) for end in ends["-5.0"][:2])
    claim = [
        "0.05 does not escape" if abs(caught) > abs(escaped) else "0.05 escapes",
        "0.07 does" if abs(escaped) < abs(caught) else "0.07 does not",
        f"0.15 gets {'much' if abs(ends['-5.0'][2]) < abs(escaped) / 2 else 'no'} closer",
    ]
    printed = "0.05 does not escape, 0.07 does, 0.15 gets much closer"
    row.wording("the claim, from -5", printed, ", ".join(claim))
    row.picture = descent_on_the_wave_figure(WavyKink(), paths)


@SLIDES.entry(
    "12",
    "Two layers fitted to one random batch by Adam, 500 steps",
    "two_layer_net",
    formula="loss = Σ (W₂ max(0, W₁x + b₁) + b₂ - y)², 1000 → 100 → 10 units, 64 rows",
    note="The print is incomplete: it states no seed, so its figures cannot come out digit by "
    "digit. They are held to the range over 20 seeds instead.",
)
def random_fits(row: Row) -> None:
    """Fit two layers to one batch of noise by Adam at 0.0001, and print every hundredth loss.

    The network learns the noise by heart. How fast depends on the seed: after 500 steps the losses
    lie four powers of ten apart.
    """
    flags = ["--best_parameters", "null", "--trainer.enable_checkpointing", "false"]
    flags += ["--trainer.limit_val_batches", "0"]
    losses = [row.fit("--seed_everything", str(seed), *flags).losses() for seed in SEEDS]
    at = [[run[step] for run in losses] for step in MILESTONES]
    printed = "[71.03, 1.640, 0.01561, 6.425e-05, 8.307e-08]"
    name = f"losses at steps {', '.join(map(str, MILESTONES))}"
    row.within(name, printed, [min(values) for values in at], [max(values) for values in at])
    row.picture = random_fits_figure(losses, MILESTONES, json.loads(printed))
    row.details["seeds"] = f"{SEEDS[0]} to {SEEDS[-1]}"


def retained(row: Row, outer: str) -> dict[str, list[float]]:
    """The gradients that were kept, with a logarithm or an exponential around the product."""
    run = row.predict("--model.demonstration.outer", outer)
    facts: dict[str, list[float]] = run.json("facts.json")
    return facts


@SLIDES.entry(
    "13",
    "Backward is a Jacobian-transpose-vector product: z = ln(bᵀx)",
    "autograd/retained_gradients",
    formula="∇_x z = J_yᵀ v, with y = bᵀx, J_y = bᵀ and v = dz/dy = 1/y",
)
def log_of_a_product(row: Row) -> None:
    """Keep the gradient at y, and compare backward with a product by the transposed Jacobian.

    y is no leaf, and keeps its gradient only where that is asked for.
    """
    facts = retained(row, "log")
    slope, transposed = facts["dz_dx"], facts["transposed_jacobian_times_v"]
    row.figures("y", "20", facts["y"])
    row.figures("dz/dy", "0.0500", facts["dz_dy"])
    row.figures("dz/dx", "[0, 0.05, 0.10, 0.15, 0.20]", slope)
    by_func = facts["jacobian_of_z"]
    row.agreement("by torch.func", "dz/dx", by_func, slope, 4, "float64")
    row.agreement("J_yᵀ v", "dz/dx", transposed, slope, 4, "float64")


@SLIDES.entry(
    "14", "The same for z = exp(bᵀx)", "autograd/retained_gradients", formula="∇_x z = b exp(bᵀx)"
)
def exponential_of_a_product(row: Row) -> None:
    """Do the same with the exponential around the product.

    The gradient is again b times one number, the slope of what is around it.
    """
    facts = retained(row, "exp")
    slope, transposed = facts["dz_dx"], facts["transposed_jacobian_times_v"]
    closed = [k * math.exp(20.0) for k in range(5)]
    row.agreement("∇_x z", "b exp(bᵀx)", slope, closed, 4, "float64")
    row.agreement("J_yᵀ v", "∇_x z", transposed, slope, 4, "float64", derived=False)
    ratios = [each / math.exp(20.0) for each in slope]
    printed = "[0.0000, 1.0000, 2.0000, 3.0000, 4.0000]"
    row.figures("∇_x z / exp(bᵀx)", printed, ratios, derived=True)
