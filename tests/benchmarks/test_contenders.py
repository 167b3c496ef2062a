"""The contenders compute the same thing, and what computes something else is caught."""

import importlib.util
import logging

import pytest
import torch

from benchmarks import loops, overhead, rows, startup, sweep, unroll
from benchmarks.fits import Fits, quietly
from benchmarks.libraries import KERAS, SCIKIT, has_keras, keras_fit, scikit
from benchmarks.loops import Problem, optax_scan, plain, stock
from descentlab.datamodules import TensorLoader
from forked import unmeasured

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("white_pictures")]

needs_optax = pytest.mark.skipif(
    importlib.util.find_spec("optax") is None, reason="optax is not installed (extra bench)"
)


@pytest.fixture(scope="module")
def problem():
    return Problem.of(updates_per_epoch=5)


def test_the_plain_loop_is_gradient_descent_by_hand(problem):
    x, y = (part.double() for part in problem.rows("train"))
    slope = bias = 0.0
    orders = [loops.permutation(loops.SEED, epoch, len(x)) for epoch in range(2)]
    expected = []
    for batch in (part for order in orders for part in order.split(loops.BATCH_SIZE)):
        error = x[batch, 0] * slope + bias - y[batch]
        expected.append(float((error**2).mean()))
        slope -= loops.LEARNING_RATE * 2 * float((error * x[batch, 0]).mean())
        bias -= loops.LEARNING_RATE * 2 * float(error.mean())
    found = plain(problem, epochs=2)
    assert found.batch_losses == pytest.approx(expected, rel=1e-5)
    assert found.final() == pytest.approx([slope, bias], rel=1e-5)


def test_a_fit_and_the_split_loop_are_the_plain_loop(problem, tmp_path):
    expected = plain(problem, epochs=2)
    overhead.check("split", plain(problem, 2, sliced=True), expected)
    overhead.check("fit", Fits(problem, tmp_path / "ours")(2), expected)


@needs_optax
def test_optax_is_the_plain_loop(problem):
    overhead.check("optax", optax_scan(problem)(2), plain(problem, epochs=2))


@needs_optax
def test_the_records_of_optax_are_those_of_a_fit(problem, tmp_path):
    found = optax_scan(problem, folder=tmp_path)(2)
    fit = Fits(problem, tmp_path / "ours").run(2)
    ours = [line.split(",") for line in fit.batch_losses.read_text().splitlines()[1:]]
    theirs = [line.split(",") for line in (tmp_path / "updates.csv").read_text().splitlines()]
    assert [row[:2] for row in theirs] == [row[:2] for row in ours]
    assert [float(row[2]) for row in theirs] == pytest.approx(found.batch_losses, rel=1e-6)
    epochs = (tmp_path / "epochs.csv").read_text().splitlines()
    assert [float(each) for each in epochs[-1].split(",")[1:3]] == pytest.approx(
        found.epoch_losses[-1], rel=1e-6
    )
    assert len(epochs) == 2


def test_scikit_learn_is_the_plain_loop_of_single_rows(problem):
    single = Problem.of(updates_per_epoch=40, batch_size=1)
    expected, found = plain(single, epochs=2), scikit(single, epochs=2)
    overhead.check(SCIKIT, found, expected)
    assert len(expected.batch_losses) == 80
    for ours, theirs in zip(found.epoch_losses, expected.epoch_losses, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)
    with pytest.raises(ValueError, match="batches of one row, not of 32"):
        scikit(problem, epochs=1)


@pytest.mark.skipif(not has_keras(), reason="keras and jax are not installed (extra bench)")
def test_keras_is_the_plain_loop(problem):
    found, expected = keras_fit(problem)(2), plain(problem, epochs=2)
    overhead.check(KERAS, found, expected)
    for ours, theirs in zip(found.epoch_losses, expected.epoch_losses, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)


def test_a_stock_project_runs_and_leaves_lightnings_notes_as_they_were(problem):
    notes = logging.getLogger("lightning.pytorch")
    before = notes.level
    stock(problem, epochs=1)
    assert notes.level == before


def test_a_contender_with_another_rate_is_caught(problem, monkeypatch):
    expected = plain(problem, epochs=2)
    monkeypatch.setattr(loops, "LEARNING_RATE", 1.01 * loops.LEARNING_RATE)
    with pytest.raises(RuntimeError, match="split computes something else"):
        overhead.check("split", plain(problem, 2, sliced=True), expected)


