"""The notebooks of the documentation: each is run anew, and prints what is saved in it."""

import base64
import copy
import io

import nbformat
import pytest
from nbclient import NotebookClient
from PIL import Image, ImageDraw

from pages import ROOT, same_line, same_picture

NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
LARGEST = 300_000  # bytes


def read(path):
    return nbformat.read(path, as_version=4)


def printed(cell):
    """The lines that a cell printed or returned as text, and the pictures that it shows."""
    lines, pictures = [], []
    for output in cell.get("outputs", []):
        assert output["output_type"] != "error", output
        if output.get("name") == "stderr":  # a progress bar, which is not saved
            continue
        data = output.get("data", {})
        lines += output.get("text", data.get("text/plain", "")).splitlines()
        if "image/png" in data:
            pictures.append(base64.b64decode(data["image/png"]))
    return lines, pictures


def differences(saved, anew):
    """The sources of the cells that print or show other things, to the digits that are shown."""
    found = []
    for ours, theirs in zip(saved.cells, anew.cells, strict=True):
        (lines, pictures), (others, shown) = printed(ours), printed(theirs)
        same = len(lines) == len(others) and all(map(same_line, lines, others))
        same = same and len(pictures) == len(shown)
        if not same or not all(map(same_picture, pictures, shown)):
            found.append((ours.source, lines, others))
    return found


def test_there_are_three_and_each_is_short():
    assert len(NOTEBOOKS) == 3
    for path in NOTEBOOKS:
        assert path.stat().st_size < LARGEST, path
        notebook = read(path)
        nbformat.validate(notebook)
        assert any(printed(cell)[1] for cell in notebook.cells), path


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
    for change in (one_digit, no_picture, another_picture):
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


def first_picture(notebook):
    outputs = (o.get("data", {}) for c in notebook.cells for o in c.get("outputs", []))
    return next(data for data in outputs if "image/png" in data)


def no_picture(notebook):
    first_picture(notebook).pop("image/png")


def another_picture(notebook):
    """A line of two pixels across it."""
    data = first_picture(notebook)
    picture = Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).convert("RGB")
    ImageDraw.Draw(picture).line((0, 0, *picture.size), fill="red", width=2)
    content = io.BytesIO()
    picture.save(content, "png")
    data["image/png"] = base64.b64encode(content.getvalue()).decode()
