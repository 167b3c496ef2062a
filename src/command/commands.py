"""The commands: what each does in a line, and where those are that are no LightningCLI's."""

#: the module whose `main` is the command, from the package on; None for one that needs no module
OF_THEIR_OWN: dict[str, str | None] = {
    "configs": None,
    "runs": ".comparison.listing",
    "compare": ".comparison.compare",
    "tensorboard": ".comparison.tensorboard",
    "verify": ".verify.command_line",
    "reproduce": ".handouts.command_line",
}

#: what the help says of each of these
ABOUT_OTHERS = {
    "configs": "List the shipped configs, one line each.",
    "runs": "List runs: what was changed, how each ended, its best loss.",
    "compare": "Put runs side by side: curves, losses, configs, where they part (RUN RUN).",
    "tensorboard": "Show runs in TensorBoard, named by what was changed.",
    "verify": "Hold an optimizer step by step against another (OPTIMIZER --against REFERENCE).",
    "reproduce": "Hold the printed figures of a course to their digits (FILE).",
}

#: and of those of LightningCLI
ABOUT = {
    "fit": "Train a model; everything that is found goes into the folder of a run.",
    "validate": "Measure the losses on the training and validation sets (--run DIR).",
    "test": "Measure the loss on the test set, with the last and the best parameters (--run DIR).",
    "predict": "Write the predictions of the last and the best parameters (--run DIR).",
}

DESCRIPTION = """Gradient descent that can be checked: train, test and look at textbook problems.

Start with `descentlab fit --config linear_regression/split.yaml`; `descentlab configs` lists all
shipped configs, `descentlab fit --help` the flags that matter, and `descentlab --version` tells the
version. With `--traceback` a command that fails shows where in the code."""
