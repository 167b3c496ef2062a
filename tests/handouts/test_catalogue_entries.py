"""The catalogue: every row of the handouts, each judged by what its print says and nothing else."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from descentlab.command.configs import find
from descentlab.errors import UsageError
from descentlab.handouts.catalogue import CATALOGUE, IDS, select
from descentlab.handouts.claims import NUMBER, Agreement, Figures, Within, Wording

RECORDED = json.loads(Path(__file__).with_name("recorded_values.json").read_text(encoding="utf-8"))

#: what has no printed digit to be held to: texts, graphs, and a range over seeds
WITHOUT_FIGURES = {"TP-1.3", "AG-2", "DI-6", "DI-9", "DI-12"}

FIGURES = [
    pytest.param(entry, figures, index, id=f"{entry.id}-{figures.name}-{index}")
    for entry in CATALOGUE.values()
    for figures in entry.figures
    for index in range(len(figures.numbers))
    if RECORDED[entry.id][figures.name] is not None
]


def failing(catalogue=CATALOGUE):
    return {
        name
        for name, entry in catalogue.items()
        if not all(judged.passed for judged in entry.judge(RECORDED[name]))
    }


def changed(printed: str, index: int, by: int) -> str:
    """The text with the last digit of its index-th number changed: 39.7240 by 2 is 39.7242."""
    number = list(NUMBER.finditer(printed))[index]
    mantissa, exponent = re.fullmatch(r"([^eE]*)(.*)", number[0]).groups()
    decimals = len(mantissa.partition(".")[2])
    moved = int(mantissa.replace(".", "")) + by
    digits = f"{abs(moved):0{decimals + 1}d}"
    whole = (
        digits[: len(digits) - decimals] + ("." if decimals else "") + digits[-decimals:][:decimals]
    )
    text = ("-" if moved < 0 else "") + (whole if decimals else digits) + exponent
    return printed[: number.start()] + text + printed[number.end() :]


def with_claim(entry, old, new):
    claims = tuple(new if claim is old else claim for claim in entry.claims)
    return {**CATALOGUE, entry.id: replace(entry, claims=claims)}


def test_every_row_of_the_handouts_is_there_in_order():
    counts = {"TP": 8, "AG": 7, "DI": 14, "PS": 10, "LG": 2}
    assert len(IDS) == len(set(IDS)) == sum(counts.values()) == 41
    assert tuple(CATALOGUE) == IDS
    for handout, count in counts.items():
        assert sum(entry.handout == handout for entry in CATALOGUE.values()) == count
    assert set(RECORDED) == set(IDS)


@pytest.mark.parametrize("entry", CATALOGUE.values(), ids=IDS)
def test_an_entry_is_complete(entry):
    assert entry.title
    assert entry.claims
    assert find(entry.config).suffix == ".yaml"
    assert len({claim.name for claim in entry.claims}) == len(entry.claims)
    assert set(RECORDED[entry.id]) == {claim.name for claim in entry.claims}


def test_what_is_wrong_or_incomplete_in_print_is_said():
    for name in ("DI-11", "DI-12", "PS-2.1"):
        assert re.match(r"The print is (wrong|incomplete): ", CATALOGUE[name].note)
    others = set(IDS) - {"DI-11", "DI-12", "PS-2.1"}
    assert not any("The print is" in CATALOGUE[name].note for name in others)


def test_the_recorded_run_passes():
    assert failing() == set()


def test_every_entry_with_digits_is_numeric():
    assert {name for name, entry in CATALOGUE.items() if not entry.figures} == WITHOUT_FIGURES


@pytest.mark.parametrize("by", [2, -2])
@pytest.mark.parametrize(("entry", "figures", "index"), FIGURES)
def test_a_figure_changed_by_two_in_its_last_digit_fails_that_entry_alone(
    entry, figures, index, by
):
    wrong = replace(figures, printed=changed(figures.printed, index, by))
    assert failing(with_claim(entry, figures, wrong)) == {entry.id}


@pytest.mark.parametrize(
    ("printed", "index", "by", "expected"),
    [
        ("17.4649", 0, 2, "17.4651"),
        ("[1.8200, 2.5950]", 1, -2, "[1.8200, 2.5948]"),
        ("6.425e-05", 0, 2, "6.427e-05"),
        ("[36, 81]", 0, 2, "[38, 81]"),
        ("[-12, -8]", 0, 2, "[-10, -8]"),
        ("0.0000", 0, -2, "-0.0002"),
        ("1", 0, -2, "-1"),
    ],
)
def test_the_change_itself(printed, index, by, expected):
    assert changed(printed, index, by) == expected


@pytest.mark.parametrize(
    ("entry", "claim"),
    [
        pytest.param(entry, claim, id=f"{entry.id}-{claim.name}")
        for entry in CATALOGUE.values()
        for claim in entry.claims
        if isinstance(claim, Agreement) and RECORDED[entry.id][claim.name] is not None
    ],
)
def test_an_agreement_fails_just_outside_its_bound(entry, claim):
    value = RECORDED[entry.id][claim.name]
    bound = claim.tolerance(value)
    assert claim.judge({**value, "apart": bound}).passed
    outside = bound * 1.001 if bound else 5e-324
    assert not claim.judge({**value, "apart": outside}).passed
    assert bound <= 1e-3 * max(value["scale"], 1e-300)  # never so wide that it says nothing


@pytest.mark.parametrize(
    ("entry", "claim"),
    [
        pytest.param(entry, claim, id=f"{entry.id}-{claim.name}")
        for entry in CATALOGUE.values()
        for claim in entry.claims
        if isinstance(claim, Wording)
    ],
)
def test_another_wording_fails_that_entry_alone(entry, claim):
    wrong = replace(claim, printed="x" + claim.printed)
    assert failing(with_claim(entry, claim, wrong)) == {entry.id}


@pytest.mark.parametrize(("end", "factor"), [("low", 0.99), ("high", 1.01)])
@pytest.mark.parametrize("index", range(5))
def test_a_printed_loss_out_of_range_fails_the_random_fit_alone(index, end, factor):
    entry = CATALOGUE["DI-12"]
    (claim,) = entry.claims
    assert isinstance(claim, Within)
    numbers = json.loads(claim.printed)
    numbers[index] = RECORDED["DI-12"][claim.name][end][index] * factor
    wrong = replace(claim, printed=json.dumps(numbers))
    assert failing(with_claim(entry, claim, wrong)) == {"DI-12"}


def test_tolerances_are_derived_and_nowhere_written():
    folder = Path(__file__).parents[2] / "src" / "handouts"
    for name in ("tp", "ag", "di", "ps", "lg"):
        text = (folder / f"{name}.py").read_text(encoding="utf-8")
        assert "tolerance" not in text
    for entry in CATALOGUE.values():
        for figures in entry.figures:
            assert isinstance(figures, Figures)
            tolerances = figures.tolerance(None)
            for tolerance in tolerances if isinstance(tolerances, list) else [tolerances]:
                assert f"{tolerance:.1e}".startswith("5.0e")


def test_select():
    assert [entry.id for entry in select([], "LG")] == ["LG-1", "LG-2"]
    assert len(select([])) == 41
    assert select(["AG-1"], "LG") == []
    with pytest.raises(UsageError, match=r"no entry AG-9: there are TP-1\.1, .*, LG-2$"):
        select(["AG-1", "AG-9"])
    with pytest.raises(UsageError, match="no handout XY: there are TP, AG, DI, PS, LG"):
        select([], "XY")
