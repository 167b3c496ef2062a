"""How the entries of the lecture slides are run."""

import json
import math

from ..objectives import WavyKink
from .claims import agreement
from .entry import Measured
from .graph_text import graph_values
from .pictures import (
    beside_each_other,
    descent_on_the_wave_figure,
    minima_figure,
    random_fits_figure,
)
from .runs import Finished, Runs

#: where a descent begins, to end in each local minimum in turn
BESIDE_THE_MINIMA = ("-4.5", "-3.0", "-1.4", "0.8", "2.2", "3.8")
WAVY_RATES = ("0.05", "0.07", "0.15")
WAVY_STARTS = ("0.5", "-2.0", "-5.0")
SEEDS = range(20)
MILESTONES = (99, 199, 299, 399, 499)

#: what the slides print at these steps
RANDOM_FIT_LOSSES = "[71.03, 1.640, 0.01561, 6.425e-05, 8.307e-08]"


def numpy_conversion(runs: Runs) -> Measured:
    """DI-1."""
    facts = runs("predict", "autograd/numpy_conversion").json("facts.json")
    types = facts["types"]
    return Measured(
        {
            "type in torch": types["torch.linspace"],
            "type from NumPy": types["torch.from_numpy"],
            "type after .float()": types["torch.from_numpy(…).float()"],
            "type back in NumPy": types["torch.linspace(…).numpy()"],
            "points in torch": facts["torch"],
            "points in NumPy": facts["numpy"],
            "largest difference": facts["largest_difference"],
        }
    )


def no_gradient(runs: Runs) -> Measured:
    """DI-2."""
    facts = runs("predict", "autograd/no_gradient_kept").json("facts.json")
    kept = f"grad_fn {facts['grad_fn']}, grad {facts['grad']}"
    return Measured({"y": facts["y"], "kept": kept})


def _sine(runs: Runs, *flags: str) -> Measured:
    run = runs("predict", "autograd/sine_graph", *flags)
    facts = run.json("facts.json")
    return Measured(
        {
            "y": facts["y"],
            "leaves that require grad": ", ".join(facts["leaves"]),
            **graph_values(run, "y"),
        },
        picture=run.run.graphs / "y_with_saved_tensors.png",
        details={"the picture": "with attributes and saved tensors (orange)"},
    )


def sine(runs: Runs) -> Measured:
    """DI-3."""
    return _sine(runs)


def sine_with_two_leaves(runs: Runs) -> Measured:
    """DI-4."""
    return _sine(runs, "--model.demonstration.c_requires_grad", "true")


def sine_slope(runs: Runs) -> Measured:
    """DI-5."""
    run = runs("predict", "derivatives/sine")
    at_five = next(row for row in run.table() if row["point"] == 5.0)
    return Measured(
        {"dy/dx": at_five["first_derivative"]}, picture=run.run.figures / "derivatives.png"
    )


def freed_graph(runs: Runs) -> Measured:
    """DI-6."""
    facts = runs("predict", "autograd/freed_graph").json("facts.json")
    return Measured({"error": facts["error"]})


def accumulation(runs: Runs) -> Measured:
    """DI-7."""
    facts = runs("predict", "autograd/accumulated_gradients").json("facts.json")
    return Measured({"gradient": facts["gradients"]})


def mean_of_logs(runs: Runs) -> Measured:
    """DI-8."""
    (row,) = runs("predict", "derivatives/mean_log").table()
    slope = [row[f"first_derivative[{i}]"] for i in range(5)]
    return Measured({"y": row["value"], "gradient": slope})


def regression_graphs(runs: Runs) -> Measured:
    """DI-9."""
    flag = "--model.demonstration.x_requires_grad"
    one = runs("predict", "autograd/regression_graph")
    two = runs("predict", "autograd/regression_graph", flag, "true")
    leaves = [", ".join(run.json("facts.json")["leaves"]) for run in (one, two)]
    pictures = [(run.run.graphs / "error.png").read_bytes() for run in (one, two)]
    return Measured(
        {
            "leaves that require grad": leaves[0],
            **graph_values(one, "error"),
            "leaves with X": leaves[1],
            **graph_values(two, "error", " with X"),
        },
        picture=beside_each_other(pictures, ["theta requires grad", "theta and X do"]),
    )


def _wavy(runs: Runs, start: str, rate: str, steps: str = "100") -> Finished:
    flags = ("--model.start", start, "--model.optimizer.lr", rate, "--trainer.max_epochs", steps)
    return runs("fit", "toy/wavy", *flags)


