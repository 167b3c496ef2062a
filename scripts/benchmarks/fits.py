"""Our own side of a benchmark: fits from the command line, in this process."""

import contextlib
import io
import json
from pathlib import Path

import torch

from descentlab.__main__ import main
from descentlab.runs.folder import Run

from .loops import LEARNING_RATE, SEED, Outputs, Problem


def quietly(words: list[str]) -> None:
    """Run a command, and show what it says only where it fails.

    Raises:
        RuntimeError: if its status is not 0.
    """
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
        status = main(words)
    if status:
        raise RuntimeError(f"the benchmark's own fit failed: {shown.getvalue()}")


class Fits:
    """Fits of a line to the rows of a problem, with every default instrument on.

    Args:
        problem: has the rows, which are written to files.
        folder: where files and runs go.
        flags: what is added to the command line.
    """

    def __init__(self, problem: Problem, folder: Path, *flags: str) -> None:
        self.folder, self.flags, self.runs = folder, flags, 0
        self.batch_size = problem.batch_size
        folder.mkdir(parents=True)
        torch.save(problem.all_x, folder / "x.pt")
        torch.save(problem.all_y, folder / "y.pt")

    def words(self, epochs: int) -> list[str]:
        """Return the command line of a fit into a folder of its own."""
        return [
            "fit",
            "--config=linear_regression/your_data",
            f"--data.x_path={self.folder / 'x.pt'}",
            f"--data.y_path={self.folder / 'y.pt'}",
            f"--data.batch_size={self.batch_size}",
            f"--model.optimizer.lr={LEARNING_RATE}",
            f"--seed_everything={SEED}",
            f"--trainer.max_epochs={epochs}",
            "--trainer.accelerator=cpu",
            f"--trainer.logger.save_dir={self.folder}",
            "--trainer.logger.name=runs",
            f"--trainer.logger.version=run_{self.runs}",
            *self.flags,
        ]

    def run(self, epochs: int) -> Run:
        """Fit for some epochs and return the run."""
        self.runs += 1
        quietly(self.words(epochs))
        return Run(self.folder / "runs" / f"run_{self.runs}")

    def __call__(self, epochs: int) -> Outputs:
        """Fit for some epochs and return what the run's folder holds, in the form of the others."""
        run = self.run(epochs)
        losses = run.batch_losses.read_text().splitlines()[1:]
        last = json.loads(run.summary.read_text())["parameters"]
        kept = Outputs(batch_losses=[float(line.rsplit(",", 1)[1]) for line in losses])
        kept.parameters.append([torch.tensor(last["slope"]), torch.tensor(last["bias"])])
        return kept
