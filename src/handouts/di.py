"""The lecture slides: PyTorch and automatic differentiation. Entries DI-1 to DI-14."""

from .claims import Agreement, Figures, Within, Wording
from .di_runs import (
    RANDOM_FIT_LOSSES,
    accumulation,
    exponential_of_a_product,
    freed_graph,
    log_of_a_product,
    mean_of_logs,
    minima,
    no_gradient,
    numpy_conversion,
    random_fits,
    regression_graphs,
    sine,
    sine_slope,
    sine_with_two_leaves,
    wavy_descent,
)
from .entry import Entry

TEN_POINTS = "[-5.0000, -3.8889, -2.7778, -1.6667, -0.5556, 0.5556, 1.6667, 2.7778, 3.8889, 5.0000]"

ENTRIES = (
    Entry(
        "DI-1",
        "Ten points from -5 to 5, by NumPy and by torch",
        (
            Wording("type in torch", "float32"),
            Wording("type from NumPy", "float64"),
            Wording("type after .float()", "float32"),
            Wording("type back in NumPy", "float32", derived=True),
            Figures("points in torch", TEN_POINTS),
            Figures("points in NumPy", TEN_POINTS),
            Figures("largest difference", "0.0000", derived=True),
        ),
        "autograd/numpy_conversion.yaml",
        numpy_conversion,
    ),
    Entry(
        "DI-2",
        "y = 3x² + x at 5, where no gradient is required",
        (Figures("y", "80"), Wording("kept", "grad_fn None, grad None")),
        "autograd/no_gradient_kept.yaml",
        no_gradient,
    ),
    Entry(
        "DI-3",
        "y = c sin x + x + c at x = 5, c = 3, and its graph",
        (
            Figures("y", "5.1232"),
            Wording("leaves that require grad", "x"),
            Wording("nodes", "AccumulateGrad, AddBackward0 (2), MulBackward0, SinBackward0, x, y"),
            Wording(
                "edges",
                "AccumulateGrad → AddBackward0, AccumulateGrad → SinBackward0, "
                "AddBackward0 → AddBackward0, AddBackward0 → y, MulBackward0 → AddBackward0, "
                "SinBackward0 → MulBackward0, x → AccumulateGrad",
            ),
        ),
        "autograd/sine_graph.yaml",
        sine,
    ),
    Entry(
        "DI-4",
        "The same with c requiring grad too",
        (
            Figures("y", "5.1232"),
            Wording("leaves that require grad", "x, c"),
            Wording(
                "nodes", "AccumulateGrad (2), AddBackward0 (2), MulBackward0, SinBackward0, c, x, y"
            ),
            Wording(
                "edges",
                "AccumulateGrad → AddBackward0 (2), AccumulateGrad → MulBackward0, "
                "AccumulateGrad → SinBackward0, AddBackward0 → AddBackward0, AddBackward0 → y, "
                "MulBackward0 → AddBackward0, SinBackward0 → MulBackward0, c → AccumulateGrad, "
                "x → AccumulateGrad",
            ),
        ),
        "autograd/sine_graph.yaml",
        sine_with_two_leaves,
    ),
    Entry(
        "DI-5",
        "The slope of DI-3 by backward",
        (Figures("dy/dx", "1.8510"),),
        "derivatives/sine.yaml",
        sine_slope,
    ),
    Entry(
        "DI-6",
        "A second backward through the freed graph",
        (Wording("error", "RuntimeError: Trying to backward through the graph a second time…"),),
        "autograd/freed_graph.yaml",
        freed_graph,
    ),
    Entry(
        "DI-7",
        "y = 3x² at 5: backward, again, zeroed, and again",
        (Figures("gradient", "[30, 60, 0, 30]"),),
        "autograd/accumulated_gradients.yaml",
        accumulation,
    ),
    Entry(
        "DI-8",
        "y = mean(ln(x² + 1) + 5x) at 0, 1, 2, 3, 4",
        (
            Figures("y", "11.4877"),
            Figures("gradient", "[1.0000, 1.2000, 1.1600, 1.1200, 1.0941]"),
        ),
        "derivatives/mean_log.yaml",
        mean_of_logs,
    ),
    Entry(
        "DI-9",
        "The graph of a regression's error, without and with X requiring grad",
        (
            Wording("leaves that require grad", "theta"),
            Wording(
                "nodes",
                "AccumulateGrad, MeanBackward0, MmBackward0, PowBackward0, SubBackward0, error, "
                "theta",
            ),
            Wording(
                "edges",
                "AccumulateGrad → MmBackward0, MeanBackward0 → error, MmBackward0 → SubBackward0, "
                "PowBackward0 → MeanBackward0, SubBackward0 → PowBackward0, theta → AccumulateGrad",
            ),
            Wording("leaves with X", "theta, X"),
            Wording(
                "nodes with X",
                "AccumulateGrad (2), MeanBackward0, MeanBackward1, MmBackward0, PowBackward0, "
                "SubBackward0, X, error, theta",
            ),
            Wording(
                "edges with X",
                "AccumulateGrad → MeanBackward1, AccumulateGrad → MmBackward0 (2), "
                "MeanBackward0 → error, MeanBackward1 → SubBackward0, MmBackward0 → SubBackward0, "
                "PowBackward0 → MeanBackward0, SubBackward0 → PowBackward0, X → AccumulateGrad, "
                "theta → AccumulateGrad",
            ),
        ),
        "autograd/regression_graph.yaml",
        regression_graphs,
        "With X requiring grad the targets are part of the graph too (MeanBackward1), since they "
        "are the row means of X.",
    ),
    Entry(
        "DI-10",
        "θ cos 4θ + 2|θ| on [-5, 5]: the kink, and the other minima",
        (
            Figures("value at the kink", "0.0000", derived=True),
            Figures("least of all values", "0.0000", derived=True),
            Figures("minimiser on the grid", "-0.0505", derived=True),
            Figures(
                "other local minima",
                "[-4.6991, -3.1215, -1.5292, 0.6838, 2.3292, 3.9110]",
                derived=True,
            ),
            Figures(
                "their values", "[4.7057, 3.1316, 1.5503, 0.7395, 2.3428, 3.9190]", derived=True
            ),
            Figures("slope used at the kink", "1.0000", derived=True),
        ),
        "derivatives/wavy.yaml",
        minima,
        "The grid of 100 points does not contain the kink. The local minima are the ends of real "
        "descents that begin beside them.",
    ),
    Entry(
        "DI-11",
        "Gradient descent on DI-10, 100 steps, three learning rates",
        (
            Figures("ends from 0.5, as printed", "[0.6838, 0.6838, 0.6838]", derived=True),
            Figures("ends from -2", "[-1.529, -1.529, 0.112]", derived=True),
            Figures("ends from -5", "[-2.855, -1.529, -0.295]", derived=True),
            Wording("the claim, from -5", "0.05 does not escape, 0.07 does, 0.15 gets much closer"),
        ),
        "toy/wavy.yaml",
        wavy_descent,
        "The print is wrong: from its start, 0.5, all three learning rates (0.05, 0.07, 0.15) end "
        "in the same local minimum. What it claims of them holds from -5, and in part from -2. Its "
        "code also skips the first gradient, and its plotting function reads an undefined name.",
    ),
    Entry(
        "DI-12",
        "Two layers fitted to one random batch by Adam, 500 steps",
        (
            Within(
                "losses at steps 99, 199, 299, 399, 499",
                RANDOM_FIT_LOSSES,
            ),
        ),
        "two_layer_net.yaml",
        random_fits,
        "The print is incomplete: it states no seed, so its figures cannot come out digit by "
        "digit. They are held to the range over 20 seeds instead.",
    ),
    Entry(
        "DI-13",
        "Backward is a Jacobian-transpose-vector product: z = ln(bᵀx)",
        (
            Figures("y", "20"),
            Figures("dz/dy", "0.0500"),
            Figures("dz/dx", "[0, 0.05, 0.10, 0.15, 0.20]"),
            Agreement("by torch.func", "dz/dx", dtype="float64", roundings=4, derived=True),
            Agreement("J_yᵀ v", "dz/dx", dtype="float64", roundings=4, derived=True),
        ),
        "autograd/retained_gradients.yaml",
        log_of_a_product,
    ),
    Entry(
        "DI-14",
        "The same for z = exp(bᵀx)",
        (
            Agreement("∇_x z", "b exp(bᵀx)", dtype="float64", roundings=4, derived=True),
            Agreement("J_yᵀ v", "∇_x z", dtype="float64", roundings=4),
            Figures("∇_x z / exp(bᵀx)", "[0.0000, 1.0000, 2.0000, 3.0000, 4.0000]", derived=True),
        ),
        "autograd/retained_gradients.yaml",
        exponential_of_a_product,
    ),
)
