"""A figure of matplotlib that a notebook shows where it is returned, without pyplot."""

import io

from matplotlib import figure


class Figure(figure.Figure):
    """A figure that is its own picture in a notebook, whatever backend is chosen there."""

    def _repr_png_(self) -> bytes:
        png = io.BytesIO()
        self.savefig(png, format="png", pil_kwargs={"optimize": True})
        return png.getvalue()
