"""Several processes with one global batch do what one process does: parameters, tables, best."""

import warnings

import pytest
import torch
from process_cases import CASES, all_cases, group

from tolerances import FLOAT64

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What one, two and three processes found; three and one go on where two were stopped."""
    folder = tmp_path_factory.mktemp("processes")
    two = group(2, folder / "two")
    three = group(3, folder / "three", folder / "two")
    before = torch.get_default_dtype()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            one = all_cases(folder / "one", 1, folder / "two")
    finally:
        torch.set_default_dtype(before)
    return {1: [one], 2: two, 3: three}


def differences(one, other):
    """Return what differs between the findings of two runs, by its place."""
    assert one.keys() == other.keys()
    wrong = {}
    for key, expected in one.items():
        if isinstance(expected, dict):
            inner = differences(expected, other[key])
            wrong |= {f"{key} {place}": what for place, what in inner.items()}
        elif not torch.allclose(
            torch.as_tensor(other[key]).double(),
            torch.as_tensor(expected).double(),
            rtol=FLOAT64,
            atol=FLOAT64,
        ):
            wrong[key] = (expected, other[key])
    return wrong


@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.parametrize("case", CASES)
def test_as_many_processes_as_you_like_make_one_run(found, case, world):
    (one,) = found[1]
    assert one[case]["batch_losses"]
    assert not differences(one[case], found[world][0][case])
    for rank in found[world][1:]:
        for name, value in found[world][0][case]["parameters"].items():
            assert torch.equal(rank[case]["parameters"][name], value)


@pytest.mark.parametrize("world", [1, 3])
@pytest.mark.parametrize("case", ["automatic", "manual"])
def test_a_run_goes_on_with_another_number_of_processes(found, case, world):
    (one,) = found[1]
    assert not differences(
        one[case]["parameters"], found[world][0][f"{case} resumed"]["parameters"]
    )


@pytest.mark.parametrize("world", [2, 3])
def test_parts_that_count_alike_are_seen(found, world):
    """Negative control: the mean of the means of parts of unequal rows."""
    (one,) = found[1]
    assert not differences(one["automatic"], one["control"])
    assert differences(one["control"]["parameters"], found[world][0]["control"]["parameters"])


@pytest.mark.parametrize("world", [1, 3])
def test_another_global_batch_is_refused(found, world):
    said = found[world][0]["refused batch_size"]
    assert "made with batch_size = 5, this run has batch_size = 2" in said


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("rows", "a DataLoader of 23 rows does not divide among 2 processes"),
        ("validation_rows", "a DataLoader of 5 rows does not divide among 2 processes"),
    ],
)
def test_what_would_be_wrong_is_refused_by_all(found, name, message):
    assert all(rank[f"refused {name}"].startswith(message) for rank in found[2])
