"""Train one config on several accelerators, and say where they differ and which is faster.

    python scripts/compare_accelerators.py --config linear_regression/split.yaml

Each accelerator trains the same run; losses of all updates and parameters after all epochs are held
against those of the first. Then an update is timed on each, in turn, for batches of 10² rows and
more, made of the rows of the first batch.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.accelerators import AcceleratorRegistry
from matplotlib.figure import Figure
from torch import Tensor

from benchmarks.measure import in_turn, seconds_of
from descentlab.command.cli import DescentCLI
from descentlab.command.process import quiet
from descentlab.comparison.differences import parting
from descentlab.comparison.tables import aligned
from descentlab.drawing.axes import COLOURS
from descentlab.errors import RunError, UsageError
from descentlab.modules import DescentModule
from descentlab.runs.folder import Run, device_name
from descentlab.runs.parameter_history import read_history
from descentlab.runs.reading import read_checkpoint
from descentlab.runs.record import Record
from descentlab.sweeps.stepping import settings_of

#: seconds that one round of one size takes at least
ROUND = 0.02
QUIET = (
    *("--progress", "null", "--graph_export", "null", "--learning_curves", "null"),
    *("--trainer.devices", "1", "--best_parameters.every", "0"),
)


class Command(DescentCLI):
    """The command `fit`, of a model whose updates can be timed."""

    def before_fit(self) -> None:
        """Refuse a model that has no loss of its own, before anything is trained.

        Raises:
            UsageError: for such a model.
        """
        if not isinstance(self.model, DescentModule):
            raise UsageError(
                f"{type(self.model).__name__} has no loss of its own to time: give a config "
                "whose model is one of descentlab.modules that are trained"
            )
        super().before_fit()


@dataclass
class Contender:
    """An accelerator, and the run that was trained on it.

    Args:
        name: `cpu with 2 threads`, or the accelerator's.
        accelerator: as Lightning names it.
        threads: how many torch computes with, on a CPU.
        words: what else the command is given.
    """

    name: str
    accelerator: str
    threads: int
    words: Sequence[str]

    def train(self) -> None:
        """Train the run."""
        torch.set_num_threads(self.threads)
        with redirect_stdout(sys.stderr), quiet():
            words = ["fit", *self.words, *QUIET, "--trainer.accelerator", self.accelerator]
            self.cli = Command(words)
        self.run = Run.of(self.cli.trainer)
        self.device = self.cli.trainer.strategy.root_device
        self.described = device_name(self.device)

    def update_on(self, rows: int | None) -> Callable[[int], None]:
        """Return what makes a number of updates on a batch of so many rows, and waits for them."""
        model: DescentModule = self.cli.model.to(self.device)
        trained = self.cli.trainer.optimizers[0]
        optimizer = type(trained)(model.parameters(), **settings_of(trained))
        batch = _with_rows(first_batch(self.cli), rows, self.device)

        def updates(count: int) -> None:
            torch.set_num_threads(self.threads)
            for _ in range(count):
                optimizer.zero_grad()
                torch.autograd.backward(model.loss(batch))
                optimizer.step()
            if self.device.type != "cpu":
                torch.accelerator.synchronize(self.device)

        return updates


def first_batch(cli: DescentCLI) -> Any:
    """Return the first training batch of a run."""
    source = cli.model if cli.datamodule is None else cli.datamodule
    return next(iter(source.train_dataloader()))


def _with_rows(batch: Any, rows: int | None, device: torch.device) -> Any:
    """Return a batch of so many rows, its own again and again; None for its own number."""
    if isinstance(batch, (tuple, list)):
        return tuple(_with_rows(part, rows, device) for part in batch)
    if not isinstance(batch, Tensor):
        return batch
    if rows is not None:
        batch = batch[torch.arange(rows) % len(batch)]
    return batch.to(device)


def contenders(
    names: Sequence[str], threads: Sequence[int], words: Sequence[str]
) -> tuple[list[Contender], list[str]]:
    """Return those that are here, the CPU once for each number of threads, and those that are not.

    Raises:
        UsageError: for a name that is none, or if none is here.
    """
    known = {name: entry["accelerator"] for name, entry in AcceleratorRegistry.items()}
    here = {name for name, kind in known.items() if kind.is_available()}
    here |= {"gpu"} if here & {"cuda", "mps"} else set()
    found, absent = [], []
    for name in names:
        if name not in {*known, "gpu"}:
            raise UsageError(f"--accelerators {name}: there are {', '.join([*known, 'gpu'])}")
        if name not in here:
            absent.append(name)
        elif name == "cpu":
            said = {n: f"cpu with {n} thread{'s' * (n > 1)}" for n in threads}
            found += [Contender(said[n], name, n, words) for n in threads]
        else:
            found.append(Contender(name, name, max(threads), words))
    if not found:
        raise UsageError(f"none of {', '.join(names)} is present here: give --accelerators cpu")
    return found, absent


def difference(first: Run, other: Run) -> float:
    """Return the largest difference of two runs' parameters after any epoch, relative to them."""
    ours, theirs = map(_parameters, (first, other))
    worst = 0.0
    for epoch in ours.keys() & theirs.keys():
        for name, value in ours[epoch].items():
            scale = float(value.abs().max()) or 1.0
            worst = max(worst, float((theirs[epoch][name] - value).abs().max()) / scale)
    return worst


def _parameters(run: Run) -> dict[int, dict[str, Tensor]]:
    """Return the parameters after each epoch; the last alone of a run too large for a history."""
    history = run.checkpoints / "parameters.pt"
    if history.is_file():
        return read_history(history)
    last = read_checkpoint(run.last)
    return {last["epoch"]: last["state_dict"]}


