"""The practical: linear dynamics. Entries TP-1.1 to TP-1.3."""

from ..demonstrations.tensors import ACCELERATORS
from .claims import Agreement, Figures, Wording
from .entry import Entry
from .tp_runs import (
    ROUNDINGS,
    TRAINABLE,
    descent_by_hand,
    devices,
    graph,
    loss_and_gradient,
    old_rate,
    on_every_device,
    rate_for_any_horizon,
    same_as_torch,
)

ENTRIES = (
    Entry(
        "TP-1.1",
        "Which devices are here, and a sum on each",
        (
            Figures("sum on cpu", "[22, 22]"),
            *(Figures(f"sum on {kind}", "[22, 22]", optional=True) for kind in ACCELERATORS),
        ),
        "autograd/devices.yaml",
        devices,
    ),
    Entry(
        "TP-1.2a",
        "The loss of 20 time steps, and its slope at θ = 1",
        (
            Agreement("L on the sample", "mean((x₀ - 1 + Tθ)²)", roundings=ROUNDINGS, derived=True),
            Agreement(
                "∂L/∂θ on the sample", "2T mean(x₀ - 1 + Tθ)", roundings=ROUNDINGS, derived=True
            ),
            Figures("L in expectation", "401", derived=True),
            Figures("∂L/∂θ in expectation", "800", derived=True),
        ),
        "linear_dynamics/gd_by_hand.yaml",
        loss_and_gradient,
        "The expectations 1 + T²θ² and 2T²θ are estimated on 2²⁰ states: on 1024 the estimate of "
        "401 would be uncertain by 1.3.",
    ),
    Entry(
        "TP-1.2b",
        "Gradient descent by hand: where it is stable, and where one step is enough",
        (
            Figures("curvature", "800", derived=True),
            Figures("stable below", "0.0025", derived=True),
            Figures("lr that lands in one step", "0.00125", derived=True),
            Agreement("θ after one step", "(1 - mean x₀) / T", roundings=ROUNDINGS, derived=True),
            Wording("at lr = 0.0024", "converges", derived=True),
            Wording("at lr = 0.0026", "diverges", derived=True),
        ),
        "linear_dynamics/gd_by_hand.yaml",
        descent_by_hand,
    ),
    Entry(
        "TP-1.2c",
        "The same with torch.optim.SGD",
        (
            Agreement(
                "θ after every step", "that of the hand-written rule, bit for bit", derived=True
            ),
            Figures("steps that are equal, of 10", "10", derived=True),
        ),
        "linear_dynamics/sgd.yaml",
        same_as_torch,
    ),
    Entry(
        "TP-1.2d",
        "T = 200 at the rate that was right for T = 20",
        (
            Figures("factor of the error, first two steps", "[-99, -99]", derived=True),
            Figures("exit status", "1", derived=True),
            Wording("the message names", "the step, the loss, the stable bound", derived=True),
            Figures("stable below, says the message", "2.5e-05", derived=True),
        ),
        "linear_dynamics/horizon_200.yaml",
        old_rate,
    ),
    Entry(
        "TP-1.2e",
        "The learning rate for any T: below 1/T²",
        (
            Figures(
                "stable below, by real steps",
                "[0.1111, 0.002500, 2.500e-05, 2.500e-07]",
                derived=True,
            ),
            Figures("curvature, by power iteration", "[18, 800, 80000, 8000000]", derived=True),
        ),
        "linear_dynamics/stable_rate.yaml",
        rate_for_any_horizon,
        "Found from the loss alone, for T = 3, 20, 200, 2000: nothing tells the search that the "
        "loss is a parabola, or what T is.",
    ),
    Entry(
        "TP-1.2f",
        "The same on the CPU and on each accelerator, and how long a step takes",
        (
            Agreement(
                "θ on cpu", "(1 - mean x₀) / T at every step", roundings=ROUNDINGS, derived=True
            ),
            *(
                Agreement(
                    f"θ on {kind}",
                    "that on the CPU",
                    roundings=ROUNDINGS,
                    derived=True,
                    optional=True,
                )
                for kind in TRAINABLE
            ),
            Figures("steps on cpu", "60", derived=True),
        ),
        "linear_dynamics/gd_by_hand.yaml",
        on_every_device,
    ),
    Entry(
        "TP-1.3",
        "The computational graph of the loss, T = 3",
        (
            Wording(
                "nodes",
                "AccumulateGrad, AddBackward0 (3), MeanBackward0, PowBackward0, SubBackward0, "
                "loss, theta",
                derived=True,
            ),
            Wording(
                "edges",
                "AccumulateGrad → AddBackward0 (3), AddBackward0 → AddBackward0 (2), "
                "AddBackward0 → SubBackward0, MeanBackward0 → loss, PowBackward0 → MeanBackward0, "
                "SubBackward0 → PowBackward0, theta → AccumulateGrad",
                derived=True,
            ),
        ),
        "linear_dynamics/graph.yaml",
        graph,
    ),
)
