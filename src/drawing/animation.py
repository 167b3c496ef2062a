"""A path that grows, as a GIF: the figure of a descent, point by point."""

import io
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.lines import Line2D
from PIL import Image

from .figure import Figure

_FRAMES_UP_TO = 60  # of more points, as many at about equal distances
_FRAME, _LAST_FRAME = 100, 2000  # milliseconds
_DPI = 80  # 720 by 720 pixels


def frames_of(points: int) -> list[int]:
    """Return which points of a path are shown, the first and the last among them.

    Example:
        >>> frames_of(3), len(frames_of(1000)), frames_of(1000)[-1]
        ([0, 1, 2], 60, 999)
    """
    shown = np.linspace(0, points - 1, min(points, _FRAMES_UP_TO)).round()
    return [int(each) for each in np.unique(shown)]


def animation_of(figure: Figure) -> bytes:
    """Return a path that grows from its start to its end, as a GIF that begins again and again.

    The star is where the descent has come to, "now" in the legend; a line in each of the panels
    below says at which update that is. All that stands still is drawn once.

    Args:
        figure: of `trajectory_figure`, laid out already; it is of no use afterwards.
    """
    top, *_, values, gradient, step = figure.axes
    path, star = _line(top, "path"), _line(top, "end")
    way = np.asarray(path.get_xydata(), dtype=np.float64)
    updates = np.asarray(gradient.get_lines()[0].get_xdata(), dtype=np.int64)
    places = [axes.axvline(updates[0], color="0.4") for axes in (values, gradient, step)]
    marks = [line for line in top.get_lines() if line.get_zorder() > path.get_zorder()]
    title, moving = top.get_title(), [top.title, path, *marks, *places]
    for text in figure.legends[0].get_texts():
        text.set_text(text.get_text().replace("end", "now"))
    for artist in moving:
        artist.set_animated(True)
    figure.set_dpi(_DPI)
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    still = canvas.copy_from_bbox(figure.bbox)
    pictures = []
    for point in frames_of(len(way)):
        canvas.restore_region(still)
        path.set_data(*way[: point + 1].T)
        star.set_data(*way[point : point + 1].T)
        for place in places:
            place.set_xdata([updates[point]] * 2)
        top.set_title(f"{title}: after {updates[point]}")
        for artist in moving:
            figure.draw_artist(artist)
        pictures.append(Image.fromarray(np.array(canvas.buffer_rgba())[:, :, :3]))
    times = [_FRAME] * (len(pictures) - 1) + [_LAST_FRAME]
    gif = io.BytesIO()
    pictures[0].save(gif, "gif", save_all=True, append_images=pictures[1:], duration=times, loop=0)
    return gif.getvalue()


def _line(axes: Axes, label: str) -> Line2D:
    return next(line for line in axes.get_lines() if line.get_label() == label)
