"""The whole report, made once: every printed figure, and every way to it that is not our own."""

import math
import re
from dataclasses import replace

import pytest
import torch
from browser import seen_in_a_browser, served
from handout_runs import as_printed
from network_loop import plain_loop as network_loop
from printed_figures import ENTRIES, PRINTED
from regression_loops import autograd_loop, diabetes, split

from descentlab.command.configs import find
from descentlab.handouts import Claims, Row
from descentlab.handouts.runner import run_entry
from tolerances import FLOAT32
from webdriver import CHROMIUM

pytestmark = pytest.mark.slow

MOMENTA = ("0", "0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.8", "0.9", "1.0")
ONLY_THE_LOSSES = (
    *("--best_parameters", "null", "--trainer.enable_checkpointing", "false"),
    *("--trainer.limit_val_batches", "0"),
)


def flat(value):
    return [each for part in value for each in flat(part)] if isinstance(value, list) else [value]


def changed(text: str, by: int) -> str:
    """The number with its last digit changed: 39.7240 by 2 is 39.7242."""
    mantissa, exponent = re.fullmatch(r"([^eE]*)(.*)", text).groups()
    decimals = len(mantissa.partition(".")[2])
    return f"{float(mantissa) + by * 10.0**-decimals:.{decimals}f}{exponent}"


def test_all_entries_pass(whole):
    wrong = [(r.entry.id, r.error, r.claims) for r in whole.results.values() if r.status != "pass"]
    assert wrong == []
    assert tuple(whole.results) == ENTRIES
    assert len(ENTRIES) == 41


def test_every_printed_figure_is_computed_to_its_digits(whole):
    """The figures as the handouts print them, typed apart from the entries that claim them."""
    for (entry, name), texts in PRINTED.items():
        found = flat(whole.computed(entry)[name])
        assert as_printed(found, *texts.split()), (entry, name, found)


def test_a_figure_of_which_the_last_digit_is_another_fails(whole):
    """The negative control: each of the figures in turn, two units off in its last place."""
    for (entry, name), printed in PRINTED.items():
        found, texts = flat(whole.computed(entry)[name]), printed.split()
        for index, text in enumerate(texts):
            for by in (2, -2):
                wrong = [*texts[:index], changed(text, by), *texts[index + 1 :]]
                assert not as_printed(found, *wrong), (entry, name, wrong)
                assert not Claims().figures(name, " ".join(wrong), found).passed


@pytest.mark.parametrize(
    ("text", "by", "expected"),
    [("39.7240", 2, "39.7242"), ("6.425e-05", 2, "6.427e-05"), ("-8", 2, "-6"), ("0", -2, "-2")],
)
def test_the_change_itself(text, by, expected):
    assert changed(text, by) == expected


def test_the_entries_claim_what_the_handouts_print(whole):
    """What an entry says is printed is the same text, so that no claim can be softened alone."""
    for (entry, name), texts in PRINTED.items():
        (claim,) = [each for each in whole.results[entry].claims if each.name == name]
        assert re.findall(r"[^\[\], ]+", claim.printed) == texts.split(), (entry, name)


def test_bounds_of_agreements_say_something(whole):
    bounds = [
        (claim.tolerance, claim.computed["scale"])
        for result in whole.results.values()
        for claim in result.claims
        if isinstance(claim.computed, dict) and "apart" in claim.computed
    ]
    assert len(bounds) > 20
    assert all(bound <= 1e-3 * max(scale, 1e-300) for bound, scale in bounds)


def test_a_wrong_figure_fails_that_entry_alone(whole, tmp_path):
    entry = whole.results["AG-1"].entry

    def wrong(row: Row) -> None:
        entry.fill(row)
        row.figures("L again", "52", row.claims[0].computed)

    failing = run_entry(replace(entry, fill=wrong), whole.runs, tmp_path)
    assert failing.status == "fail"
    assert [claim.name for claim in failing.claims if not claim.passed] == ["L again"]


def test_every_entry_asks_and_runs_what_it_names(whole):
    for name, result in whole.results.items():
        entry = result.entry
        assert entry.asked.endswith((".", "?")), name
        assert find(entry.config)
        used = {command.split("--config ")[1].split()[0] for command in result.commands}
        assert entry.config in used, name
    seen = [name for name, result in whole.results.items() if not result.entry.seen]
    assert seen == ["TP-1.1", "PS-1.5"]  # whose one sentence says it all


def test_graphs_are_pictures(whole):
    for name in ("TP-1.3", "DI-3", "DI-4", "DI-9", "DI-11", "PS-1.2", "PS-2.2", "PS-2.5", "LG-1"):
        picture = whole.folder / whole.results[name].picture
        assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("momentum", MOMENTA)
