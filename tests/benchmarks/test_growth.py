"""What grows in a long fit is seen, and what does not is not."""

import pytest

from benchmarks.growth import grown, row_of

SAMPLES = [(0.5 * epoch, 400_000_000 + epoch % 3 * 1_000_000, 8) for epoch in range(100)]


def test_a_fit_that_stays_as_it_is_has_not_grown():
    assert grown(SAMPLES) == []
    row = row_of(SAMPLES)
    assert row.ratios["second fifth"].median == pytest.approx(1)
    assert row.facts["open files at the end"] == 8
    assert row.facts["memory after a fifth, MB"] == 401


@pytest.mark.parametrize(
    ("leak", "says"),
    [
        (lambda n, time, memory, files: (time + 0.001 * n**2, memory, files), "an epoch takes"),
        (lambda n, time, memory, files: (time, memory + 200_000 * n, files), "memory by"),
        (lambda n, time, memory, files: (time, memory, files + n // 50), "open files by 1"),
    ],
)
def test_what_grows_is_named(leak, says):
    """Negative control: time, memory and open files that grow, each by itself."""
    (said,) = grown([leak(n, *sample) for n, sample in enumerate(SAMPLES)])
    assert said.startswith(says)
