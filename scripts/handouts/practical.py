"""The practical: linear dynamics. Entries TP-1.1 to TP-1.3."""

import math
import re
from collections.abc import Sequence
from itertools import pairwise
from statistics import linear_regression

from torch import Tensor

from descentlab.demonstrations.tensors import ACCELERATORS, NOT_PRESENT, devices_present
from descentlab.drawing.batch_losses import batch_loss_figure
from descentlab.drawing.curves import learning_curve_figure
from descentlab.drawing.graphs import to_png, to_svg
from descentlab.handouts import Finished, Handout, Row, edge_text, node_text
from descentlab.modules import LinearDynamics
from descentlab.objectives import initial_states
from handouts.pictures import beside_each_other, stable_rates_figure

PRACTICAL = Handout(
    "TP",
    "A practical: linear dynamics",
    "A French practical, an introduction to PyTorch: a state moves by θ at each of T time steps, "
    "x_{t+1} = x_t + θ, from x₀ ~ N(1, 1), and is to be back at 1 in the end.",
)

HORIZON = 20
RATE = 1.25e-3
SEED = 42
QUANTITY = LinearDynamics.quantity
#: the accelerators that Lightning trains on, beside the CPU
TRAINABLE = ("cuda", "mps")

HORIZONS = (3, 20, 200, 2000)

#: T sums, a difference and a square for each state, a cascade of sums, and the same way back
ROUNDINGS = 2 * (HORIZON + 16)


def sample() -> Tensor:
    """The mini-batch, as the module gets it, in float64."""
    return initial_states(1024, 1.0, 1.0, SEED).float().double()


def thetas(finished: Finished) -> list[float]:
    """The parameter before the first step and after every step."""
    return [1.0, *finished.parameters()["theta"].tolist()]


def minimiser(horizon: int = HORIZON) -> float:
    """The best θ: (1 - mean x₀) / T."""
    return (1 - float(sample().mean())) / horizon


@PRACTICAL.entry("1.1", "Which devices are here, and a sum on each", "autograd/devices")
def devices(row: Row) -> None:
    """Report torch's version and the accelerators, and add [11, 11] to itself on each device."""
    facts = row.predict().json("facts.json")
    for kind in ("cpu", *ACCELERATORS):
        there = None if facts["sums"][kind] == NOT_PRESENT else facts["sums"][kind]
        row.figures(f"sum on {kind}", "[22, 22]", there, optional=kind != "cpu")
    row.details = {"torch": facts["torch"], "GPUs": "; ".join(facts["gpus"]) or NOT_PRESENT}


@PRACTICAL.entry(
    "1.2a",
    "The loss of 20 time steps, and its slope at θ = 1",
    "linear_dynamics/gd_by_hand",
    formula="L_T(θ) = E(x_T - 1)² = 1 + T²θ², dL_T/dθ = 2T²θ",
    note="The expectations are estimated on 2²⁰ states: on 1024 the estimate of 401 would be "
    "uncertain by 1.3.",
)
def loss_and_gradient(row: Row) -> None:
    """Let x move T times, and find the loss on a fixed mini-batch and its slope by autograd.

    The mini-batch has a loss and a slope of its own, near those in expectation.
    """
    run = row.fit()
    many = row.fit("--data.n", "1048576", "--trainer.max_epochs", "1")
    end = sample() - 1 + HORIZON
    gradient, expected = ((1 - thetas(each)[1]) / RATE for each in (run, many))
    loss, found = run.losses()[0], many.losses()[0]
    mean = (end**2).mean()
    row.agreement("L on the sample", "mean((x₀ - 1 + Tθ)²)", loss, mean, ROUNDINGS)
    row.agreement(
        "∂L/∂θ on the sample", "2T mean(x₀ - 1 + Tθ)", gradient, 2 * HORIZON * end.mean(), ROUNDINGS
    )
    row.figures("L in expectation", "401", found, derived=True)
    row.figures("∂L/∂θ in expectation", "800", expected, derived=True)
    row.details["sample"] = f"1024 states, seed {SEED}: L = {loss:.6g}"


