"""What instruments cost is told from epochs of known length."""

import pytest

from benchmarks import instruments
from benchmarks.instruments import WITHOUT, EpochEnds


class Known:
    """Fits whose epochs take 2 s one by one, 1 s by default, and a tenth more with Parity."""

    def __init__(self, problem, folder, *flags):
        self.seconds = 2 if "--data.chunk=1" in flags or any("Parity" in f for f in flags) else 1
        self.seconds *= 1.1 if any("Parity" in flag for flag in flags) else 1

    def run(self, epochs):
        waits = [5, 1.5, 1, *[1.2] * (epochs - 3)]  # other work takes part in all but one
        at = 0.0
        for wait in waits:
            at += wait * self.seconds
            EpochEnds.at.append(at)


def test_the_least_disturbed_epoch_counts_and_each_is_held_against_both(monkeypatch):
    monkeypatch.setattr(instruments, "Fits", Known)
    monkeypatch.setattr(instruments.Problem, "of", lambda updates: None)
    rows = {row.name: row for row in instruments.instruments(quick=True)}
    one_by_one, by_default = (rows[f"Parity, {how}"] for how in ("batch by batch", "by default"))
    assert one_by_one.ours.median == pytest.approx(2.2e-3)
    assert one_by_one.ratios[WITHOUT].median == pytest.approx(1.1)
    assert by_default.ratios[WITHOUT].median == pytest.approx(2.2)
    assert rows["Stability, by default"].ratios[WITHOUT].median == pytest.approx(1)
    assert len(rows) == 8
