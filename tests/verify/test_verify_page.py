"""The page of `descentlab verify`, and the two paths that are drawn in it."""

import base64
import re
from functools import partial
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from torch import optim

from descentlab.__main__ import main
from descentlab.drawing.two_paths import two_paths_figure
from descentlab.objectives import Rosenbrock
from descentlab.verify.comparison import Outcome, run
from descentlab.verify.paths import paths
from descentlab.verify.problems import LONGEST_GRADIENT, problems

MODULE = '''
import torch
from torch import optim

class Faster(optim.SGD):
    """Its rate is one hundredth more."""

    def __init__(self, params, lr):
        super().__init__(params, lr=1.01 * lr)

class Raises(optim.SGD):
    def step(self, closure=None):
        raise ValueError("no <script>alert(1)</script> & today")

class Lost(optim.SGD):
    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for each in group["params"]:
                each.mul_(float("nan"))
'''
ROSENBROCK = Outcome("Rosenbrock", "float64", 30)


FEW = ["--against", "torch.optim.SGD", "--lr", "0.01", "--steps", "8", "--dtype", "float64"]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The status and the page of four optimizers, of which one is its reference."""
    folder = tmp_path_factory.mktemp("pages")
    (folder / "optimizers_for_pages.py").write_text(MODULE, encoding="utf-8")
    mine = [f"optimizers_for_pages.{name}" for name in ("Faster", "Raises", "Lost")]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        status = main(["verify", *mine, "torch.optim.SGD", *FEW, "--html", "found.html"])
    return status, (folder / "found.html").read_text()


class _Parts(HTMLParser):
    """The tags, addresses and words of a page, in their order."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.addresses, self.words = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.addresses += [value for name, value in attributes if name == "src"]

    def handle_data(self, data):
        self.words += [data.strip()] if data.strip() else []


@pytest.mark.slow
def test_the_verdict_comes_first_then_the_picture_then_what_is_wrong(written):
    status, text = written
    words = _Parts(text).words
    assert status == 1
    verdict = "optimizers_for_pages.Faster is not torch.optim.sgd.SGD: they differ in"
    places = [text.index(each) for each in (verdict, "<img", ">DIFFERS<", ">equal<")]
    assert places == sorted(places)
    assert [each for each in words if each in ("holds", "differs")] == 3 * ["differs"] + ["holds"]
    assert "torch.optim.sgd.SGD is torch.optim.sgd.SGD: equal bit for bit in" in text


@pytest.mark.slow
def test_pictures_are_in_the_page_of_all_that_step(written):
    addresses = _Parts(written[1]).addresses
    assert '<th scope="col" class="short">verdict</th>' in written[1]
    assert len(addresses) == 3  # what raises takes no step, what is lost takes one
    assert re.search("There is no path to draw on .*: no step was taken", written[1])
    for each in addresses:
        kind, _, content = each.partition(",")
        assert kind == "data:image/png;base64"
        assert base64.b64decode(content)[1:4] == b"PNG"


@pytest.mark.slow
def test_words_of_an_optimizer_are_no_tags(written):
    parts = _Parts(written[1])
    assert "script" not in parts.tags
    assert "ValueError: no <script>alert(1)</script> & today" in parts.words


def test_a_page_that_cannot_be_written_is_one_sentence_before_anything_is_compared(capsys):
    assert main(["verify", "torch.optim.SGD", *FEW, "--html", "no/such/folder.html"]) == 2
    said = "no/such/folder.html: there is no folder no/such: make it first"
    assert capsys.readouterr() == ("", f"descentlab: error: {said}\n")


def test_paths_are_those_of_a_plain_loop_with_the_gradients_of_the_reference():
    found = paths(partial(optim.SGD, lr=0.02), partial(optim.SGD, lr=0.01), ROSENBROCK, 30)
    rosenbrock, theirs = Rosenbrock(), [np.array(found.theirs[0])]
    ours = theirs[:]
    for _ in range(30):
        slope = rosenbrock.gradient(torch.tensor(theirs[-1])).numpy()
        slope = slope * min(1, LONGEST_GRADIENT / np.linalg.norm(slope))
        theirs.append(theirs[-1] - 0.01 * slope)
        ours.append(ours[-1] - 0.02 * slope)
    np.testing.assert_allclose(found.theirs, theirs, rtol=1e-12)
    np.testing.assert_allclose(found.ours, ours, rtol=1e-12)
    assert found.allowed[0] == 0
    assert np.all(np.diff(found.allowed) > 0)
    assert found.allowed[-1] < 1e-11 < np.abs(found.ours - found.theirs).max()


def test_the_report_has_the_largest_difference_that_is_drawn():
    made = partial(optim.SGD, lr=0.02), partial(optim.SGD, lr=0.01)
    (problem,) = [each for each in problems() if each.name == "several groups"]
    found = run(*made, problem, torch.float64, 4)
    drawn = paths(*made, found, 4)
    apart = np.abs(drawn.ours - drawn.theirs)[found.parameter.step].max()
    assert found.parameter.size == found.largest == apart > 0
    first = problem.start[0].numel()  # it is not in the first parameter
    assert np.abs(drawn.ours - drawn.theirs)[found.parameter.step, :first].max() < apart


def test_the_entry_that_differs_most_is_drawn_and_the_largest_difference():
    drawn = np.random.default_rng(0)
    theirs = drawn.normal(size=(5, 3))
    ours = theirs + np.outer([0, 0, 1e-3, 2e-3, 3e-3], [1.0, -4.0, 2.0])
    above, below = two_paths_figure(ours, theirs, np.full(5, 1e-9), "a bowl", 2).axes
    lines = {line.get_label(): line.get_ydata() for line in (*above.lines, *below.lines)}
    np.testing.assert_array_equal(lines["reference"], theirs[:, 1])
    np.testing.assert_array_equal(lines["candidate"], ours[:, 1])
    apart = [np.nan, np.nan, 4e-3, 8e-3, 12e-3]  # a 0 has no place on a log axis
    np.testing.assert_allclose(lines["found"], apart, rtol=1e-12)
    assert below.get_yscale() == "log"
    assert above.get_title() == "a bowl"


def test_what_is_not_finite_is_not_said_to_be_equal():
    theirs = np.random.default_rng(1).normal(size=(4, 2))
    lost, same = np.full((4, 2), np.nan), theirs.copy()
    lost[0] = theirs[0]
    labels = [
        [line.get_label() for line in two_paths_figure(ours, theirs, np.ones(4), "x").axes[1].lines]
        for ours in (lost, same)
    ]
    assert labels == [["0, as long as it is finite"], ["0 at every step"]]
