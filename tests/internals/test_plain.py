"""Without the tricks for speed a run takes the public way, and writes the same."""

import csv
import json
import os
import subprocess
import sys

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from descentlab.__main__ import main

#: run by a process of its own: the switch is looked at when the package is imported
PLAIN = """
import json, sys
from descentlab.__main__ import main
assert [main(words) for words in json.loads(sys.argv[1])] == [0, 0]
from lightning.pytorch import Callback, LightningModule
from descentlab.callbacks import BatchLoss
from descentlab.internals.lightning import STEP_HOOKS, LeanModule, NoProfiler
from descentlab.modules import LinearRegression
module, callback = LinearRegression(1), BatchLoss()
assert all(callable(getattr(one, hook)) for hook in STEP_HOOKS for one in (module, callback))
assert not {"__setattr__", "_call_batch_hook", "profile"} & {*vars(LeanModule), *vars(NoProfiler)}
assert not hasattr(LinearRegression.training_step, "__signature__")
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


WAYS = {
    "automatic": (),
    "chunks": ("--model.manual_optimization", "true", "--data.chunk", "5"),
}


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A folder with a plain run of each way."""
    folder = tmp_path_factory.mktemp("plain")
    environment = {**os.environ, "DESCENTLAB_PLAIN": "1", "OMP_NUM_THREADS": "1"}
    every = json.dumps([words(folder / way, *more) for way, more in WAYS.items()])
    command = [sys.executable, "-c", PLAIN, every]
    made = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_a_plain_run_writes_the_same(way, plain, tmp_path):
    assert main(words(tmp_path, *WAYS[way])) == 0
    found = written(plain / way)
    assert len(found["batch_losses.csv"]) > 20
    assert len(found["metrics.csv"]) > 4
    assert found == written(tmp_path)
