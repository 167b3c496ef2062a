"""All entries of the five handouts, run once, and the runs that they share with the tests."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from handout_runs import Outcome

from descentlab.handouts import Result
from descentlab.handouts.report import write_report
from descentlab.handouts.runner import run_entry
from descentlab.handouts.runs import Runs
from handouts import FIVE


@dataclass(frozen=True)
class Whole:
    """The report over all entries, and the runs that it was made from."""

    results: dict[str, Result]
    folder: Path
    runs: Runs

    def computed(self, entry: str) -> dict[str, Any]:
        """Return what an entry computed, by the names of its claims."""
        return {claim.name: claim.computed for claim in self.results[entry].claims}


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """Each command is run once, whether the report asks for it first or a test."""
    return Runs(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="session")
def fitted(runs):
    """A function that returns what `fit` left, with an entry's words."""

    def fit(config: str, *flags: str, keep: Sequence[str] = ()) -> Outcome:
        finished = runs(["fit", "--config", config, *flags], keep, False)
        return Outcome(finished.status, finished.folder, finished.message)

    return fit


@pytest.fixture(scope="session")
def whole(runs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    entries = [entry for handout in FIVE for entry in handout.entries.values()]
    results = {entry.id: run_entry(entry, runs, folder) for entry in entries}
    write_report(list(results.values()), folder, "python scripts/reproduce.py")
    return Whole(results, folder, runs)
