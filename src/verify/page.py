"""The report of `descentlab verify` as one page of HTML, for a screen of any width."""

import io
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch.optim import Optimizer

from ..drawing.page import fitting_picture, folded, page, paragraph, section, table, verdict
from ..drawing.two_paths import two_paths_figure
from .comparison import Outcome
from .paths import paths
from .verification import Verification, maker

#: the findings that are of no problem and say more than their word
_OF = {
    "works": "hyperparameters that do something",
    "keeps": "checks that hold",
    "stable": "learning rate",
    "costs": "cost of a step",
}

Kind = Callable[..., Optimizer]


def verification_page(
    found: Sequence[Verification], candidates: Sequence[Kind], reference: Kind, steps: int
) -> str:
    """Return a page with a part for each optimizer: the verdict, a picture, the evidence.

    Args:
        found: what came out of each.
        candidates: what makes each.
        reference: what makes the one that they were held against.
        steps: how many were taken on each problem.
    """
    parts = [
        section(each.candidate, *_parts(each, kind, reference, steps))
        for each, kind in zip(found, candidates, strict=True)
    ]
    return page(f"Held against {found[0].reference}", parts)


def _parts(found: Verification, candidate: Kind, reference: Kind, steps: int) -> Iterator[str]:
    yield verdict(found.holds, found.verdict)
    if found.identity:
        yield paragraph(str(found.identity))
    yield paragraph(found.made_with)
    yield _picture(found, candidate, reference, steps)
    findings = sorted(found.findings, key=lambda each: not each[0].isupper())  # what is wrong first
    rows = [(where or _OF.get(word, word), what, word) for word, where, what in findings]
    yield table(["problem or check", "what came out", "verdict"], rows)
    yield folded("as text", str(found))


def _picture(found: Verification, candidate: Kind, reference: Kind, steps: int) -> str:
    """Return the picture of the two paths, on the problem that says most."""
    outcome = _shown(found)
    given: dict[str, Any] = found.hyperparameters
    drawn = paths(maker(candidate, given), maker(reference, given), outcome, steps)
    if len(drawn.ours) < 2:
        return paragraph(f"There is no path to draw on {outcome.problem}: no step was taken.")
    first = outcome.parameter.step if outcome.parameter else None
    name = f"{outcome.problem} ({outcome.dtype})"
    figure = two_paths_figure(drawn.ours, drawn.theirs, drawn.allowed, name, first)
    png = io.BytesIO()
    figure.savefig(png, format="png", pil_kwargs={"optimize": True})
    about = f"Where {found.candidate} and {found.reference} go on {name}, and their difference"
    return fitting_picture(png.getvalue(), about)


def _shown(found: Verification) -> Outcome:
    """Return the first outcome where they part; else the one with the largest difference."""
    parted = [each for each in found.compared if each.parameter]
    return parted[0] if parted else max(found.compared, key=lambda each: each.largest)
