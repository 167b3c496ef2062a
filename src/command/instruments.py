"""The instruments of `fit`: which flag of the command line stands for which callback."""

from typing import Literal

from lightning.pytorch.cli import LightningArgumentParser

from .. import callbacks

#: the callbacks of every fit, each with a flag of its own: `--graph_export null`
INSTRUMENTS = {
    "batch_loss": callbacks.BatchLoss,
    "learning_curves": callbacks.LearningCurves,
    "trajectory": callbacks.Trajectory,
    "fit_picture": callbacks.FitPicture,
    "graph_export": callbacks.GraphExport,
    "accelerator_timer": callbacks.AcceleratorTimer,
    "progress": callbacks.Progress,
    "best_parameters": callbacks.BestParameters,
    "summary": callbacks.Summary,
}
#: those that are off unless a config or a flag names them
ON_REQUEST = ("trajectory", "fit_picture")
#: those that draw, of which `--figures none` makes none
DRAWING = ("learning_curves", "graph_export", *ON_REQUEST)
#: those that look at one descent; `SweepResults` takes their place where there are many
OF_ONE_DESCENT = ("batch_loss", "learning_curves", *ON_REQUEST, "graph_export", "summary")


def add_instruments(parser: LightningArgumentParser) -> None:
    """Add a flag for each instrument, and one for all figures."""
    for name, kind in INSTRUMENTS.items():
        path = {"class_path": f"{kind.__module__}.{kind.__name__}"}
        default = None if name in ON_REQUEST else path
        about = f"{first_line(kind)} (null for none)."
        parser.add_argument(f"--{name}", type=kind | None, default=default, help=about)
    parser.add_argument("--figures", type=Literal["all", "none"], default="all", help=FIGURES_HELP)


def first_line(kind: type) -> str:
    """Return what a class is for: the first line of its docstring, without the full stop."""
    return (kind.__doc__ or "").strip().split("\n", 1)[0].rstrip(".")


FIGURES_HELP = "Whether figures are drawn; none leaves out those of every instrument and of sweeps."
