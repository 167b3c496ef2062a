"""What a public repository has: the same checks, versions and commands as the project itself."""

import json
import re
import shlex
import tomllib

import pytest
import yaml

from descentlab import __version__
from pages import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


def test_the_checks_run_on_every_python_that_is_named():
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]
    named = [line.rpartition(" ")[2] for line in PROJECT["classifiers"] if "Python :: 3." in line]
    assert jobs["checks"]["strategy"]["matrix"]["python"] == named
    assert PROJECT["requires-python"] == f">={named[0]}"
    assert [step["run"] for step in jobs["checks"]["steps"] if "run" in step] == [".ci/run"]


def test_the_image_runs_what_make_run_runs():
    recipe = re.search(r"^run:.*\n\t@\$\(BIN\)/(.*)$", (ROOT / "Makefile").read_text(), re.M)[1]
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    words = {line.split()[0]: line.partition(" ")[2] for line in lines if line[:1].isupper()}
    assert json.loads(words["ENTRYPOINT"]) + json.loads(words["CMD"]) == shlex.split(recipe)
    assert "-c constraints.txt" in words["RUN"]
    oldest = PROJECT["requires-python"].removeprefix(">=")
    assert words["FROM"] == f"python:{oldest}-slim"


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == __version__ == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]
    assert [each["name"] for each in citation["authors"]] == [
        each["name"] for each in PROJECT["authors"]
    ]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.stem)
def test_a_form_asks_for_what_it_names(form):
    fields = yaml.safe_load(form.read_text())["body"]
    names = [field["id"] for field in fields]
    assert len(set(names)) == len(names) > 1
    assert all(field["attributes"]["label"] for field in fields)
    assert any(field.get("validations", {}).get("required") for field in fields)
