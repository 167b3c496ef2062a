"""The instruments of `fit`: which flag of the command line stands for which callback."""

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
#: those that look at one descent; `SweepResults` takes their place where there are many
OF_ONE_DESCENT = ("batch_loss", "learning_curves", *ON_REQUEST, "graph_export", "summary")


def first_line(kind: type) -> str:
    """Return what a class is for: the first line of its docstring, without the full stop."""
    return (kind.__doc__ or "").strip().split("\n", 1)[0].rstrip(".")
