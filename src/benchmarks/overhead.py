"""What an update inside `fit` costs, with every default instrument on."""

import contextlib
import io
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from ..__main__ import main
from ..run import Run
from .loops import BATCH_SIZE, LEARNING_RATE, Problem, plain, stock
from .measure import Result, compare, marginal


@contextlib.contextmanager
def _silence() -> Iterator[io.StringIO]:
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
        yield shown


class Ours:
    """A fit from the command line, on files that hold the problem's rows."""

    def __init__(self, problem: Problem, folder: Path, *flags: str) -> None:
        self.folder = folder
        self.flags = flags
        self.runs = 0
        torch.save(problem.all_x, folder / "x.pt")
        torch.save(problem.all_y, folder / "y.pt")

    def __call__(self, epochs: int) -> Run:
        """Fit for some epochs and return the run."""
        self.runs += 1
        words = [
            "fit",
            "--config=linear_regression/your_data",
            f"--data.x_path={self.folder / 'x.pt'}",
            f"--data.y_path={self.folder / 'y.pt'}",
            f"--data.batch_size={BATCH_SIZE}",
            f"--model.optimizer.lr={LEARNING_RATE}",
            f"--trainer.max_epochs={epochs}",
            "--trainer.accelerator=cpu",
            f"--trainer.logger.save_dir={self.folder / 'logs'}",
            f"--trainer.logger.version={self.runs}",
            *self.flags,
        ]
        with _silence() as shown:
            status = main(words)
        if status:
            raise RuntimeError(f"the benchmark's own fit failed: {shown.getvalue()}")
        experiment = self.folder / "logs" / "linear_regression" / "your_data"
        return Run(experiment / f"version_{self.runs}")


def check(problem: Problem, ours: Ours) -> None:
    """Make sure that both sides compute the same before either is timed.

    Raises:
        RuntimeError: if a loss of an update differs.
    """
    expected = plain(problem, epochs=2).batch_losses
    lines = ours(epochs=2).batch_losses.read_text().splitlines()[1:]
    losses = [float(line.rsplit(",", 1)[1]) for line in lines]
    torch.testing.assert_close(losses, expected, rtol=1e-5, atol=1e-7)


def overhead(updates_per_epoch: int, flags: tuple[str, ...], rounds: int, epochs: int) -> Result:
    """Compare an update of ours with one of a plain loop, of a leaner one and of a stock project.

    Args:
        updates_per_epoch: batches in an epoch.
        flags: what is added to the command line of ours.
        rounds: how many rounds count.
        epochs: n: the time is that of 2n epochs less that of n.
    """
    problem = Problem.of(updates_per_epoch)
    with tempfile.TemporaryDirectory() as folder:
        ours = Ours(problem, Path(folder), *flags)
        check(problem, ours)

        def timed(run: Callable[[int], object], n: int = epochs) -> Callable[[], float]:
            return lambda: marginal(run, n, updates_per_epoch)

        def stock_project(n: int) -> None:
            with _silence():
                stock(problem, n)

        contenders = {
            "descentlab": timed(ours),
            "plain loop, DataLoader": timed(lambda n: plain(problem, n)),
            "plain loop, tensors split": timed(lambda n: plain(problem, n, sliced=True)),
            "stock Lightning": timed(stock_project, max(1, epochs // 10)),
        }
        name = f"overhead, {updates_per_epoch} updates an epoch"
        return compare(name, "s an update", contenders, rounds, ours="descentlab")
