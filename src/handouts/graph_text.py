"""A graph as two lines of text: its nodes and its edges, so that it can be printed and compared."""

from collections import Counter

from ..drawing.graphs import edges, nodes
from .runs import Finished


def node_text(dot: str) -> str:
    """Return the names of a graph's nodes in alphabetical order, each with how many there are.

    Args:
        dot: what `descentlab.drawing.graphs.computational_graph` returned.
    """
    return _counted(nodes(dot))


def edge_text(dot: str) -> str:
    """Return a graph's edges in alphabetical order, each with how many there are.

    Args:
        dot: what `descentlab.drawing.graphs.computational_graph` returned.
    """
    return _counted(Counter({f"{a} → {b}": count for (a, b), count in edges(dot).items()}))


def _counted(names: Counter[str]) -> str:
    return ", ".join(
        f"{name} ({count})" if count > 1 else name for name, count in sorted(names.items())
    )


def graph_values(finished: Finished, graph: str, label: str = "") -> dict[str, str]:
    """Return the values of the claims on a graph that a run drew.

    Args:
        finished: the run.
        graph: the name of the file.
        label: put after the names of the claims, where there is more than one graph.
    """
    dot = (finished.run.graphs / f"{graph}.dot").read_text(encoding="utf-8")
    return {f"nodes{label}": node_text(dot), f"edges{label}": edge_text(dot)}
