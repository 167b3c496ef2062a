"""Without the tricks for speed a run takes the public way, and writes the same."""

import csv
import os
import subprocess
import sys

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from descentlab.__main__ import main

#: run by a process of its own: the switch is looked at when the package is imported
PLAIN = """
import sys
from descentlab.__main__ import main
status = main(sys.argv[1:])
from lightning.pytorch import Callback, LightningModule
from descentlab.callbacks import BatchLoss
from descentlab.internals.lightning import STEP_HOOKS, LeanModule, NoProfiler
from descentlab.modules import LinearRegression
module, callback = LinearRegression(1), BatchLoss()
assert all(callable(getattr(one, hook)) for hook in STEP_HOOKS for one in (module, callback))
assert not {"__setattr__", "_call_batch_hook", "profile"} & {*vars(LeanModule), *vars(NoProfiler)}
assert not hasattr(LinearRegression.training_step, "__signature__")
raise SystemExit(status)
"""

CONFIG = ("fit", "--config", "linear_regression/split.yaml", "--trainer.max_epochs", "4")


def words(folder, *more):
    return [*CONFIG, "--trainer.logger.save_dir", str(folder), *more]


def written(folder):
    """Return what a run wrote that does not depend on the time."""
    (run,) = folder.rglob("version_0")
    tables = {}
    for name in ("metrics.csv", "batch_losses.csv"):
        with (run / name).open(newline="") as file:
            tables[name] = list(csv.reader(file))
    read = EventAccumulator(str(run), size_guidance={"scalars": 0}).Reload()
    tags = sorted(read.Tags()["scalars"])
    tables["events"] = {tag: [(p.step, p.value) for p in read.Scalars(tag)] for tag in tags}
    tables["files"] = sorted(p.name for p in run.rglob("*") if "tfevents" not in p.name)
    tables["config"] = (run / "config.yaml").read_text().replace(str(folder), "")
    return tables


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        (),
        ("--model.manual_optimization", "true", "--data.chunk", "5"),
    ],
    ids=["automatic", "chunks"],
)
def test_a_plain_run_writes_the_same(more, tmp_path):
    spared, plain = tmp_path / "spared", tmp_path / "plain"
    assert main(words(spared, *more)) == 0
    environment = {**os.environ, "DESCENTLAB_PLAIN": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", PLAIN, *words(plain, *more)]
    made = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    found = written(plain)
    assert len(found["batch_losses.csv"]) > 20
    assert len(found["metrics.csv"]) > 4
    assert found == written(spared)
