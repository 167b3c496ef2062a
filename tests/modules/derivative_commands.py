"""The commands of the derivatives' tests."""

import json

import pytest

from descentlab.__main__ import main

# jsonargparse's own, of what Lightning calls
QUIET = pytest.mark.filterwarnings(
    r"ignore:(?s).*(was deprecated in v4|JsonargparseDeprecationWarning):DeprecationWarning"
)


def call(stage, folder, *words):
    """Run a command on the CPU, its runs in a folder, and return its exit status."""
    place = ["--trainer.logger.save_dir", str(folder), "--trainer.accelerator", "cpu"]
    return main([stage, *words, *place])


def check(folder, objective, point, *words):
    """Test an objective at one point."""
    points = ["--data", "Points", "--data.points", json.dumps([point])]
    model = ["--model", "Derivatives", "--model.objective", objective]
    return call("test", folder, *model, *points, *words)
