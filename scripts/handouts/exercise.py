"""The exercise: automatic gradient descent. Entries LG-1 and LG-2."""

from descentlab.drawing.curves import learning_curve_figure
from descentlab.handouts import Handout, Row
from handouts.pictures import paths_figure

EXERCISE = Handout(
    "LG",
    "An exercise: automatic gradient descent",
    "A page of exercises: gradient descent with torch.optim on two parabolas.",
)

#: starts, learning rates and numbers of steps: those of the config, and two that are not
TRIALS = (("1.0", "0.1", "20"), ("-3.0", "0.3", "7"), ("2.5", "0.95", "12"))

#: the rate, the slope, their product and the difference: four roundings a step
ROUNDINGS = 4 * 20


@EXERCISE.entry(
    "1",
    "θ² from any start, at any rate, for any number of steps",
    "toy/square",
    formula="L(θ) = θ², so that θ_k = θ₀ (1 - 2 lr)ᵏ",
)
def square(row: Row) -> None:
    """Minimise θ² by SGD from a start of your choice, and print θ after every step.

    Each step multiplies θ by 1 - 2 lr. At 0.95 that is -0.9: θ jumps from side to side of the
    minimum, and comes nearer all the same.
    """
    paths = {}
    for start, rate, steps in TRIALS:
        flags = ("--model.start", start, "--model.optimizer.lr", rate)
        run = row.fit(*flags, "--trainer.max_epochs", steps)
        thetas = run.parameters()["theta"].tolist()
        powers = [float(start) * (1 - 2 * float(rate)) ** k for k in range(1, int(steps) + 1)]
        name = f"from {start} at lr = {rate}"
        row.agreement(
            f"θ_k {name}", "θ₀ (1 - 2 lr)ᵏ", thetas, powers, ROUNDINGS, scale=abs(float(start))
        )
        paths[name] = [float(start), *thetas]
    row.figures(
        "θ_20 from 1.0 at lr = 0.1", "0.0115292", paths["from 1.0 at lr = 0.1"][-1], derived=True
    )
    row.picture = paths_figure(paths)


@EXERCISE.entry(
    "2",
    "The squared norm from [1, -1], lr = 0.2, 20 steps",
    "toy/norm",
    formula="L(θ) = ‖θ‖², so that θ_k = [1, -1] · 0.6ᵏ",
)
def norm(row: Row) -> None:
    """Minimise the squared norm of two numbers in twenty steps of SGD.

    Both numbers shrink by the same factor at each step, so that the loss is a straight line on a
    logarithmic axis: 0.36 of it is left each time.
    """
    run = row.fit()
    thetas = run.parameters()["theta"].tolist()
    powers = [[0.6**k, -(0.6**k)] for k in range(1, 21)]
    row.agreement("θ_k", "[1, -1] · 0.6ᵏ", thetas, powers, ROUNDINGS, scale=1.0)
    row.figures("θ_20", "[3.6562e-05, -3.6562e-05]", thetas[-1], derived=True)
    row.picture = learning_curve_figure(range(-1, 20), {"‖θ‖²": run.set_losses("train")}, "‖θ‖²")
