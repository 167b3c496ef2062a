"""How mkdocs.yml has docstrings read: formulas become MathML, examples code."""

import re
from typing import Any

from griffe import Extension, Object
from latex2mathml.converter import convert

_DISPLAYED = re.compile(r"^( *)\.\. math::(.*(?:\n+\1 +\S.*)*)", re.MULTILINE)
_INLINE = re.compile(r":math:`([^`]+)`")


class Readable(Extension):
    """Rewrites the docstring of everything that is documented, before it is taken apart."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Rewrite one docstring."""
        if obj.docstring is not None:
            obj.docstring.value = readable(obj.docstring.value)


def readable(text: str) -> str:
    """Return a docstring with MathML for its formulas, and its example under the name for code.

    Args:
        text: of a docstring, with LaTeX as Sphinx takes it.
    """
    text = _DISPLAYED.sub(lambda found: found[1] + _mathml(found[2], "block"), text)
    text = _INLINE.sub(lambda found: _mathml(found[1], "inline"), text)
    return re.sub(r"^( *)Example:$", r"\1Examples:", text, flags=re.MULTILINE)


def _mathml(latex: str, display: str) -> str:
    markup = convert(" ".join(latex.split()), display=display)
    return markup.replace("*", "&#42;").replace("_", "&#95;")  # which Markdown has a use for
