"""The animated path: in each frame the star is where the descent has come to by then."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from descentlab.drawing.animation import animation_of, frames_of
from descentlab.drawing.figure import files_of
from descentlab.drawing.trajectory import Path, trajectory_figure

GREEN = 255 * np.array(to_rgb("#009E73"))
RANDOM = np.random.default_rng()


def bowl(points):
    return (points**2).sum(axis=1)


def stars(file, box):
    """Where the star is in each frame, in pixels from the lower left: the middle of its green."""
    found = []
    with Image.open(file) as animation:
        for number in range(animation.n_frames):
            animation.seek(number)
            picture = np.asarray(animation.convert("RGB"), dtype=float)[::-1]
            green = np.abs(picture - GREEN).max(axis=2) < 40
            rows, columns = np.nonzero(green)
            inside = box.contains
            kept = [(x, y) for x, y in zip(columns, rows, strict=True) if inside(x, y)]
            found.append(np.mean(kept, axis=0))
    return np.array(found)


@pytest.mark.parametrize("parameters", [1, 2, 4])
def test_the_star_goes_along_the_path(tmp_path, parameters):
    points = RANDOM.normal(size=(6, parameters))
    names = [f"w[{n}]" for n in range(parameters)]
    path = Path(points, bowl(points), 2 * np.sqrt(bowl(points)), names, np.arange(6) * 7)
    figure = trajectory_figure(path, bowl)
    files_of(figure)
    way = np.stack(next(x for x in figure.axes[0].lines if x.get_label() == "path").get_data(), 1)
    (tmp_path / "path.gif").write_bytes(animation_of(figure))
    expected = figure.axes[0].transData.transform(way)
    found = stars(tmp_path / "path.gif", figure.axes[0].bbox)
    assert np.abs(found - expected).max() < 4  # pixels
    assert np.abs(found - expected[::-1]).max() > 40
    assert figure.axes[0].get_title() == "The path of 35 updates, one point an epoch: after 35"
    assert "now" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_of_many_points_some_are_shown_the_first_and_the_last_among_them():
    for points in (2, 59, 60, 61, 10_000):
        shown = frames_of(points)
        assert (shown[0], shown[-1], len(shown)) == (0, points - 1, min(points, 60))
        assert shown == sorted(set(shown))
