"""All entries of the five handouts, run once, and what they are written from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from descentlab.handouts import Finished, Result
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

    def fit(self, *words: str) -> Finished:
        """Return what a command of the report left; it is not run again."""
        return self.runs(["fit", "--config", *words], (), False)

    def computed(self, entry: str) -> dict[str, Any]:
        """Return what an entry computed, by the names of its claims."""
        return {claim.name: claim.computed for claim in self.results[entry].claims}


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    runs = Runs(tmp_path_factory.mktemp("runs"))
    entries = [entry for handout in FIVE for entry in handout.entries.values()]
    results = {entry.id: run_entry(entry, runs, folder) for entry in entries}
    write_report(list(results.values()), folder, "python scripts/reproduce.py")
    return Whole(results, folder, runs)
