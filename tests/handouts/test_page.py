"""The report: its rows, its page, and entries that cannot be run to their end."""

import base64
import json

import pytest
from matplotlib.figure import Figure

from descentlab.handouts import Handout
from descentlab.handouts.page import page
from descentlab.handouts.report import table, write_report
from descentlab.handouts.runner import run_entry
from descentlab.handouts.runs import Runs

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
KEYS = {
    "id": str,
    "handout": str,
    "title": str,
    "printed": str,
    "computed": dict,
    "tolerance": dict,
    "status": str,
    "note": str,
    "config": str,
    "picture": (str, type(None)),
}
H = Handout("H", "A <handout>", "About & so on.")


@H.entry("1", "A <title>", formula="a < b", note="Mind this.")
def good(row):
    """Is it <asked>?

    One sees
    <this>.
    """
    row.figures("x", "1.50", 1.5)
    row.wording("said", "<b>yes</b>", "<b>yes</b>")


@H.entry("2", "A picture, and a figure that is none")
def wrong(row):
    row.figures("x", "1.50", float("nan"))
    row.picture = PIXEL


@H.entry("3", "A disk that is full", "toy/norm")
def broken(row):
    row.figures("first", "1", 1)
    row.predict("--config", "nowhere")


@H.entry("4", "Nothing")
def nothing(row):
    pass


@H.entry("5", "A way out")
def leaving(row):
    raise SystemExit(3)


@H.entry("6", "No config")
def without_config(row):
    row.fit()


@H.entry("7", "A drawing")
def drawing(row):
    row.figures("x", "1", 1)
    row.picture = Figure()
    row.details["a"] = "<b>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("report")


@pytest.fixture(scope="module")
def results(folder):
    runs = Runs(folder / "runs")
    return [run_entry(entry, runs, folder) for entry in H.entries.values()]


def test_rows_have_the_keys_that_scripts_read(results, folder):
    write_report(results, folder, "reproduce")
    rows = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    for row in rows:
        for key, kind in KEYS.items():
            assert isinstance(row[key], kind), key
    assert [row["status"] for row in rows] == ["pass", *["fail"] * 5, "pass"]
    assert rows[0]["printed"] == "x = 1.50; said = <b>yes</b>"
    assert rows[0]["computed"] == {"x": 1.5, "said": "<b>yes</b>"}
    assert rows[0]["tolerance"] == {"x": 0.005, "said": None}
    assert rows[1]["computed"] == {"x": "nan"}
    assert rows[1]["picture"] == "pictures/H-2.png"
    assert (folder / rows[1]["picture"]).read_bytes() == PIXEL
    assert (folder / rows[6]["picture"]).read_bytes().startswith(b"\x89PNG")


def test_an_entry_that_cannot_be_run_has_failed_and_says_why(results):
    broken, nothing, leaving, without_config = results[2:6]
    assert "ended with status 2: descentlab: error: there is no config nowhere" in broken.error
    assert broken.commands == ["descentlab predict --config toy/norm --config nowhere"]
    assert [claim.passed for claim in broken.claims] == [True]
    assert nothing.error == "it claims nothing"
    assert leaving.error == "SystemExit: 3"
    assert without_config.error.endswith("fit: name a config, here or where the entry is added")


def test_the_table_says_what_failed_and_why(results):
    text = table(results)
    assert "H-2      fail" in text
    assert "x: printed 1.50, computed nan, held to ±0.005" in text
    assert "SystemExit: 3" in text
    assert text.endswith("7 entries, 5 failed")


def test_the_page_is_whole_and_escaped(results, folder):
    text = page(results, folder, "a <command>")
    for inside in (
        "<h1>A &lt;handout&gt;, reproduced</h1>",
        '<p class="about">About &amp; so on.</p>',
        "A &lt;title&gt;",
        '<p class="asked">Is it &lt;asked&gt;?</p>',
        '<p class="formula">a &lt; b</p>',
        '<p class="seen">One sees &lt;this&gt;.</p>',
        "Mind this.",
        "<dt>a</dt><dd>&lt;b&gt;</dd>",
        "2 passed, 5 failed<",
        f"data:image/png;base64,{base64.b64encode(PIXEL).decode()}",
        "a &lt;command&gt; --only H-2",
    ):
        assert inside in text, inside
    for outside in ("<b>", "http:", "https:", "<script", '<link rel="stylesheet"', 'stopped">'):
        assert outside not in text


def test_a_run_that_two_entries_need_is_made_once(tmp_path):
    handout = Handout("R", "Runs")
    folders = []
    for number in (1, 2):

        @handout.entry(str(number), "A run", "toy/norm")
        def fill(row):
            folders.append(row.fit("--trainer.max_epochs", "1").folder)
            row.figures("x", "1", 1)

    runs = Runs(tmp_path)
    commands = [run_entry(entry, runs, tmp_path).commands for entry in handout.entries.values()]
    assert commands == [["descentlab fit --config toy/norm --trainer.max_epochs 1"]] * 2
    assert folders[0] == folders[1]


def test_a_command_that_should_fail_and_does_not(tmp_path):
    handout = Handout("F", "Failing")

    @handout.entry("1", "A run", "toy/norm")
    def fill(row):
        row.figures("x", "1", 1)
        row.fit("--trainer.max_epochs", "1", fails=True)

    (entry,) = handout.entries.values()
    assert "ended with status 0" in run_entry(entry, Runs(tmp_path), tmp_path).error
