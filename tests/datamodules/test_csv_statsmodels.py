"""Each CSV file that statsmodels ships: read as pandas reads it, or refused where it must be."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from descentlab.datamodules import read_tensor
from descentlab.errors import UsageError

SPEC = find_spec("statsmodels")
ROOT = Path(SPEC.submodule_search_locations[0]) if SPEC else None
FILES = sorted(ROOT.rglob("*.csv")) if ROOT else []
pytestmark = pytest.mark.skipif(not FILES, reason="statsmodels, whose files are read, is missing")

#: what is in the name of those that are separated by something else than a comma
SPACED = (
    "src/anes96",
    "E6_jmulti",
    "spector",
    "t_mnlogit",
    "survival_data_",
    "AROLS",
    "test_coint",
)
OTHER = {"anes96/anes96": "\t", "modechoice.csv": ";", **dict.fromkeys(SPACED, r"\s+")}
#: what pandas can read and is refused: a heading that does not name the column of row labels
REFUSED = {"dietox.csv": "the heading, has 7 values and the line after it has 8"}


def as_pandas(file):
    """Return what pandas reads, told by hand what no rule here decides."""
    path = file.relative_to(ROOT).as_posix()
    separator = next((sign for name, sign in OTHER.items() if name in path), ",")
    first = pd.read_csv(file, sep=separator, header=None, nrows=1, skipinitialspace=True)
    bare = pd.to_numeric(first.iloc[0], errors="coerce").notna().all()
    frame = pd.read_csv(
        file, sep=separator, header=None if bare else 0, skipinitialspace=True, index_col=False
    )
    return frame.iloc[:, 1:] if str(frame.columns[0]).startswith("Unnamed") else frame


def pandas_can(file):
    """Return whether pandas reads numbers alone."""
    try:
        frame = as_pandas(file)
    except pd.errors.ParserError:
        return False
    return all(kind.kind in "biuf" for kind in frame.dtypes) and not frame.isna().any(axis=None)


def ours(file):
    """Return what is read, or the reason why it is refused."""
    try:
        return read_tensor(str(file)).numpy()
    except UsageError as error:
        return str(error)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_it_is_read_as_pandas_reads_it_or_is_no_table_of_numbers(file):
    found = ours(file)
    if isinstance(found, str):
        assert found.startswith(str(file))
        assert REFUSED.get(file.name, "") in found
        assert file.name in REFUSED or not pandas_can(file)
    else:
        assert np.array_equal(found, as_pandas(file).to_numpy(dtype=float))


def test_most_are_read():
    read = [file for file in FILES if file.name not in REFUSED and pandas_can(file)]
    assert len(read) > len(FILES) / 2
