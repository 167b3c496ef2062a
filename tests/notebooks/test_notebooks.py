"""The notebooks of the documentation: each is run anew, and prints what is saved in it."""

import base64
import copy

import nbformat
import pytest
from nbclient import NotebookClient

from pages import ROOT, same_line

NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
LARGEST = 300_000  # bytes


def read(path):
    return nbformat.read(path, as_version=4)


def printed(cell):
    """The lines that a cell printed or returned as text, and how many pictures it shows."""
    lines, pictures = [], 0
    for output in cell.get("outputs", []):
        assert output["output_type"] != "error", output
        if output.get("name") == "stderr":  # a progress bar, which is not saved
            continue
        data = output.get("data", {})
        lines += output.get("text", data.get("text/plain", "")).splitlines()
        if "image/png" in data:
            assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")
            pictures += 1
    return lines, pictures


def differences(saved, anew):
    """The sources of the cells that print or show other things, to the digits that are shown."""
    found = []
    for ours, theirs in zip(saved.cells, anew.cells, strict=True):
        (lines, pictures), (others, shown) = printed(ours), printed(theirs)
        same = len(lines) == len(others) and all(map(same_line, lines, others))
        if not same or pictures != shown:
            found.append((ours.source, lines, others))
    return found


def test_there_are_three_and_each_is_short():
    assert len(NOTEBOOKS) == 3
    for path in NOTEBOOKS:
        assert path.stat().st_size < LARGEST, path
        notebook = read(path)
        nbformat.validate(notebook)
        assert sum(printed(cell)[1] for cell in notebook.cells) >= 1, path


@pytest.mark.slow
@pytest.mark.no_cover
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_prints_what_is_saved_in_it(path, tmp_path):
    anew = read(path)
    for cell in anew.cells:
        if "outputs" in cell:
            cell["outputs"] = []
    NotebookClient(anew, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert differences(read(path), anew) == []
    warned = [o for c in anew.cells for o in c.get("outputs", []) if "Warning" in o.get("text", "")]
    assert warned == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_another_figure_and_a_missing_picture_are_seen(path):
    saved = read(path)
    assert differences(saved, copy.deepcopy(saved)) == []
    for change in (one_digit, no_picture):
        other = copy.deepcopy(saved)
        change(other)
        assert len(differences(saved, other)) == 1, change


def one_digit(notebook):
    outputs = (o for c in notebook.cells for o in c.get("outputs", []))
    for output in outputs:
        holder = output if "text" in output else output.get("data", {})
        key = "text" if "text" in output else "text/plain"
        words = holder.get(key, "").split()
        numbers = [word for word in words if word.replace(".", "").isdecimal()]
        if numbers:
            holder[key] = holder[key].replace(numbers[-1], f"1{numbers[-1]}")
            return
    raise AssertionError("there is no number")


def no_picture(notebook):
    outputs = (o for c in notebook.cells for o in c.get("outputs", []))
    next(o for o in outputs if "image/png" in o.get("data", {}))["data"].pop("image/png")
