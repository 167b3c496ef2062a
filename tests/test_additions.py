"""The pages on adding an optimizer and an objective, taken literally in a copy of the project."""

import json
import os
import shlex
import shutil
import subprocess
import sys

import pytest

from pages import ROOT, blocks, commands, shorter, words_of

pytestmark = [pytest.mark.slow, pytest.mark.no_cover]

MOST_PLACES = 5
#: one process for the tests and all commands of a page, that imports the copy once; their pictures
#: are white: others look at what is drawn
TESTS_AND_COMMANDS = """
import json, sys
import numpy, pytest
name, tests, commands = json.load(sys.stdin)
for folder in tests:  # where no test has the name, pytest ends with a status that is not 0
    assert pytest.main(["-q", "-m", "not slow", "-k", name, folder]) == 0, folder
from descentlab.__main__ import main
from descentlab.drawing import figure
figure.pixels = lambda _: numpy.full((100, 160, 3), 255, dtype=numpy.uint8)
figure.FigureCanvasSVG.print_svg = lambda _, file, metadata: file.write(b"<svg/>")
for words in commands:
    assert main(words) == 0, words
"""


@pytest.fixture
def copy(tmp_path):
    """A copy of the project, laid out so that it can be imported."""
    for name in ("src", "configs", "tests", "docs"):
        ignored = shutil.ignore_patterns("__pycache__", "handouts" if name == "tests" else "")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "Makefile"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "import").mkdir()
    (tmp_path / "import/descentlab").symlink_to(tmp_path / "src")
    (tmp_path / "import/configs").symlink_to(tmp_path / "configs")
    return tmp_path


def run(copy, *words, given=None):
    environment = {**os.environ, "PYTHONPATH": str(copy / "import"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        words, cwd=copy, env=environment, input=given, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def follow(page, copy):
    """Write and change what a page says; return the places."""
    places = []
    for block in blocks((ROOT / "docs" / page).read_text()):
        if block.language == "diff":
            text = block.text
            run(copy, "git", "apply", "--recount", "--unidiff-zero", "-", given=text)
            places += [line[6:] for line in text.splitlines() if line.startswith("+++ b/")]
        elif block.path:
            assert not (copy / block.path).exists()
            (copy / block.path).write_text(block.content)
            places.append(block.path)
    return places


def try_commands(page, name, copy):
    """Run the commands of a page, those of make as what they stand for, on what was added."""
    tests, lines = [], []
    for block in blocks((ROOT / "docs" / page).read_text()):
        for command, _ in commands(block) if block.language == "console" else ():
            if command.startswith("make "):
                tests.append(shlex.split(command)[-1].removeprefix("PYTEST="))
            else:
                lines.append([*words_of(command, ""), *shorter(command)])
    assert tests
    assert lines
    given = json.dumps([name, tests, lines])
    run(copy, sys.executable, "-c", TESTS_AND_COMMANDS, given=given)


@pytest.mark.parametrize(
    ("page", "name"),
    [("add_an_optimizer.md", "nesterov"), ("add_an_objective.md", "ThreeHumpCamel")],
)
def test_a_page_followed_literally_gives_a_tested_addition(page, name, copy):
    places = follow(page, copy)
    assert len(places) == len(set(places)) <= MOST_PLACES
    sources = [place for place in places if place.endswith(".py")]
    run(copy, sys.executable, "-m", "ruff", "check", *sources)
    run(copy, sys.executable, "-m", "ruff", "format", "--check", *sources)
    try_commands(page, name, copy)
