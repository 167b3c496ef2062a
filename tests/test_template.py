"""The page on a project that starts from this one, taken literally in a copy of the project."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from pages import ROOT, blocks

PAGE = (ROOT / "docs/template.md").read_text()
#: what the table deletes, and what goes with it: (lines with a word, file), row by row
ROWS = [
    (re.findall(r"`(.*?)`", paths), re.findall(r"`(.*?)` in `(.*?)`", lines))
    for paths, lines in re.findall(r"^\| (`.*?) \| (.*?) ?\| .*\|$", PAGE, re.M)
]
FIT = (
    *("fit", "--model", "LinearRegression", "--data", "RegressionData", "--data.source", "line"),
    *("--figures", "none", "--trainer.max_epochs", "1"),
)


@pytest.fixture
def copy(tmp_path):
    """A copy of the project; as it is imported, it is the folder `import`."""
    for name in ("src", "configs", "scripts", "docs", "tests"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    for name in ("pyproject.toml", "Makefile"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "import").mkdir()
    (tmp_path / "import/configs").symlink_to(tmp_path / "configs")
    return tmp_path


def run(copy, name, *words):
    """Run a command of the copy, in a process that knows other packages, and no other copy.

    Python without `site` reads no `.pth`, by which an editable install would supply what is
    deleted.
    """
    link = copy / "import" / name
    if not link.exists():
        link.symlink_to(copy / "src")
    others = [path for path in sys.path if path.endswith("-packages")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(link.parent), *others])}
    done = subprocess.run(
        [sys.executable, "-S", "-m", name, *words],
        **{"cwd": copy, "env": environment, "capture_output": True, "text": True},
        check=False,
    )
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def delete(copy, rows):
    """Delete what rows of the table list; each path and each line must be there."""
    for paths, lines in rows:
        for path in (copy / each for each in paths):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for word, name in lines:
            before = (copy / name).read_text().splitlines(keepends=True)
            after = [line for line in before if word not in line]
            assert len(after) < len(before), (word, name)
            (copy / name).write_text("".join(after))


def packages(copy):
    """The packages that `pyproject.toml` names, and those that are there."""
    named = set(
        re.findall(r'^    "descentlab\.(\w+)",$', (copy / "pyproject.toml").read_text(), re.M)
    )
    return named - {"configs"}, {path.parent.name for path in (copy / "src").glob("*/__init__.py")}


@pytest.mark.slow
@pytest.mark.no_cover
@pytest.mark.parametrize("rows", range(1, len(ROWS) + 1))
def test_what_the_page_lists_can_be_deleted_from_the_top(rows, copy):
    delete(copy, ROWS[:rows])
    run(copy, "descentlab", *FIT)
    assert (copy / "logs/LinearRegression/version_0/summary.json").is_file()
    named, there = packages(copy)
    assert named == there


@pytest.mark.slow
@pytest.mark.no_cover
def test_without_shipped_configs_the_list_is_one_sentence(copy):
    delete(copy, ROWS)
    assert "trainer/cpu.yaml" in run(copy, "descentlab", "configs")
    for folder in ("trainer", "debug"):
        shutil.rmtree(copy / "configs" / folder)
    said = run(copy, "descentlab", "configs")
    assert said == "there are no shipped configs: give one of yours, --config FILE.yaml\n"
    helped = run(copy, "descentlab", "--help")
    assert not re.search(r"\b(verify|reproduce)\b", helped)


@pytest.mark.slow
@pytest.mark.no_cover
def test_what_others_use_is_missed(copy):
    delete(copy, [(["src/objectives/"], [])])
    with pytest.raises(AssertionError, match=r"descentlab\.objectives"):
        run(copy, "descentlab", *FIT)


@pytest.mark.slow
@pytest.mark.no_cover
def test_the_package_takes_another_name(copy):
    (command,) = [each.text for each in blocks(PAGE) if each.text.startswith("grep ")]
    subprocess.run(["bash", "-c", command], cwd=copy, check=True)
    run(copy, "my_project", *FIT)
    config = (copy / "logs/LinearRegression/version_0/config.yaml").read_text()
    assert "my_project.modules.LinearRegression" in config
    assert "descentlab" not in config
