"""What a mutant is, and that a test which notices one kills it."""

import ast

import pytest
from coverage import CoverageData

import mutants

TEXT = '''"""A page."""
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    import torch

def rate(lr: float | None, steps: int = 3) -> float | None:
    """Return a rate."""
    if not lr:
        raise ValueError(f"no {lr}")
    if lr == steps:
        return None
    return lr / steps
'''


def test_what_a_file_may_become():
    found = {(one.line, one.before, one.after) for one in mutants.mutants(TEXT)}
    assert {(b, a) for line, b, a in found if line == 12} == {
        ("return lr / steps", "return None"),
        ("lr / steps", "lr * steps"),
    }
    assert (6, "3", "4") in found
    assert (8, "not lr", "lr") in found
    assert any(before.startswith("raise") and not after for _, before, after in found)


def test_what_is_for_readers_stays_as_it_is():
    touched = {one.line for one in mutants.mutants(TEXT)}
    assert touched == {6, 8, 9, 10, 12}
    for one in mutants.mutants(TEXT):
        assert "float | None" in one.text
        assert '"""Return a rate."""' in one.text


def test_each_mutant_differs_and_none_is_left_in_the_next():
    texts = [one.text for one in mutants.mutants(TEXT)]
    assert len(set(texts)) == len(texts)
    assert ast.unparse(ast.parse(TEXT)) + "\n" not in texts


def test_a_sample_is_that_of_its_seed():
    targets = ["datamodules/splits.py"]
    first = [one for one, _ in mutants.sample(5, 1, targets)]
    assert first == [one for one, _ in mutants.sample(5, 1, targets)]
    assert first != [one for one, _ in mutants.sample(5, 2, targets)]


def test_a_sample_loses_what_is_changed_and_nothing_else():
    def sampled(text, count):
        every = list(mutants.mutants(text, "rate.py"))
        return [(one.before, one.after) for one in mutants.drawn(every, count, 0)]

    many = "\n".join(f"x{number} = a{number} + b{number}" for number in range(50))
    before = sampled(many, 40)
    assert sampled(many, 20) == before[:20]
    after = sampled("more = [a < 1, b * c]\n" + many.replace("b7", "changed"), 40)
    still = [mistake for mistake in before if "b7" not in mistake[0]]
    assert len(still) < 40  # the changed line was among them
    kept = [mistake for mistake in after if mistake in before]
    assert kept == still[: len(kept)]
    assert len(kept) >= 35


def test_mutants_of_every_line_may_be_drawn():
    text = "\n".join(f"x{number} = a + {number}" for number in range(20))
    every = list(mutants.mutants(text))
    lines = {one.line for seed in range(20) for one in mutants.drawn(every, 6, seed)}
    assert lines == set(range(1, 21))
    assert len(set(mutants.drawn(every, len(every), 0))) == len(every)


def test_the_tests_of_a_line_are_tried_from_the_one_that_runs_the_fewest_lines(tmp_path):
    record = CoverageData(str(tmp_path / "record"))
    runs = {"b::short|run": {"a.py": {2}}, "a::long|run": {"a.py": {1, 2}, "b.py": {1, 2, 3}}}
    runs |= {"a::long|setup": {"a.py": {2}}, "c::middle|run": {"a.py": {2, 3}}, "": {"a.py": {4}}}
    for context, lines in runs.items():
        record.set_context(context)
        record.add_lines({f"/top/0/descentlab/{path}": each for path, each in lines.items()})
    record.write()
    found = mutants.running(tmp_path / "record")
    assert found["a.py", 2] == ["b::short", "c::middle", "a::long"]
    assert found["a.py", 1] == found["b.py", 3] == ["a::long"]
    assert not found.get(("a.py", 4))


@pytest.mark.slow
def test_a_mutant_that_a_test_notices_is_killed_and_another_survives(tmp_path):
    noticing, blind = tmp_path / "test_noticing.py", tmp_path / "test_blind.py"
    noticing.write_text(
        "from descentlab import errors\n"
        "def test(): assert issubclass(errors.UsageError, ValueError)\n"
    )
    blind.write_text("from descentlab import errors\ndef test(): assert errors.UsageError\n")
    text = "class UsageError(Exception): pass\nclass RunError(Exception): pass\n"
    mutant = mutants.Mutant("errors.py", 1, "ValueError", "Exception", text)
    killer = mutants.Killer(tmp_path / "copies", 1)
    assert killer.survives(None, [str(noticing)], 600)
    assert not killer.survives(mutant, [str(noticing)], 600)
    assert killer.survives(mutant, [str(blind)], 600)
