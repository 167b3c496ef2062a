"""Closed forms that are wrong on purpose: `descentlab test` must fail on each and say where."""

import pytest
import torch
from derivative_commands import QUIET, check

from descentlab import objectives
from descentlab.objectives import Objective, VectorPair, WavyKink
from descentlab.objectives.derivatives import as_objective, comparisons

pytestmark = QUIET

KINDS = [
    kind
    for kind in (getattr(objectives, name) for name in objectives.__all__)
    if isinstance(kind, type) and issubclass(kind, Objective) and kind is not Objective
]


def cubes(theta):
    """Return a function that is not an objective."""
    return (theta**3).sum()


def branching(theta):
    """Return what torch.func cannot follow."""
    return theta if theta > 0 else -theta


MISTAKES = {
    "WrongSign": lambda right, theta: -right,
    "MissingFactor": lambda right, theta: right / 2,
}


def _wrong(name, kind, mistake):
    """Return a subclass with a mistake in its first derivative, found by this module's name."""
    method = "jacobian" if kind is VectorPair else "gradient"
    right = getattr(kind, method)
    body = {method: lambda self, theta: mistake(right(self, theta), theta), "__module__": __name__}
    globals()[name] = type(name, (kind,), body)
    return name


WRONG = [
    (_wrong(f"{mistake}{kind.__name__}", kind, wrong), kind().start.tolist())
    for kind in KINDS
    for mistake, wrong in MISTAKES.items()
]
WRONG += [
    (_wrong(name, WavyKink, lambda right, theta, one=one: torch.where(theta == 0, one, right)), 0.0)
    for name, one in (("LeftOfTheKink", -1.0), ("RightOfTheKink", 3.0), ("NoSlope", 0.0))
]


@pytest.mark.parametrize(("name", "point"), WRONG, ids=[name for name, _ in WRONG])
def test_a_wrong_closed_form_fails_and_says_where(tmp_path, capsys, name, point):
    assert check(tmp_path, f"{__name__}.{name}", point) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    wrong = globals()[name]()
    theta = torch.tensor(point, dtype=torch.float64)
    closed = wrong.jacobian(theta)
    shown = [repr(x) for x in closed.flatten().tolist()]
    followed = [repr(x) for x in torch.func.jacrev(wrong)(theta).flatten().tolist()]
    assert f"{name}, derivative 1" in last
    assert f"at {point}: closed form" in last
    assert any(f"closed form {x}, " in last for x in shown)
    assert "1 of 1 points" in last
    if "reverse mode" in last:
        assert any(f"reverse mode {x} " in last for x in followed)


@pytest.mark.parametrize("kind", KINDS)
def test_the_right_closed_form_passes(tmp_path, kind):
    assert check(tmp_path, f"descentlab.objectives.{kind.__name__}", kind().start.tolist()) == 0


def test_a_plain_function_is_compared_without_a_closed_form(tmp_path, capsys):
    assert check(tmp_path, f"{__name__}.cubes", [1.0, 2.0]) == 0
    assert "cubes" in capsys.readouterr().out
    rows = comparisons(as_objective(cubes), torch.tensor([[1.0, 2.0]], dtype=torch.float64))
    methods = {method for row in rows for method in (row.method_a, row.method_b)}
    assert methods == {"reverse mode", "forward mode", "finite differences"}


@pytest.mark.parametrize(
    ("objective", "point", "words", "message"),
    [
        (
            "branching",
            1.0,
            [],
            "objective branching cannot be differentiated at points of shape ()",
        ),
        ("cubes", 1.0, ["--model.orders", "3"], "orders = 3: derivatives are evaluated"),
        ("WrongSignTraceOfSquare", [1.0], [], "takes a theta of shape (n, n), not (1,)"),
        ("cubes", 1.0, ["--data.points", "[1.0, .nan]"], "points[1] = nan is not finite"),
    ],
)
def test_wrong_use_ends_with_one_line(tmp_path, capsys, objective, point, words, message):
    assert check(tmp_path, f"{__name__}.{objective}", point, *words) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_a_value_that_is_no_number_fails(tmp_path, capsys):
    assert check(tmp_path, "torch.sqrt", -1.0) == 1
    assert "nan" in capsys.readouterr().err.splitlines()[-1]