def minima(runs: Runs) -> Measured:
    """DI-10."""
    table = runs("predict", "derivatives/wavy").table()
    kink = next(row for row in table if row["point"] == 0.0)
    grid = table[-100:]
    ends = [_wavy(runs, start, "0.01", "150") for start in BESIDE_THE_MINIMA]
    places = [run.parameters()["theta"][-1].item() for run in ends]
    values = [run.set_losses("train")[-1] for run in ends]
    lowest = min(row["value"] for row in table)
    return Measured(
        {
            "value at the kink": kink["value"],
            "least of all values": lowest,
            "minimiser on the grid": min(grid, key=lambda row: row["value"])["point"],
            "other local minima": places,
            "their values": values,
            "slope used at the kink": kink["first_derivative"],
        },
        picture=minima_figure(WavyKink(), places, values),
        details={"convention": "sign(0) = 0, as in torch.abs; the subgradients are -1 to 3"},
    )


def _nearest_minimum(place: float) -> float:
    return min((0.0, *WavyKink.local_minima), key=lambda minimum: abs(minimum - place))


def wavy_descent(runs: Runs) -> Measured:
    """DI-11."""
    paths = {
        start: {
            rate: [float(start), *_wavy(runs, start, rate).parameters()["theta"].tolist()]
            for rate in WAVY_RATES
        }
        for start in WAVY_STARTS
    }
    ends = {start: [path[-1] for path in by_rate.values()] for start, by_rate in paths.items()}
    caught, escaped = (_nearest_minimum(end) for end in ends["-5.0"][:2])
    claim = [
        "0.05 does not escape" if abs(caught) > abs(escaped) else "0.05 escapes",
        "0.07 does" if abs(escaped) < abs(caught) else "0.07 does not",
        f"0.15 gets {'much' if abs(ends['-5.0'][2]) < abs(escaped) / 2 else 'no'} closer",
    ]
    return Measured(
        {
            "ends from 0.5, as printed": ends["0.5"],
            "ends from -2": ends["-2.0"],
            "ends from -5": ends["-5.0"],
            "the claim, from -5": ", ".join(claim),
        },
        picture=descent_on_the_wave_figure(WavyKink(), paths),
    )


def random_fits(runs: Runs) -> Measured:
    """DI-12."""
    flags = ("--best_parameters", "null", "--trainer.enable_checkpointing", "false")
    seeded = [("--seed_everything", str(seed), *flags) for seed in SEEDS]
    losses = [
        runs("fit", "two_layer_net", *each, "--trainer.limit_val_batches", "0").losses()
        for each in seeded
    ]
    at = [[run[step] for run in losses] for step in MILESTONES]
    low, high = [min(values) for values in at], [max(values) for values in at]
    return Measured(
        {"losses at steps 99, 199, 299, 399, 499": {"low": low, "high": high}},
        picture=random_fits_figure(losses, MILESTONES, json.loads(RANDOM_FIT_LOSSES)),
        details={"seeds": f"{SEEDS[0]} to {SEEDS[-1]}"},
    )


def _retained(runs: Runs, outer: str) -> dict[str, list[float]]:
    flags = ("--model.demonstration.outer", outer)
    facts: dict[str, list[float]] = runs("predict", "autograd/retained_gradients", *flags).json(
        "facts.json"
    )
    return facts


def log_of_a_product(runs: Runs) -> Measured:
    """DI-13."""
    facts = _retained(runs, "log")
    return Measured(
        {
            "y": facts["y"],
            "dz/dy": facts["dz_dy"],
            "dz/dx": facts["dz_dx"],
            "by torch.func": agreement(facts["jacobian_of_z"], facts["dz_dx"]),
            "J_yᵀ v": agreement(facts["transposed_jacobian_times_v"], facts["dz_dx"]),
        }
    )


def exponential_of_a_product(runs: Runs) -> Measured:
    """DI-14."""
    facts = _retained(runs, "exp")
    closed = [k * math.exp(20.0) for k in range(5)]
    return Measured(
        {
            "∇_x z": agreement(facts["dz_dx"], closed),
            "J_yᵀ v": agreement(facts["transposed_jacobian_times_v"], facts["dz_dx"]),
            "∇_x z / exp(bᵀx)": [slope / math.exp(20.0) for slope in facts["dz_dx"]],
        }
    )
