"""The report: its rows, its page in a browser, and how the command ends."""

import base64
import json
from dataclasses import replace

import pytest

from descentlab.handouts import catalogue, command_line
from descentlab.handouts.catalogue import CATALOGUE
from descentlab.handouts.claims import Figures, Wording
from descentlab.handouts.entry import Entry, Measured
from descentlab.handouts.page import page
from descentlab.handouts.report import table, write_report
from descentlab.handouts.reproduction import reproduce

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


def entry(name="XX-1", measure=None, note=""):
    claims = (Figures("x", "1.50"), Wording("said", "<b>yes</b>"))
    values = {"x": 1.5, "said": "<b>yes</b>"}
    return Entry(
        name, "A <title>", claims, "toy/norm.yaml", measure or (lambda runs: Measured(values)), note
    )


def broken(runs):
    runs.asked.append("descentlab fit")
    raise OSError("the disk is full")


@pytest.fixture
def three(tmp_path):
    wrong = entry("AG-2", lambda runs: Measured({"x": float("nan")}, picture=PIXEL))
    return reproduce([entry("AG-1", note="Mind this."), wrong, entry("AG-3", broken)], tmp_path)


def test_rows_have_the_keys_that_scripts_read(three, tmp_path):
    write_report(three, tmp_path)
    rows = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    for row in rows:
        for key, kind in KEYS.items():
            assert isinstance(row[key], kind), key
    assert [row["status"] for row in rows] == ["pass", "fail", "fail"]
    assert rows[0]["printed"] == "x = 1.50; said = <b>yes</b>"
    assert rows[0]["computed"] == {"x": 1.5, "said": "<b>yes</b>"}
    assert rows[0]["tolerance"] == {"x": 0.005, "said": None}
    assert rows[1]["computed"] == {"x": "nan", "said": None}
    assert rows[1]["picture"] == "pictures/AG-2.png"
    assert (tmp_path / rows[1]["picture"]).read_bytes() == PIXEL
    assert rows[2]["error"] == "OSError: the disk is full"
    assert rows[2]["commands"] == ["descentlab fit"]


def test_the_table_says_what_failed_and_why(three):
    text = table(three)
    assert "AG-2     fail" in text
    assert "x: printed 1.50, computed nan, tolerance 0.005" in text
    assert "OSError: the disk is full" in text
    assert text.endswith("3 entries, 2 failed")


def test_the_page_is_whole_and_escaped(three, tmp_path):
    text = page(three, tmp_path)
    assert "A &lt;title&gt;" in text
    assert "<b>yes" not in text
    assert "Mind this." in text
    assert "1 passed, 2 failed" in text
    assert f"data:image/png;base64,{base64.b64encode(PIXEL).decode()}" in text
    assert "python scripts/reproduce.py --only AG-2" in text
    for outside in ("http:", "https:", "<script", '<link rel="stylesheet"'):
        assert outside not in text


def test_the_command_ends_with_0_and_writes(tmp_path, capsys):
    status = command_line.main(["--only", "LG-2,AG-2", "--out", str(tmp_path / "out")])
    assert status == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "index.html",
        "report.json",
        "pictures",
    }
    output = capsys.readouterr().out
    assert "AG-2     pass" in output
    assert "2 entries, 0 failed" in output


def test_the_command_ends_with_1_when_a_figure_is_wrong(tmp_path, monkeypatch, capsys):
    good = CATALOGUE["AG-2"]
    claim = replace(good.claims[0], printed="RuntimeError: something else")
    monkeypatch.setitem(catalogue.CATALOGUE, "AG-2", replace(good, claims=(claim,)))
    assert command_line.main(["--only", "AG-2", "--out", str(tmp_path)]) == 1
    assert "AG-2     fail" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--only", "AG-99"], "there is no entry AG-99: there are TP-1.1, "),
        (["--handout", "ag"], "there is no handout ag: there are TP, AG, DI, PS, LG"),
        (["--only", "AG-1", "--handout", "LG"], "none of AG-1 is in the handout LG"),
    ],
)
def test_the_command_ends_with_2_for_an_unknown_name(words, says, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert command_line.main(words) == 2
    assert says in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert command_line.main(["--only", "AG-1", "--out", str(tmp_path / "file" / "in")]) == 2
    assert "file" in capsys.readouterr().err


def test_the_list(capsys):
    assert command_line.main(["--list"]) == 0
    output = capsys.readouterr().out
    assert all(f"  {name} " in output for name in CATALOGUE)


@pytest.mark.parametrize(
    ("only", "handout", "folder"),
    [
        ([], None, "reports/handouts"),
        (["PS-2.3"], None, "reports/handouts-PS-2.3"),
        ([], "DI", "reports/handouts-DI"),
    ],
)
def test_a_part_of_the_report_does_not_overwrite_the_whole(only, handout, folder):
    assert command_line.default_folder(only, handout).as_posix() == folder