@PRACTICAL.entry(
    "1.2b",
    "Gradient descent by hand: where it is stable, and where one step is enough",
    "linear_dynamics/gd_by_hand",
    formula="θ_{k+1} - θ* = (1 - 2T² lr)(θ_k - θ*), with θ* = (1 - mean x₀) / T",
)
def descent_by_hand(row: Row) -> None:
    """Write gradient descent by hand, from θ = 1 with T = 20. Which steps are small enough?

    The loss is a parabola of curvature 2T². At 1/(2T²) one step lands on its minimum; just below
    1/T² the descent still converges, from side to side, and just above it diverges.
    """
    flag = "--model.optimizer.lr"
    rates = ("2.4e-3", "2.6e-3")
    one_step, (below, above) = row.fit(), (row.fit(flag, rate) for rate in rates)
    errors = [[theta - minimiser() for theta in thetas(run)] for run in (below, above)]
    curvature = (1 - errors[0][1] / errors[0][0]) / 2.4e-3
    row.figures("curvature", "800", curvature, derived=True)
    row.figures("stable below", "0.0025", 2 / curvature, derived=True)
    row.figures("lr that lands in one step", "0.00125", 1 / curvature, derived=True)
    row.agreement(
        "θ after one step",
        "(1 - mean x₀) / T",
        thetas(one_step)[1],
        minimiser(),
        ROUNDINGS,
        scale=1.0,
    )
    answers = ["converges" if abs(e[-1]) < abs(e[0]) else "diverges" for e in errors]
    row.wording("at lr = 0.0024", "converges", answers[0], derived=True)
    row.wording("at lr = 0.0026", "diverges", answers[1], derived=True)
    named = {"0.00125": one_step, "0.0024": below, "0.0026": above}
    curves = {f"lr {name}": run.set_losses("train") for name, run in named.items()}
    row.picture = learning_curve_figure(range(-1, len(errors[0]) - 1), curves, QUANTITY)


@PRACTICAL.entry("1.2c", "The same with torch.optim.SGD", "linear_dynamics/sgd")
def same_as_torch(row: Row) -> None:
    """Replace the rule by torch.optim.SGD, and compare.

    The numbers are equal, bit for bit.
    """
    ours, theirs = thetas(row.fit(config="linear_dynamics/gd_by_hand"))[1:], thetas(row.fit())[1:]
    same = "that of the hand-written rule, bit for bit"
    row.agreement("θ after every step", same, ours, theirs)
    equal = sum(a == b for a, b in zip(ours, theirs, strict=True))
    row.figures("steps that are equal, of 10", "10", equal, derived=True)


@PRACTICAL.entry(
    "1.2d",
    "T = 200 at the rate that was right for T = 20",
    "linear_dynamics/horizon_200",
    formula="1 - 2T² lr = 1 - 2 · 200² · 0.00125 = -99",
)
def old_rate(row: Row) -> None:
    """Take the learning rate that was right for T = 20 to T = 200. What happens?

    Each step multiplies the distance from the minimum by -99, and the loss by 9801, until it is no
    finite number any more; the run then stops, and says below which rate it would have been stable.
    """
    run = row.fit(fails=True)
    start, first, second = (theta - minimiser(200) for theta in thetas(run)[:3])
    factors = [first / start, second / first]
    row.figures("factor of the error, first two steps", "[-99, -99]", factors, derived=True)
    row.figures("exit status", "1", run.status, derived=True)
    message = run.message.split("error: ")[-1].split("; what was finished")[0]
    patterns = {
        "the step": r"loss at step \d+",
        "the loss": r"is (inf|nan).*last finite loss was [\d.e+-]+",
        "the stable bound": r"stable below [\d.e+-]+",
    }
    named = [name for name, pattern in patterns.items() if re.search(pattern, message)]
    row.wording("the message names", ", ".join(patterns), ", ".join(named), derived=True)
    bound = re.search(r"stable below ([\d.e+-]+)", message)
    says = float(bound[1]) if bound else None
    row.figures("stable below, says the message", "2.5e-05", says, derived=True)
    row.picture = batch_loss_figure(run.losses(), quantity=QUANTITY)
    row.details["the message"] = message


