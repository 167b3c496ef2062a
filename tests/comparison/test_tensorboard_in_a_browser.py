"""What a user sees of runs and a sweep in each tab of TensorBoard, opened in Chromium."""

import csv
import re
import subprocess
import sys

import pytest

from descentlab.runs.record import Record
from forked import Forked
from webdriver import MISSING, Browser

pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.skipif(MISSING, reason="there is no chromium or no chromedriver on PATH"),
]

LINE, SQUARE, SWEEP = "linear_regression/split", "toy/square", "linear_regression/lr_sweep"
FITS = {
    f"{SQUARE}/version_0": "toy/square.yaml",
    f"{SQUARE}/version_1": "toy/square.yaml --model.optimizer descentlab.optimizers.Momentum",
    f"{SQUARE}/version_2": "toy/square.yaml --model.optimizer.lr 0.01",
    f"{LINE}/version_0": "linear_regression/split.yaml --trainer.max_epochs 3",
    f"{SWEEP}/version_0": "linear_regression/lr_sweep.yaml --trainer.max_epochs 3",
}
NAMES = {
    f"{SQUARE}/version_0": f"{SQUARE}/version_0",
    f"{SQUARE}/version_1": f"{SQUARE}/version_1-optimizer=descentlab.optimizers.Momentum",
    f"{SQUARE}/version_2": f"{SQUARE}/version_2-lr=0.01",
    f"{LINE}/version_0": f"{LINE}/version_0-max_epochs=3",
    f"{SWEEP}/version_0": f"{SWEEP}/version_0-max_epochs=3",
}
TABS = ["TIME SERIES", "SCALARS", "CUSTOM SCALARS", "IMAGES", "TEXT", "HPARAMS"]
#: the numbers of points of the lines of a chart
POINTS = """[...e.shadowRoot.querySelectorAll("path.line")]
  .map(path => (path.getAttribute("d") || "").split(/[ML]/).length - 1)"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder in which a user has fitted four times, and swept once."""
    folder = tmp_path_factory.mktemp("shown")
    for words in FITS.values():
        fit = Forked(["fit", "--config", *words.split()], folder)
        assert fit.communicate()[1].count("error") == 0
        assert fit.returncode == 0
    return folder


@pytest.fixture(scope="module")
def url(folder):
    """The address of `descentlab tensorboard` there."""
    words = [sys.executable, "-m", "descentlab", "tensorboard", "--port", "0"]
    server = subprocess.Popen(words, cwd=folder, stdout=subprocess.PIPE, text=True)
    try:
        said = server.stdout.readline()
        assert said.startswith("5 runs on http://127.0.0.1:")
        yield said.split()[3]
    finally:
        server.terminate()
        server.communicate(timeout=30)


@pytest.fixture(scope="module")
def browser():
    browser = Browser()
    yield browser
    browser.close()


def last_losses(folder, run):
    """The last update before which a loss was taken, and that loss."""
    with (folder / "logs" / run / "batch_losses.csv").open() as file:
        row = list(csv.DictReader(file))[-1]
    return int(row["step"]), float(row["loss"])


def number(text):
    return float(text.replace(",", ""))


def test_the_first_screen_shows_the_losses_of_all_runs(browser, url, folder):
    browser.open(url)
    rows = browser.wait(lambda rows: len(rows) >= 4, "card-view tb-data-table-content-row")
    tabs = browser.seen("[role=tab]")
    assert [tab for tab in tabs if tab] == TABS
    assert browser.seen("[role=tab].mdc-tab--active")[0] == TABS[0]
    assert {*NAMES.values()} <= {*browser.seen("tb-data-table-content-row")}
    ticks = browser.seen("tb-data-table-content-row input[type=checkbox]", "e.checked")
    assert ticks == [True] * len(NAMES)
    cards = browser.seen("card-view", "e.innerText.replace(/\\s/g, '').slice(0, 10)")
    assert cards[0] == "loss/batch"
    first = [re.split(r"[\n\t]+", row) for row in rows[: len(FITS) - 1]]  # those of that card
    seen = {name: (value, step) for name, _, value, step, _ in first}
    for run in FITS:
        if run != f"{SWEEP}/version_0":
            value, step = seen[NAMES[run]]
            expected_step, loss = last_losses(folder, run)
            assert int(number(step)) == expected_step
            assert number(value) == pytest.approx(loss, abs=6e-5)  # as it rounds