def test_ps_2_5_equals_a_plain_loop_of_torch(fitted, momentum):
    x, y = (each.float() for each in diabetes())
    rows = split(len(x))["train"]
    data = {"train": (x[rows], y[rows])}

    def same(**wrong):
        plain = autograd_loop(data, 50, **{"rate": 0.001, "momentum": float(momentum), **wrong})
        slope, bias = run.theta("slope"), run.theta("bias")
        equal = torch.equal(slope, plain.slope) and torch.equal(bias, plain.bias)
        return equal and run.losses == plain.losses

    run = fitted("linear_regression/momentum_by_hand", "--model.optimizer.momentum", momentum)
    assert run.theta("slope").shape == (50, 1)
    assert same()
    assert not same(rate=0.00101)
    assert not same(momentum=0.99 * float(momentum) or 0.01)


def test_ps_2_5_more_momentum_is_faster_at_the_start(fitted):
    flag = "--model.optimizer.momentum"
    first = [
        fitted("linear_regression/momentum_by_hand", flag, each).curve("loss/train")[0]
        for each in MOMENTA
    ]
    assert first == sorted(first, reverse=True)
    assert len(set(first)) == len(MOMENTA)


def test_di_12_is_measured_on_20_fits_that_equal_a_plain_loop(whole, fitted):
    losses = [
        fitted("two_layer_net", "--seed_everything", str(seed), *ONLY_THE_LOSSES).losses
        for seed in range(20)
    ]
    assert losses[7] == network_loop(7)[1]
    assert losses[8][:50] != network_loop(7, steps=50)[1]
    at = [[each[step] for each in losses] for step in (99, 199, 299, 399, 499)]
    (ends,) = whole.computed("DI-12").values()
    assert ends == {"low": [*map(min, at)], "high": [*map(max, at)]}
    printed = (71.03, 1.640, 0.01561, 6.425e-05, 8.307e-08)
    for low, figure, high in zip(ends["low"], printed, ends["high"], strict=True):
        assert low <= figure <= high
    for figure, low, high in zip(printed, ends["low"][1:], ends["high"][1:], strict=False):
        assert not low <= figure <= high  # a count that is off by a hundred is seen
    assert len({each[99] for each in losses}) == 20  # each seed is another net and another batch


def test_di_12_fails_where_one_printed_loss_is_out_of_range(whole):
    (ends,) = whole.computed("DI-12").values()
    middle = [math.sqrt(a * b) for a, b in zip(ends["low"], ends["high"], strict=True)]
    assert Claims().within("x", str(middle), **ends).passed
    for index in range(5):
        for outside in (ends["low"][index] * 0.99, ends["high"][index] * 1.01):
            wrong = [*middle[:index], outside, *middle[index + 1 :]]
            assert not Claims().within("x", str(wrong), **ends).passed


def test_di_10_the_minima_are_zeros_of_the_slope(whole):
    places = whole.computed("DI-10")["other local minima"]
    for place in places:
        slope = math.cos(4 * place) - 4 * place * math.sin(4 * place) + math.copysign(2, place)
        bend = -8 * math.sin(4 * place) - 16 * place * math.cos(4 * place)
        assert bend > 0
        assert abs(slope / bend) < FLOAT32 * abs(place)


@pytest.fixture(scope="module")
def address(whole):
    with served(whole.folder) as address:
        yield address


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on PATH")
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_in_a_browser(whole, address, width, tmp_path):
    seen, console = seen_in_a_browser(address, whole.folder, width, tmp_path)
    assert console == []
    assert seen["inner"] == width
    assert seen["scroll"] <= width
    assert seen["sections"] == len(ENTRIES)
    assert len(seen["pictures"]) == sum(each.picture is not None for each in whole.results.values())
    for natural, shown in seen["pictures"]:
        assert natural > 0
        assert 0 < shown <= width


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on PATH")
def test_the_probe_sees_a_broken_page(whole, address, tmp_path):
    """The negative control: a wide element, a picture that is none, and a script that fails."""
    page = whole.folder / "index.html"
    text = page.read_text(encoding="utf-8")
    wide = '<div style="width: 3000px">wide</div><img src="data:image/png;base64,AAAA">'
    try:
        page.write_text(text.replace("<h1>", f"{wide}<script>nowhere()</script><h1>"), "utf-8")
        seen, console = seen_in_a_browser(address, whole.folder, 390, tmp_path)
    finally:
        page.write_text(text, encoding="utf-8")
    assert seen["scroll"] > 390
    assert [0, 0] in [[natural, 0] for natural, _ in seen["pictures"]]
    assert any("nowhere" in line for line in console)
