"""How the entries of the practical are run."""

import re
from typing import Any

from torch import Tensor

from ..datamodules import initial_states
from ..demonstrations.tensors import NOT_PRESENT, devices_present
from ..drawing.curves import learning_curve_figure
from .claims import agreement
from .entry import Measured
from .graph_text import graph_values
from .pictures import stable_rates_figure
from .runs import Finished, Runs

HORIZON = 20
RATE = 1.25e-3
SEED = 42
BY_HAND = "linear_dynamics/gd_by_hand"
#: the accelerators that Lightning trains on, beside the CPU
TRAINABLE = ("cuda", "mps")

HORIZONS = (3, 20, 200, 2000)

#: T sums, a difference and a square for each state, a cascade of sums, and the same way back
ROUNDINGS = 2 * (HORIZON + 16)


def _sample() -> Tensor:
    """The mini-batch, as the module gets it, in float64."""
    return initial_states(1024, 1.0, 1.0, SEED).float().double()


def _thetas(finished: Finished) -> list[float]:
    """The parameter before the first step and after every step."""
    return [1.0, *finished.parameters()["theta"].tolist()]


def _minimiser(horizon: int = HORIZON) -> float:
    return (1 - float(_sample().mean())) / horizon


def devices(runs: Runs) -> Measured:
    """TP-1.1."""
    facts = runs("predict", "autograd/devices").json("facts.json")
    sums = {kind: None if s == NOT_PRESENT else s for kind, s in facts["sums"].items()}
    details = {"torch": facts["torch"], "GPUs": "; ".join(facts["gpus"]) or NOT_PRESENT}
    return Measured({f"sum on {kind}": value for kind, value in sums.items()}, details=details)


def loss_and_gradient(runs: Runs) -> Measured:
    """TP-1.2a."""
    run = runs("fit", BY_HAND)
    many = runs("fit", BY_HAND, "--data.n", "1048576", "--trainer.max_epochs", "1")
    end = _sample() - 1 + HORIZON
    gradient, expected = ((1 - _thetas(each)[1]) / RATE for each in (run, many))
    return Measured(
        {
            "L on the sample": agreement(run.losses()[0], (end**2).mean()),
            "∂L/∂θ on the sample": agreement(gradient, 2 * HORIZON * end.mean()),
            "L in expectation": many.losses()[0],
            "∂L/∂θ in expectation": expected,
        },
        details={"sample": f"1024 states, seed {SEED}: L = {run.losses()[0]:.6g}"},
    )


def descent_by_hand(runs: Runs) -> Measured:
    """TP-1.2b."""
    flag = "--model.optimizer.lr"
    one_step = runs("fit", BY_HAND)
    below, above = (runs("fit", BY_HAND, flag, rate) for rate in ("2.4e-3", "2.6e-3"))
    errors = [[theta - _minimiser() for theta in _thetas(run)] for run in (below, above)]
    curvature = (1 - errors[0][1] / errors[0][0]) / 2.4e-3
    answers = ["converges" if abs(e[-1]) < abs(e[0]) else "diverges" for e in errors]
    curves = {
        f"lr {name}": run.set_losses("train")
        for name, run in (("0.00125", one_step), ("0.0024", below), ("0.0026", above))
    }
    return Measured(
        {
            "curvature": curvature,
            "stable below": 2 / curvature,
            "lr that lands in one step": 1 / curvature,
            "θ after one step": agreement(_thetas(one_step)[1], _minimiser(), scale=1.0),
            "at lr = 0.0024": answers[0],
            "at lr = 0.0026": answers[1],
        },
        picture=learning_curve_figure(range(-1, len(errors[0]) - 1), curves),
    )


def same_as_torch(runs: Runs) -> Measured:
    """TP-1.2c."""
    ours, theirs = (_thetas(runs("fit", name))[1:] for name in (BY_HAND, "linear_dynamics/sgd"))
    equal = sum(a == b for a, b in zip(ours, theirs, strict=True))
    return Measured(
        {"θ after every step": agreement(ours, theirs), "steps that are equal, of 10": equal}
    )


def old_rate(runs: Runs) -> Measured:
    """TP-1.2d."""
    run = runs("fit", "linear_dynamics/horizon_200", fails=True)
    start, first, second = (theta - _minimiser(200) for theta in _thetas(run)[:3])
    message = run.message.split("error: ")[-1].split("; what was finished")[0]
    patterns = {
        "the step": r"loss at step \d+",
        "the loss": r"is (inf|nan).*last finite loss was [\d.e+-]+",
        "the stable bound": r"stable below [\d.e+-]+",
    }
    named = [name for name, pattern in patterns.items() if re.search(pattern, message)]
    bound = re.search(r"stable below ([\d.e+-]+)", message)
    return Measured(
        {
            "factor of the error, first two steps": [first / start, second / first],
            "exit status": run.status,
            "the message names": ", ".join(named),
            "stable below, says the message": float(bound[1]) if bound else None,
        },
        picture=learning_curve_figure(range(len(run.losses())), {"loss": run.losses()}),
        details={"the message": message},
    )


def rate_for_any_horizon(runs: Runs) -> Measured:
    """TP-1.2e."""
    found = {
        horizon: runs(
            "predict", "linear_dynamics/stable_rate", "--model.module.horizon", str(horizon)
        ).json("stability.json")
        for horizon in HORIZONS
    }
    observed = [found[horizon]["observed"] for horizon in HORIZONS]
    worst = max(abs(rate * t**2 - 1) for t, rate in zip(HORIZONS, observed, strict=True))
    return Measured(
        {
            "stable below, by real steps": observed,
            "curvature, by power iteration": [found[t]["largest_curvature"] for t in HORIZONS],
        },
        picture=stable_rates_figure(HORIZONS, observed),
        details={"largest distance from 1/T²": f"{worst:.2%}"},
    )


def on_every_device(runs: Runs) -> Measured:
    """TP-1.2f."""
    thetas, details = {}, {}
    for kind in ("cpu", *TRAINABLE):
        if not devices_present()[kind]:
            details[f"time per step on {kind}"] = NOT_PRESENT
            continue
        accelerator = ("--trainer.accelerator", "cpu" if kind == "cpu" else "gpu")
        flags = ("--trainer.max_epochs", "60", "--trainer.limit_val_batches", "0")
        run = runs("fit", BY_HAND, *accelerator, *flags, keep=("accelerator_timer",))
        thetas[kind] = _thetas(run)[1:]
        timing = run.json("timing.json")  # an epoch is one step here, and the first is left out
        details[f"time per step on {timing['device']}"] = (
            f"{timing['epoch']['median'] * 1e6:.0f} µs (median of {timing['epoch']['count']}, "
            f"threads: {timing['threads']})"
        )
    steps = len(thetas["cpu"])
    values: dict[str, Any] = {
        "θ on cpu": agreement(thetas["cpu"], [_minimiser()] * steps, scale=1.0)
    }
    for kind in TRAINABLE:
        there = thetas.get(kind)
        both = None if there is None else agreement(there, thetas["cpu"], scale=1.0)
        values[f"θ on {kind}"] = both
    return Measured({**values, "steps on cpu": steps}, details=details)


def graph(runs: Runs) -> Measured:
    """TP-1.3."""
    run = runs("fit", "linear_dynamics/graph", keep=("graph_export",))
    return Measured(graph_values(run, "loss"), picture=run.run.graphs / "loss.png")