def lines(browser, count):
    """The numbers of points of the lines in each chart, as soon as so many charts have some."""
    return browser.wait(
        lambda charts: sum(any(chart) for chart in charts) >= count, "vz-line-chart2", POINTS
    )


def test_charts_have_a_point_for_each_update_and_each_epoch(browser, url):
    browser.open(f"{url}#scalars")
    batch, _, _, _, train, val, _ = lines(browser, 7)
    names = ("batch", "best", "least_train", "least_val", "train")
    titles = browser.seen("#heading, h3, .name")
    assert [title for title in titles if title in names] == [*names]
    ticks = browser.seen("paper-checkbox.checkbox", "[e.id.slice(9), e.checked]")
    assert dict(ticks) == dict.fromkeys(NAMES.values(), True)
    assert batch.count(20) == train.count(21) == 6  # of three toys, smoothed beside it
    assert batch.count(36) == 2  # of 3 epochs
    assert val.count(4) >= 1  # before any update, and after each epoch


def test_both_losses_are_in_one_chart(browser, url):
    browser.open(f"{url}#custom_scalars")
    (chart,) = lines(browser, 1)
    assert browser.seen("tf-custom-scalar-multi-line-chart-card h1, .card-heading, .title")
    assert chart.count(21) >= 3
    assert chart.count(4) >= 2  # of the training and of the validation set, over one axis


def test_the_pictures_of_the_runs_are_shown_at_a_size_to_be_read(browser, url):
    browser.open(f"{url}#images")
    found = browser.wait(
        lambda images: len(images) == 12 and all(width for width, _ in images),
        "img",
        "[e.naturalWidth, e.clientWidth]",
    )
    assert len(found) == 12  # a page of them
    assert all(natural > 0 and shown >= 350 for natural, shown in found)


def test_the_text_of_a_run_begins_with_its_command(browser, url):
    browser.open(f"{url}#text")
    first = browser.wait(lambda texts: len(texts) >= 5, "pre", "e.innerText.split('\\n')[0]")
    assert sorted(first) == sorted(f"# descentlab fit --config {words}" for words in FITS.values())


def test_hparams_is_a_table_of_what_was_chosen_and_the_best_loss(browser, url, folder):
    browser.open(f"{url}#hparams")
    cells = browser.wait(lambda cells: len(cells) >= 60, "vaadin-grid-cell-content")
    given = dict(browser.seen("paper-checkbox.hparam-checkbox", "[e.innerText.trim(), e.checked]"))
    assert given["optimizer"] is given["lr"] is True
    assert len(given) <= 8
    assert not [name for name in given if name.startswith("_") or "." in name]
    head, rows = cells[:12], [cells[start : start + 12] for start in range(12, len(cells), 12)]
    table = {row[0]: dict(zip(head, row, strict=True)) for row in rows}
    assert table.keys() == {*NAMES.values()} - {NAMES[f"{SWEEP}/version_0"]}
    for run, optimizer, lr in (("0", "GradientDescent", 0.1), ("2", "GradientDescent", 0.01)):
        row = table[NAMES[f"{SQUARE}/version_{run}"]]
        assert row["optimizer"] == optimizer
        assert float(row["lr"]) == lr
    assert table[NAMES[f"{SQUARE}/version_1"]]["optimizer"] == "Momentum"
    for run in FITS:
        if NAMES[run] in table:
            least = Record(folder / "logs" / run).best_loss
            assert float(table[NAMES[run]]["loss/best"]) == pytest.approx(least, rel=5e-5)
