"""A handout of one's own: its file is run, its figures are held, and what is wrong is said."""

import json

import pytest
from courses import COURSE, reproduce, write

from descentlab.errors import UsageError
from descentlab.handouts import Handout
from pages import ROOT, blocks

PAGE = ROOT / "docs/your_own_handout.md"
HEADER = 'from descentlab.handouts import Handout\nMY = Handout("MY", "Mine")\n'
ENTRY = '\n@{}.entry("{}", "One")\ndef one(row):\n    row.figures("x", "1", 1)\n'


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_course_comes_out(here, capsys):
    assert reproduce(write(here)) == 0
    output = capsys.readouterr().out
    assert "MY-1     pass" in output
    assert "MY-2     pass" in output
    assert "2 entries, 0 failed" in output
    folder = here / "reports" / "course"
    rows = json.loads((folder / "report.json").read_text())
    assert [row["id"] for row in rows] == ["MY-1", "MY-2"]
    assert rows[0]["computed"] == {"1/3": 1 / 3}
    assert rows[0]["asked"] == "What is a third?"
    command = "descentlab fit --config toy/norm --trainer.max_epochs 2"
    assert (rows[0]["commands"], rows[1]["commands"]) == ([], [command])
    text = (folder / "index.html").read_text()
    assert f"descentlab reproduce {here / 'course.py'} --only MY-1" in text
    assert "By A. Teacher. Two exercises &amp; a run." in text


@pytest.mark.parametrize(("printed", "status"), [("0.333", 0), ("0.334", 1), ("0.3", 0)])
def test_a_figure_is_held_to_its_digits(here, capsys, printed, status):
    assert reproduce(write(here, printed=printed), "--only", "MY-1") == status
    output = capsys.readouterr().out
    assert ("1/3: printed 0.334, computed 0.33333333, held to ±0.0005" in output) is (status == 1)


def test_the_course_of_the_page_fails_with_another_figure(here, capsys):
    (block,) = [each for each in blocks(PAGE.read_text()) if each.path]
    assert reproduce(write(here, block.content.replace('"30.0"', '"31.0"'))) == 1
    output = capsys.readouterr().out
    assert "dy/dx: printed 31.0, computed 30, held to ±0.05" in output
    assert "2 entries, 1 failed" in output


@pytest.mark.parametrize(
    ("words", "folder", "ids"),
    [
        ([], "reports/course", {"MY-1", "MY-2"}),
        (["--only", "MY-1"], "reports/course-MY-1", {"MY-1"}),
        (
            ["--only", "MY-2,MY-1", "--handout", "MY"],
            "reports/course-MY-2-and-MY-1-and-MY",
            {"MY-1", "MY-2"},
        ),
        (["--only", "MY-2", "--only", "MY-1"], "reports/course-MY-2-and-MY-1", {"MY-1", "MY-2"}),
        (["--out", "elsewhere", "--handout", "MY"], "elsewhere", {"MY-1", "MY-2"}),
    ],
)
def test_a_part_of_the_report_does_not_overwrite_the_whole(here, words, folder, ids):
    assert reproduce(write(here), *words) == 0
    rows = json.loads((here / folder / "report.json").read_text())
    assert {row["id"] for row in rows} == ids


def test_the_list(here, capsys):
    assert reproduce(write(here), "--list") == 0
    output = capsys.readouterr().out
    assert (
        output
        == "MY  My <course> (2 entries)\n  MY-1     A third\n  MY-2     A descent  [toy/norm]\n"
    )
    assert {path.name for path in here.iterdir()} <= {"course.py", "__pycache__"}


def test_what_lies_beside_it_can_be_imported(here):
    (here / "beside_it.py").write_text("TWO = 2\n")
    text = HEADER + ENTRY.format("MY", 1).replace(", 1)", ", TWO - 1)")
    assert reproduce(write(here, f"from beside_it import TWO\n{text}")) == 0


