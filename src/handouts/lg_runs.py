"""How the entries of the exercise are run."""

from ..drawing.curves import learning_curve_figure
from .claims import agreement
from .entry import Measured
from .runs import Runs

#: starts, learning rates and numbers of steps: those of the config, and two that are not
TRIALS = (("1.0", "0.1", "20"), ("-3.0", "0.3", "7"), ("2.5", "0.95", "12"))

#: the rate, the slope, their product and the difference: four roundings a step
ROUNDINGS = 4 * 20


def square(runs: Runs) -> Measured:
    """LG-1."""
    values, curves = {}, {}
    for start, rate, steps in TRIALS:
        flags = ("--model.start", start, "--model.optimizer.lr", rate)
        run = runs("fit", "toy/square", *flags, "--trainer.max_epochs", steps)
        thetas = run.parameters()["theta"].tolist()
        powers = [float(start) * (1 - 2 * float(rate)) ** k for k in range(1, int(steps) + 1)]
        name = f"from {start} at lr = {rate}"
        values[f"θ_k {name}"] = agreement(thetas, powers, scale=abs(float(start)))
        if rate == "0.1":
            values[f"θ_20 {name}"] = thetas[-1]
        curves[name] = [float(start), *thetas, *[None] * (20 - int(steps))]
    figure = learning_curve_figure(range(-1, 20), curves)
    figure.axes[0].set_title("θ after every step")
    figure.axes[0].set_ylabel("θ")
    return Measured(values, picture=figure)


def norm(runs: Runs) -> Measured:
    """LG-2."""
    run = runs("fit", "toy/norm")
    thetas = run.parameters()["theta"].tolist()
    powers = [[0.6**k, -(0.6**k)] for k in range(1, 21)]
    return Measured(
        {"θ_k": agreement(thetas, powers, scale=1.0), "θ_20": thetas[-1]},
        picture=learning_curve_figure(range(-1, 20), {"‖θ‖²": run.set_losses("train")}),
    )
