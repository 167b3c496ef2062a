"""The record of what was measured: written, shown, and held against what is measured next."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import command_line
from benchmarks.measure import Row, Spread, in_turn, marginal
from benchmarks.record import into_page, measured, slower, table

ROOT = Path(__file__).parents[2]
ROW = Row.of("an update", "s an update", [2e-6, 3e-6, 4e-6], {"loop": [1e-6, 1e-6, 1e-6]})


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """Run the command in an empty folder, with one case that gives a row."""
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "docs" / "performance.md"
    page.parent.mkdir()
    page.write_text("Before.\n\n<!-- made -->\n<!-- end of made -->\n\nAfter.\n")

    def run(*words, row=ROW):
        monkeypatch.setattr(command_line, "CASES", {"made": lambda quick: [row]})
        return command_line.main(list(words))

    return run


def slowed(factor):
    ratio = ROW.ratios["loop"]
    return replace(ROW, ratios={"loop": replace(ratio, median=factor * ratio.median)})


def test_a_ratio_is_the_median_of_the_ratios_of_the_rounds():
    row = Row.of("x", "s", [1.0, 4.0, 9.0], {"other": [1.0, 2.0, 1.0]})
    assert row.ratios["other"] == Spread(2.0, 1.5, 5.5)
    assert row.ours == Spread(4.0, 2.5, 6.5)
    assert Spread.of([7.0]) == Spread(7.0, 7.0, 7.0)


def test_contenders_are_timed_in_turn_after_one_round_that_does_not_count():
    order = []

    def contender(name):
        return lambda: order.append(name) or float(len(order))

    seconds = in_turn({name: contender(name) for name in "ab"}, rounds=2)
    assert order == ["a", "b"] * 3
    assert seconds == {"a": [3.0, 5.0], "b": [4.0, 6.0]}


def test_the_marginal_cost_leaves_out_what_a_run_costs_once(monkeypatch):
    clock = [0.0]

    def run(epochs):
        clock[0] += 100.0 + 3.0 * epochs

    monkeypatch.setattr("benchmarks.measure.time.perf_counter", lambda: clock[0])
    assert marginal(run, epochs=5, updates_per_epoch=3) == pytest.approx(1.0)


def test_a_case_is_recorded_and_its_table_put_into_the_page(bench, tmp_path, capsys):
    assert bench("made") == 0
    record = json.loads((tmp_path / "reports" / "benchmark.json").read_text())
    (row,) = record["made"]["rows"]
    assert row["ours"]["median"] == 3e-6
    assert row["alternatives"]["loop"]["median"] == 1e-6
    assert row["ratios"]["loop"] == {
        "median": 3.0,
        "lower_quartile": pytest.approx(2.5),
        "upper_quartile": pytest.approx(3.5),
    }
    page = (tmp_path / "docs" / "performance.md").read_text()
    assert page.startswith("Before.")
    assert page.endswith("After.\n")
    assert "| an update | 3 µs an update | 3 (2.5 to 3.5) |" in page
    assert bench("made") == 0
    assert (tmp_path / "docs" / "performance.md").read_text().count("| an update |") == 1
    assert "3 (2.5 to 3.5)" in capsys.readouterr().out


def test_a_quick_run_leaves_the_page(bench, tmp_path):
    before = (tmp_path / "docs" / "performance.md").read_text()
    assert bench("made", "--quick") == 0
    assert (tmp_path / "docs" / "performance.md").read_text() == before


@pytest.mark.parametrize(("factor", "status"), [(0.5, 0), (1.19, 0), (1.21, 1), (3.0, 1)])
def test_a_check_fails_where_a_ratio_is_more_than_a_fifth_above(factor, status, bench, capsys):
    assert bench("made") == 0
    assert bench("made", "--check", row=slowed(factor)) == status
    said = capsys.readouterr().err
    shown = f"made: an update, against loop: {3 * factor:.3g} now, 3 recorded"
    assert (shown in said) is bool(status)
    assert bench("made", "--check") == 0  # the record is what it was


def test_a_check_needs_a_record_of_its_kind(bench, capsys):
    assert bench("made", "--check") == 2
    assert "there is no record of made" in capsys.readouterr().err
    assert bench("made", "--quick") == 0
    assert bench("made", "--check") == 2
    assert "check it with --quick" in capsys.readouterr().err


def test_a_damaged_record_is_named(bench, tmp_path, capsys):
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "benchmark.json").write_text("{")
    assert bench("made") == 2
    assert "benchmark.json is damaged" in capsys.readouterr().err


def test_an_unknown_case_is_refused_with_those_that_there_are(bench, capsys):
    assert bench("nothing") == 2
    assert "there is no case nothing: give some of made" in capsys.readouterr().err.splitlines()[-1]


def test_a_row_that_is_new_is_not_slower():
    old = measured([ROW], quick=False)
    new = measured([replace(slowed(9), name="another")], quick=False)
    assert slower("made", new, old) == []


def test_a_page_without_marks_is_refused():
    with pytest.raises(ValueError, match="put them back"):
        into_page("Nothing here.", "made", "x")


def test_facts_stand_below_the_table():
    row = replace(ROW, facts={"slope": 1.02})
    assert "- an update: slope 1.02." in table(measured([row], quick=False))


def test_the_page_has_the_recorded_tables():
    record = json.loads((ROOT / "reports" / "benchmark.json").read_text())
    page = (ROOT / "docs" / "performance.md").read_text()
    assert set(record) == set(command_line.CASES)
    for name, case in record.items():
        assert not case["quick"]
        assert into_page(page, name, table(case)) == page, f"measure {name} again, in full"