WRONG = {
    "syntax": (f"{HEADER}def f(:\n", "course.py line 3: invalid syntax"),
    "name": (f"{HEADER}\nnowhere\n", "line 4 cannot be run: NameError: name 'nowhere' is not"),
    "import": ("import nowhere_at_all\n", "line 1 cannot be run: ModuleNotFoundError: No module"),
    "exit": ("raise SystemExit(0)\n", "line 1 cannot be run: SystemExit: 0"),
    "none": ("x = 1\n", "holds no handout with an entry: docs/your_own_handout.md shows"),
    "empty": (HEADER, "holds no handout with an entry"),
    "twice": (
        HEADER + ENTRY.format("MY", 1) + ENTRY.format("MY", 1),
        "line 8: the entry MY-1 is there twice: give one another number",
    ),
    "codes": (
        f"{HEADER}{ENTRY.format('MY', 1)}A = Handout('MY', 'Else')\n{ENTRY.format('A', 2)}",
        "holds two handouts MY: give one another code",
    ),
    "id": (HEADER + ENTRY.format("MY", "a/b"), "'MY-a/b' names no entry: take letters, digits"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_with_a_file_is_said_in_one_sentence(here, capsys, name):
    text, says = WRONG[name]
    assert reproduce(write(here, text)) == 2
    error = capsys.readouterr().err
    assert error.startswith("descentlab: error: ")
    assert says in error
    assert error.count("\n") == 1
    assert not (here / "reports").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nowhere.py"], "there is no file nowhere.py: give a Python file"),
        (["course.txt"], "course.txt is no Python file: its name must end with .py"),
        ([], "the following arguments are required: FILE: see `descentlab reproduce --help`"),
        (["course.py", "--only", "MY-9"], "there is no entry MY-9: there are MY-1, MY-2"),
        (["course.py", "--handout", "XY"], "there is no handout XY: there are MY"),
        (["course.py", "--colour"], "unrecognized arguments: --colour: see"),
        (["course.py", "--out", "course.py/in"], "course.py"),
    ],
)
def test_wrong_use_ends_with_2_and_leaves_nothing(here, capsys, words, says):
    write(here)
    write(here, name="course.txt")
    assert reproduce(*words) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert not (here / "reports").exists()


def test_ids_of_no_handout_are_none(here, capsys):
    text = (
        COURSE.replace("{printed}", "0.333") + 'B = Handout("B", "Other")\n' + ENTRY.format("B", 1)
    )
    assert reproduce(write(here, text), "--only", "MY-1", "--handout", "B") == 2
    assert "none of MY-1 is in the handout B" in capsys.readouterr().err


def test_the_help_names_it(capsys):
    with pytest.raises(SystemExit) as leave:
        reproduce("--help")
    assert leave.value.code == 0
    output = capsys.readouterr().out
    assert "usage: descentlab reproduce" in output
    assert all(flag in output for flag in ("FILE", "--only", "--handout", "--list", "--out"))


def test_a_handout_keeps_its_entries_in_order():
    handout = Handout("H", "A handout")
    for number in ("2", "1"):

        @handout.entry(number, "One")
        def fill(row):
            """Ask

            this.
            """

    assert list(handout.entries) == ["H-2", "H-1"]
    assert (handout.entries["H-1"].asked, handout.entries["H-1"].seen) == ("Ask", "this.")
    with pytest.raises(UsageError, match="H-2 is there twice"):

        @handout.entry("2", "One")
        def other(row):
            pass


def test_a_cell_of_a_notebook_that_is_run_again_replaces_its_entry():
    handout = Handout("H", "A handout")

    def run(title, file, name="first", above=""):
        source = f"{above}@handout.entry('1', '{title}')\ndef {name}(row): pass\n"
        exec(compile(source, file, "exec"), {"handout": handout})

    run("One", "cell-a")
    run("One", "cell-a")
    run("Changed", "cell-b")
    assert [each.title for each in handout.entries.values()] == ["Changed"]
    for other in ({"name": "another", "file": "cell-c"}, {"above": "\n\n", "file": "cell-b"}):
        with pytest.raises(UsageError, match="H-1 is there twice"):
            run("Copied", **other)