def timed(
    every: Sequence[Contender], sizes: Sequence[int | None], rounds: int
) -> dict[int | None, dict[str, float]]:
    """Return the median seconds of an update, by batch size and contender; timed in turn."""
    found: dict[int | None, dict[str, float]] = {}
    for size in sizes:
        updates = {each.name: each.update_on(size) for each in every}
        counts = {}
        for name, run in updates.items():
            run(3)  # what is made at the first call
            counts[name] = max(1, int(ROUND / max(1e-9, seconds_of(partial(run, 3)) / 3)))
        seconds = in_turn(
            {n: partial(seconds_of, partial(run, counts[n])) for n, run in updates.items()}, rounds
        )
        found[size] = {n: statistics.median(s) / counts[n] for n, s in seconds.items()}
    return found


def overtaking(times: Mapping[int | None, Mapping[str, float]], name: str, other: str) -> str:
    """Say from which of the sizes on one is faster than the other, by more than a twentieth."""
    sizes = list(times)
    wins = [times[size][name] < 0.95 * times[size][other] for size in sizes]
    from_here = next((k for k in range(len(sizes)) if all(wins[k:])), None)
    if from_here is None:
        return f"{name} is not faster than {other} on {_rows(sizes[-1])}"
    return f"{name} is faster than {other} from {_rows(sizes[from_here])} on"


def _rows(size: int | None) -> str:
    return "the batch as it is" if size is None else f"{size:,} rows"


def figure_of(times: Mapping[int, Mapping[str, float]]) -> Figure:
    """Draw the time of an update over the rows of a batch, a curve for each contender."""
    figure = Figure(figsize=(7.2, 4.2), dpi=100, layout="constrained")
    axes = figure.subplots()
    names = list(next(iter(times.values())))
    for name, colour in zip(names, COLOURS, strict=False):
        seconds = [1e6 * row[name] for row in times.values()]
        axes.plot(list(times), seconds, color=colour, marker="o", label=name)
    axes.set(xscale="log", yscale="log", xlabel="rows in a batch", ylabel="time of an update in µs")
    axes.set_title("Which accelerator is faster, by the size of a batch")
    axes.grid(visible=True, color="0.9")
    axes.legend(frameon=False)
    return figure


def main(args: Sequence[str] | None = None) -> int:
    """Compare accelerators, and write `accelerators.json` and `accelerators.png`.

    Returns:
        0; 2 for wrong use.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--config", required=True, help="a config of a fit, as for descentlab fit")
    parser.add_argument("--accelerators", default="cpu,gpu,mps", help="names, with commas between")
    parser.add_argument("--threads", default="1,2", help="of the CPU: a row for each number")
    parser.add_argument("--largest", default="10000000", help="rows of the largest batch")
    parser.add_argument("--rounds", default="5", help="of which the median is taken")
    parser.add_argument("--out", type=Path, default=Path("reports/accelerators"))
    options, more = parser.parse_known_args(args)
    try:
        report = compare(options, ["--config", options.config, *more])
    except (UsageError, RunError, MisconfigurationException, OSError) as error:
        print(f"compare_accelerators: error: {error}", file=sys.stderr)
        return 2
    path = options.out / "accelerators.json"
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(f"\nwritten to {path}")
    return 0


def whole(flag: str, text: str, least: int) -> int:
    """Return the whole number that a flag was given.

    Raises:
        UsageError: if it is none, or less than the least.
    """
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if number < least:
        raise UsageError(f"{flag} {text}: give a whole number, {least} or more")
    return number


def compare(options: argparse.Namespace, words: Sequence[str]) -> dict[str, Any]:
    """Train and time all; print what was found, and return it."""
    threads = sorted({whole("--threads", n, 1) for n in options.threads.split(",")})
    largest, rounds = whole("--largest", options.largest, 100), whole("--rounds", options.rounds, 1)
    options.out.mkdir(parents=True, exist_ok=True)
    place = ["--trainer.logger.save_dir", str(options.out / "runs")]
    every, absent = contenders(options.accelerators.split(","), threads, [*words, *place])
    for each in every:
        each.train()
    first = every[0]
    for name in absent:
        print(f"{name}: not present")
    same = {}
    for other in every[1:]:
        text = parting(Record(first.run.folder), Record(other.run.folder)).text
        same[other.name] = {"text": text, "largest": difference(first.run, other.run)}
        print(f"{first.name} and {other.name}: {text}; parameters differ by at most "
              f"{same[other.name]['largest']:.3g} of the largest")  # fmt: skip
    sizes: list[int | None] = [10**k for k in range(2, 8) if 10**k <= largest]
    if not any(isinstance(part, Tensor) for part in _parts(first_batch(first.cli))):
        sizes = [None]  # batches without rows have one size
    times = timed(every, sizes, rounds)
    rows = [[_rows(s), *(f"{1e6 * t:.4g}" for t in row.values())] for s, row in times.items()]
    print("\n" + aligned(["µs an update", *(each.name for each in every)], rows) + "\n")
    faster = [overtaking(times, other.name, first.name) for other in every[1:]]
    print("\n".join(faster))
    if None not in sizes:
        figure_of(times).savefig(options.out / "accelerators.png", dpi=200)  # type: ignore[arg-type]  # no size is None here
    return {
        "config": options.config,
        "devices": {each.name: each.described for each in every},
        "not_present": absent,
        "runs": {each.name: str(each.run.folder) for each in every},
        "same": same,
        "seconds_of_an_update": {str(size): row for size, row in times.items()},
        "faster": faster,
    }


def _parts(batch: Any) -> list[Any]:
    return list(batch) if isinstance(batch, (tuple, list)) else [batch]


if __name__ == "__main__":
    sys.exit(main())
