"""Odd files, settings, YAML and data: each is answered in one sentence, soon, and runs no code."""

import random
import shutil
from pathlib import Path

import torch

from descentlab.command.configs import shipped

from .damages import Damage
from .inputs import odd_data, odd_yaml, settings
from .kills import Trial
from .warm import Command, Ended, run

#: seconds that a command may compute before it has refused, or done, what it was given
MOST_BUSY = 10.0
#: seconds by the clock, of a machine that may do much else, after which a command counts as hanging
LONGEST = 60.0
#: bytes that it may hold
MOST_MEMORY = 3 << 30
STATUSES = (0, 1, 2)

_QUIET = ("--graph_export", "null", "--learning_curves", "null")
_FIT = ("--trainer.max_epochs", "2", "--trainer.logger.name", "x", *_QUIET)
_YOURS = (
    *("fit", "--config", "linear_regression/your_data.yaml"),
    *("--data.x_path", "x.pt", "--data.y_path", "y.pt"),
)
_SWEEP = (
    *("fit", "--config", "linear_regression/lr_sweep.yaml", "--data.source", "line"),
    *("--model.grid", "{lr: [0.01, 0.1]}", "--model.members_at_once", "1"),
)
#: the runs that are damaged
RUNS = {"yours": (*_YOURS, *_FIT), "sweep": (*_SWEEP, *_FIT)}
RUN = "logs/x/version_0"
#: what is asked of a damaged run; flags that are given are one's own, and hold what takes long
COMMANDS = {
    "test": ("test", "--run", RUN),
    "validate": ("validate", "--run", RUN),
    "predict": ("predict", "--run", RUN),
    "test of an epoch": ("test", "--run", RUN, "--epoch", "1"),
    "fit --resume": ("fit", "--resume", RUN, "--trainer.max_epochs", "3", *_QUIET),
}