def test_a_fit_that_fails_says_why():
    with pytest.raises(RuntimeError, match="there is no config nowhere"):
        quietly(["fit", "--config=nowhere"])


@pytest.mark.usefixtures("once")
def test_the_overhead_has_a_row_for_each_way():
    ways = {"plainly": (), "chunks of 5": ("--model.manual_optimization=true", "--data.chunk=5")}
    others = {**overhead.LOOPS, "stock Lightning": stock}
    found = overhead.at(Problem.of(5), ways, others, epochs=1, quick=True)
    assert [row.name for row in found] == [f"5 updates an epoch, {way}" for way in ways]
    for row in found:
        assert set(others) <= set(row.ratios)
        assert set(row.alternatives) == set(row.ratios)


@pytest.fixture
def once(monkeypatch):
    """Each contender runs once: how often they do is tested elsewhere."""
    for case in (overhead, sweep, startup):
        monkeypatch.setattr(
            case, "in_turn", lambda runs, *_, **__: {name: [run()] for name, run in runs.items()}
        )


@pytest.mark.usefixtures("once")
def test_a_sweep_has_a_row_for_all_members_and_for_each(monkeypatch):
    monkeypatch.setattr(sweep, "MEMBERS", 3)
    monkeypatch.setattr(sweep, "RATES", sweep.RATES[:3])
    found = sweep.sweep(quick=True)
    assert [row.name.rsplit(", ", 1)[1] for row in found] == [
        "3 members at once",
        "per member",
    ] * 2
    assert found[1].ours.median == pytest.approx(found[0].ours.median / 3)


def test_a_member_that_differs_from_its_own_run_is_caught(problem, tmp_path, monkeypatch):
    monkeypatch.setattr(sweep, "RATES", [1.01 * sweep.LEARNING_RATE])
    ours = sweep.SweepFits(problem, tmp_path / "sweep")
    with pytest.raises(RuntimeError, match="a member differs"):
        sweep.check(ours, Fits(problem, tmp_path / "one"))


def test_horizons_have_slopes_and_peaks(monkeypatch):
    monkeypatch.setattr(unroll, "HORIZONS", (10**2, 10**3, 10**4, 10**5))
    monkeypatch.setattr(unroll, "LONG", 10**3)
    monkeypatch.setattr(unroll, "in_turn", lambda runs, rounds, warm_up: {n: [1.0] for n in runs})
    with unmeasured():
        full, sparing = unroll.unroll(quick=True)[-2:]
    assert full.facts["slope of log time over log T"] == pytest.approx(0.0, abs=1e-12)
    peaks = [value for name, value in sparing.facts.items() if name.startswith("peak")]
    assert len(peaks) == 2
    assert 0 < peaks[-1] < 1e3


def test_the_slope_of_a_power_is_its_exponent():
    assert unroll.slope((10, 100, 1000), [2e1, 2e2, 2e3]) == pytest.approx(1.0)
    assert unroll.slope((10, 100, 1000), [5.0, 5e2, 5e4]) == pytest.approx(2.0)


def test_a_wrong_gradient_is_caught():
    with pytest.raises(RuntimeError, match="the closed form"):
        unroll.check("loop", 1.01, 1.0)


def test_rows_are_handed_over_once_and_beside_their_targets():
    x = torch.randn(100, 1)
    y = 2 * x[:, 0] + 1
    rows.check(TensorLoader(x, y, batch_size=7, shuffle=True), x, y)
    with pytest.raises(RuntimeError, match="targets of other rows"):
        rows.check(TensorLoader(x, y.roll(1), batch_size=7, shuffle=True), x, y)
    with pytest.raises(RuntimeError, match="90 rows of 100"):
        rows.check(TensorLoader(x[:90], y[:90], batch_size=7), x, y)


def test_rows_have_the_memory_of_a_fit(monkeypatch):
    monkeypatch.setattr(rows, "DATALOADER_ROWS", 2**12)
    with unmeasured():
        found = rows.rows(quick=True)
    assert len(found) == 2
    held = found[-1].facts["peak memory of a fit over the size of the data"]
    assert 0.5 <= held < 20  # the numbers of the rows alone are 4 of a row's 8 bytes


@pytest.mark.usefixtures("once")
def test_startup_has_a_row_for_help_and_for_version():
    with unmeasured():
        found = startup.startup(quick=True)
    assert [row.name for row in found] == ["fit --help", "--version"]