@PRACTICAL.entry(
    "1.2e",
    "The learning rate for any T: below 1/T²",
    "linear_dynamics/stable_rate",
    formula="lr < 2 / curvature = 2 / (2T²) = 1 / T²",
    note="Found from the loss alone: nothing tells the search that the loss is a parabola, or what "
    "T is.",
)
def rate_for_any_horizon(row: Row) -> None:
    """How should the learning rate be set for any T? Try T = 3, 20, 200 and 2000.

    The rates at which real steps begin to grow lie on the line of 1/T².
    """
    found = [
        row.predict("--model.module.horizon", str(horizon)).json("stability.json")
        for horizon in HORIZONS
    ]
    observed = [each["observed"] for each in found]
    printed = "[0.1111, 0.002500, 2.500e-05, 2.500e-07]"
    row.figures("stable below, by real steps", printed, observed, derived=True)
    curvatures = [each["largest_curvature"] for each in found]
    printed = "[18, 800, 80000, 8000000]"
    row.figures("curvature, by power iteration", printed, curvatures, derived=True)
    logarithms = [list(map(math.log, each)) for each in (HORIZONS, observed)]
    power = linear_regression(*logarithms).slope
    row.figures("the power of T that they follow", "-2.000", power, derived=True)
    worst = max(abs(rate * t**2 - 1) for t, rate in zip(HORIZONS, observed, strict=True))
    row.details["largest distance from 1/T²"] = f"{worst:.2%}"
    row.picture = stable_rates_figure(HORIZONS, observed)


@PRACTICAL.entry(
    "1.2f",
    "The same on the CPU and on each accelerator, and how long a step takes",
    "linear_dynamics/gd_by_hand",
)
def on_every_device(row: Row) -> None:
    """Move the descent to a GPU. Is θ the same, and is it faster?

    θ is the same up to rounding. A step here is a few sums of 1024 numbers, too little work for a
    GPU to be faster.
    """
    paths: dict[str, list[float]] = {}
    for kind in ("cpu", *TRAINABLE):
        if not devices_present()[kind]:
            row.details[f"time per step on {kind}"] = NOT_PRESENT
            continue
        accelerator = ("--trainer.accelerator", "cpu" if kind == "cpu" else "gpu")
        flags = ("--trainer.max_epochs", "60", "--trainer.limit_val_batches", "0")
        run = row.fit(*accelerator, *flags, keep=("accelerator_timer",))
        paths[kind] = thetas(run)[1:]
        timing = run.json("timing.json")  # an epoch is one step here, and the first is left out
        row.details[f"time per step on {timing['device']}"] = (
            f"{timing['epoch']['median'] * 1e6:.0f} µs (median of {timing['epoch']['count']}, "
            f"threads: {timing['threads']})"
        )

    def same(kind: str, printed: str, expected: Sequence[float]) -> None:
        row.agreement(
            f"θ on {kind}",
            printed,
            paths.get(kind),
            expected,
            ROUNDINGS,
            scale=1.0,
            optional=kind != "cpu",
        )

    steps = len(paths["cpu"])
    same("cpu", "(1 - mean x₀) / T at every step", [minimiser()] * steps)
    for kind in TRAINABLE:
        same(kind, "that on the CPU", paths["cpu"])
    row.figures("steps on cpu", "60", steps, derived=True)


def expected_graph(horizon: int) -> str:
    """The graph that must come out, as DOT: θ feeds each of T additions, which make a chain."""
    sums = [f"sum{t}" for t in range(horizon)]
    chain = [*sums, "SubBackward0", "PowBackward0", "MeanBackward0", "loss"]
    names = [f"\t{name} [label=AddBackward0]" for name in sums]
    names += [f"\t{name} [label={name}]" for name in ("theta", "AccumulateGrad", *chain[horizon:])]
    arrows = [("theta", "AccumulateGrad"), *(("AccumulateGrad", name) for name in sums)]
    arrows += pairwise(chain)
    style = "\tnode [fontname=Courier fontsize=10 height=0.2 shape=box style=filled]"
    lines = ["digraph {", style, *names, *(f"\t{a} -> {b}" for a, b in arrows), "}"]
    return "\n".join(lines) + "\n"


@PRACTICAL.entry(
    "1.3",
    "The computational graph of the loss, T = 3",
    "linear_dynamics/graph",
    formula="L = mean((((x₀ + θ) + θ) + θ - 1)²)",
)
def graph(row: Row) -> None:
    """Draw the computational graph of the loss with respect to θ, for T = 3.

    θ goes into each of the three additions, so that three ways lead back to it, and its gradient is
    the sum of three.
    """
    expected, recorded = expected_graph(3), row.fit(keep=("graph_export",)).graph("loss")
    row.wording("nodes", node_text(expected), node_text(recorded), derived=True)
    row.wording("edges", edge_text(expected), edge_text(recorded), derived=True)
    dots = {"what must come out": expected, "what torch recorded": recorded}
    row.picture = beside_each_other({t: to_png(to_svg(dot)) for t, dot in dots.items()})