class Fuzz:
    """Odd inputs, one a call.

    Args:
        folder: where commands are called; nothing may appear in it beside what they are called on.
        seed: of what is drawn.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.seed = folder, seed
        self.here = folder / "here"
        self.canary = folder / "code_was_run"
        for name, words in RUNS.items():
            place = folder / "right" / name
            place.mkdir(parents=True)
            draw = torch.Generator().manual_seed(3)
            x = torch.randn(60, 1, generator=draw)
            torch.save(x, place / "x.pt")
            torch.save(2 * x[:, 0] - 1, place / "y.pt")
            (place / "harm.py").write_text(f"open({str(self.canary)!r}, 'w')\n")
            ended = run(words, place)
            if ended.status:
                raise RuntimeError(f"a run of {name} fails by itself: {ended.err}")

    def __call__(self, number: int) -> Trial:
        """Give a command something odd, and say what is wrong with its answer."""
        draw = random.Random(f"{self.seed} fuzz {number}")
        kind = draw.choices(("files", "settings", "YAML", "data"), (6, 2, 1, 1))[0]
        run_of = draw.choice(list(RUNS)) if kind == "files" else "yours"
        shutil.rmtree(self.here, ignore_errors=True)
        shutil.copytree(self.folder / "right" / run_of, self.here)
        before = self._around()
        what, words = getattr(self, f"_{kind.lower()}")(draw, run_of)
        checkpoints = self._checkpoints()
        ended = Command(words, self.here).wait(LONGEST)
        faults = wrong(ended)
        if self.canary.exists():
            faults.append("code was run")
            self.canary.unlink()
        if ended and ended.status == 2 and checkpoints != self._checkpoints():
            faults.append("it was refused, and a checkpoint is not as it was")
        for path in sorted(self._around() - before):
            if kind == "files":  # a path that is given on the command line is one's own
                faults.append(f"{path} was written outside of the run")
            (shutil.rmtree if path.is_dir() else Path.unlink)(path)
        said = f"{what}: {' '.join(words)[:300]}"
        return Trial(f"odd {kind}", [f"{said}: {fault}" for fault in faults])

    def _around(self) -> set[Path]:
        said = self.here.with_suffix(".out"), self.here.with_suffix(".err")
        return {*self.folder.iterdir(), *self.here.iterdir()} - set(said)

    def _checkpoints(self) -> dict[Path, bytes]:
        files = (path for path in (self.here / RUN).rglob("*.ckpt") if path.is_file())
        return {path: path.read_bytes() for path in files}

    def _files(self, draw: random.Random, run_of: str) -> tuple[str, tuple[str, ...]]:
        (other,) = (name for name in RUNS if name != run_of)
        damage = Damage(draw, self.folder / "right" / other / RUN, f"touch {self.canary}")
        files = sorted(path for path in (self.here / RUN).rglob("*") if path.is_file())
        vital = [path for path in files if path.suffix in (".ckpt", ".pt", ".yaml", ".csv")]
        path = draw.choice(files if draw.random() < 0.2 else vital)
        name = draw.choice(list(COMMANDS))
        return f"{path.name} of {run_of}, {damage(path)}, {name}", COMMANDS[name]

    def _settings(self, draw: random.Random, run_of: str) -> tuple[str, tuple[str, ...]]:
        flags = settings(draw)
        # the second one is for where the first one is overridden by what means "for ever"
        limits = ("--trainer.max_epochs", "1", "--trainer.max_steps", "50")
        return "settings", (*_YOURS, *limits, "--trainer.logger.name", "y", *_QUIET, *flags)

    def _yaml(self, draw: random.Random, run_of: str) -> tuple[str, tuple[str, ...]]:
        name, path = draw.choice(sorted(shipped().items()))
        (self.here / "odd.yaml").write_bytes(odd_yaml(draw, path.read_text(encoding="utf-8")))
        limits = ("--trainer.max_epochs", "1", "--trainer.logger.name", "y")
        if draw.random() < 0.2:
            return f"YAML, {name}", ("test", "--config", "odd.yaml", "--ckpt_path", "x.pt")
        return f"YAML, {name}", ("fit", "--config", "odd.yaml", *limits, *_QUIET)

    def _data(self, draw: random.Random, run_of: str) -> tuple[str, tuple[str, ...]]:
        (name,) = odd_data(draw, self.here, f"touch {self.canary}")
        flag = draw.choice(("--data.x_path", "--data.y_path"))
        words: tuple[str, ...] = (*_YOURS, *_FIT[:2], *_QUIET, "--trainer.logger.name", "y")
        if name.endswith("csv") and draw.random() < 0.5:
            first = ("fit", "--config", "linear_regression/your_data.yaml", "--data.path", name)
            words = (*first, "--data.target", "b", *words[len(_YOURS) :])
        elif name.endswith("pt") and draw.random() < 0.2:
            words = (*words, "--ckpt_path", name)
        else:
            words = (*words, flag, name)
        return f"data, {name}", words


def wrong(ended: Ended | None) -> list[str]:
    """Return what is wrong with how a command ended that was given something odd."""
    if ended is None:
        return [f"it hung: it took more than {LONGEST:g} s"]
    faults = []
    if "Traceback" in ended.err + ended.out or "--traceback shows" in ended.err:
        faults.append(f"a traceback: {ended.err.strip()[-400:]}")
    if ended.status not in STATUSES:
        faults.append(f"its status is {ended.status}: {ended.err.strip()[-400:]}")
    elif ended.status and not ended.last_line.startswith("descentlab: error: "):
        faults.append(f"it does not end with an error of one line: {ended.err.strip()[-400:]}")
    if ended.busy > MOST_BUSY:
        faults.append(f"it took {ended.busy:.1f} s: {ended.last_line[-200:]}")
    if ended.memory > MOST_MEMORY:
        faults.append(f"it held {ended.memory >> 20} MB: {ended.last_line[-200:]}")
    return faults
