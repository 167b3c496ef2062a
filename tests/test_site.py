"""The documentation as a site: `make docs`."""

import importlib
import os
import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docstrings import readable
from pages import ROOT

PACKAGES = {
    page.stem: page.read_text().rpartition("::: ")[2].strip()
    for page in (ROOT / "docs/reference").glob("*.md")
}


def build(folder, *flags):
    """Build the site; return what is said."""
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder), *flags],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built without a warning."""
    folder = tmp_path_factory.mktemp("site")
    built = build(folder)
    assert built.returncode == 0, built.stderr
    return folder


@pytest.mark.slow
@pytest.mark.no_cover
def test_every_page_is_in_the_site(site):
    pages = [page.relative_to(ROOT / "docs") for page in (ROOT / "docs").rglob("*.md")]
    for page in pages:
        place = page.parent if page.stem == "index" else page.with_suffix("")
        assert (site / place / "index.html").is_file(), page
    listed = (site / "index.html").read_text()
    unlisted = [page.stem for page in pages if f"{page.stem}/" not in listed]
    assert unlisted == ["index"]


@pytest.mark.slow
@pytest.mark.no_cover
@pytest.mark.parametrize("page", PACKAGES)
def test_the_reference_has_all_that_is_public(site, page):
    package = importlib.import_module(PACKAGES[page])
    text = (site / "reference" / page / "index.html").read_text()
    assert [name for name in package.__all__ if f'id="{PACKAGES[page]}.{name}"' not in text] == []
    assert not re.search(r":math:|\.\. math::", text)


@pytest.mark.slow
@pytest.mark.no_cover
def test_a_page_fetches_nothing_from_elsewhere(site):
    for page in site.rglob("*.html"):
        fetched = re.findall(r"<(?:script|img)[^>]* src=\"([^\"]*)|<link [^>]*>", page.read_text())
        assert [each for each in fetched if "//" in each] == [], page


@pytest.mark.slow
@pytest.mark.no_cover
def test_a_link_that_leads_nowhere_is_an_error(tmp_path):
    """The control."""
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "index.md").write_text("[nowhere](nowhere.md)\n")
    config = tmp_path / "mkdocs.yml"
    config.write_text("site_name: x\n")
    built = build(tmp_path / "site", "--config-file", str(config))
    assert built.returncode == 1
    assert "nowhere.md" in built.stderr


def test_formulas_become_mathml_and_examples_code():
    formulas = "Sum.\n\n    .. math:: a_i^* +\n        b\n\n    Of :math:`a`.\n\n"
    text = readable(f"{formulas}    Example:\n        >>> 1\n")
    start, _, rest = text.partition("<math")
    assert start == "Sum.\n\n    "
    assert re.findall(r'display="(\w+)"', rest) == ["block", "inline"]
    assert rest.endswith("</math>.\n\n    Examples:\n        >>> 1\n")
    assert not {"*", "_", "\\", "`"} & set(text)


@given(st.text(alphabet="ab .:*_`\n>"))
def test_what_is_no_formula_stays(text):
    assert readable(text) == text
