"""The page of a run: what is in its files, and no code of theirs."""

import base64
import csv
import json
import shlex
from html.parser import HTMLParser

import pytest
from lightning.pytorch import Callback, Trainer

from descentlab.callbacks import BatchLoss, BestParameters, LearningCurves, Summary
from descentlab.callbacks.report import renew_report, report, versions, write_report
from descentlab.datamodules import RegressionData
from descentlab.modules import LinearRegression
from descentlab.optimizers import GradientDescent
from descentlab.runs.logger import RunLogger
from descentlab.runs.paths import Run
from descentlab.runs.record import Record

EVIL = "<script>alert('x')</script>"
SUMMARY = {
    "least": {"train": {"epoch": 3, "loss": 1.25, "step": 4}, "val": None},
    "start": {"train": 4.5, "val": None},
    "last": {"train": 1.5, "val": None},
    "parameters": {f"theta{EVIL}": [0.5, [1, -2.0]], "large": [1.0] * 300},
    **{"steps": 5, "seconds": 0.25, "seed": 42, "device": "cpu"},
    "versions": versions(),
}
TEST = {"last": {"epoch": 4, f"mse{EVIL}": 2.125, "parameters": {}}, "best": {"epoch": 3}}


class Page(HTMLParser):
    """The tags of a page, its texts, and the content of its pictures."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.pictures = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        source = dict(attrs).get("src", "")
        if tag == "img":
            self.pictures.append(base64.b64decode(source.partition("base64,")[2]))

    def handle_data(self, data):
        self.texts.append(data.strip())


def make(folder, test=None):
    words = ["descentlab", "fit", "--config", "line.yaml", "--model.name", EVIL]
    (folder / "figures").mkdir(parents=True)
    (folder / "graphs").mkdir()
    (folder / "config.yaml").write_text(f"# {shlex.join(words)}\nmodel: 1\n")
    (folder / "summary.json").write_text(json.dumps(SUMMARY))
    for place in ("figures/z", "figures/epoch_losses", f"figures/{EVIL[:8]}", "graphs/loss"):
        (folder / f"{place}.png").write_bytes(b"\x89PNG" + place.encode())
    if test:
        (folder / "test.json").write_text(json.dumps(test))
    return folder


def rows(page):
    """The texts of a page, one for each cell and paragraph."""
    return [text for text in page.texts if text]


def follows(texts, *wanted):
    """Whether some texts follow one another."""
    return any(tuple(texts[i : i + len(wanted)]) == wanted for i in range(len(texts)))


def test_the_page_has_what_the_files_have(tmp_path):
    text = report(make(tmp_path / "line" / "version_0", TEST))
    assert "/<wbr>line/<wbr>version_0</h1>" in text  # a long path is broken between folders
    page = Page(text)
    texts = rows(page)
    assert follows(texts, "training loss", "4.5", "1.25 at epoch 3", "1.5")
    assert "validation loss" not in texts
    assert follows(texts, "epoch", "4", "3")
    assert follows(texts, f"theta{EVIL}", "[0.5, [1, -2]]")
    assert "large" not in texts
    assert follows(texts, "torch", versions()["torch"])
    assert follows(texts, "seed", "42")
    assert shlex.join(["descentlab", "fit", "--config", "line.yaml", "--model.name", EVIL]) in texts
    config = str(tmp_path / "line" / "version_0" / "config.yaml")
    assert shlex.join(["descentlab", "fit", "--config", config]) in texts
    places = ("figures/epoch_losses", f"figures/{EVIL[:8]}", "figures/z", "graphs/loss")
    assert page.pictures == [b"\x89PNG" + place.encode() for place in places]


def has_a_script(text):
    return "script" in Page(text).tags


def test_what_a_file_or_its_name_says_is_text_alone(tmp_path):
    text = report(make(tmp_path / EVIL.replace("/", "") / "version_0", TEST))
    assert follows(rows(Page(text)), "model.name", EVIL)
    assert f"mse{EVIL}" in rows(Page(text))
    assert not has_a_script(text)
    assert has_a_script(text.replace("&lt;", "<").replace("&gt;", ">"))


def test_a_link_in_a_run_brings_no_other_file_into_the_page(tmp_path):
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/key.png").write_bytes(b"secret")
    run = make(tmp_path / "run")
    (run / "figures/key.png").symlink_to(tmp_path / "secret/key.png")
    (run / "figures/folder.png").mkdir()
    assert b"secret" not in Page(report(run)).pictures
    (run / "graphs/loss.png").unlink()
    (run / "graphs").rmdir()
    (run / "graphs").symlink_to(tmp_path / "secret")
    found = Page(report(run)).pictures
    assert b"secret" not in found
    assert len(found) == 3


def test_a_test_renews_the_page_that_is_there(tmp_path):
    run = Run(make(tmp_path))
    renew_report(run)
    assert not run.report.exists()
    write_report(run)
    assert not follows(rows(Page(run.report.read_text())), f"mse{EVIL}", "2.125")
    (tmp_path / "test.json").write_text(json.dumps(TEST))
    renew_report(run)
    assert follows(rows(Page(run.report.read_text())), f"mse{EVIL}", "2.125")


@pytest.mark.parametrize("damaged", ["{", '{"least": 3}', '{"least": {"train": {"epoch": 1}}}'])
def test_a_damaged_file_costs_a_warning_and_the_page_stays(tmp_path, damaged):
    run = Run(make(tmp_path))
    write_report(run)
    before = run.report.read_bytes()
    run.summary.write_text(damaged)
    with pytest.warns(UserWarning, match=r"report\.html was not written"):
        write_report(run)
    assert run.report.read_bytes() == before


def test_a_run_from_python_and_one_without_pictures_have_a_page(tmp_path):
    (tmp_path / "summary.json").write_text(json.dumps({"steps": 3}))
    page = Page(report(tmp_path))
    assert follows(rows(page), "steps", "3")
    assert (page.pictures, "pre" in page.tags) == ([], False)


def test_a_sweep_has_its_best_members(tmp_path):
    folder = make(tmp_path)
    (folder / "summary.json").write_text(json.dumps({"members": 30, "diverged": 1}))
    members = [
        {"member": m, "lr": 0.5 + m, "seed": 7, "status": "finished", "best_epoch": 2}
        | {"best_loss": 100.0 - m if m != 29 else None}
        for m in range(30)
    ]
    with (folder / "sweep.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, members[0])
        writer.writeheader()
        writer.writerows(members)
    tested = [{"member": m, "best": {"loss": 7.5 * m}} for m in range(29)]
    (folder / "test.json").write_text(json.dumps({"members": tested}))
    texts = rows(Page(report(folder)))
    assert "30 members, 1 diverged" in texts
    assert follows(
        texts, "member 28", "28.5", "7", "finished", "2", "72", "210", "member 27", "27.5", "7"
    )
    assert "… and 10 more, in sweep.csv" in texts


def test_a_sweep_whose_members_all_wait_has_a_page(tmp_path):
    folder = make(tmp_path)
    (folder / "summary.json").write_text(json.dumps({"members": 1, "diverged": 0}))
    (folder / "sweep.csv").write_text("member,lr,seed,status\n0,0.5,7,waits\n")
    assert follows(rows(Page(report(folder))), "member 0", "0.5", "7", "waits")


class Breaks(Callback):
    """Ends a fit by an exception, before the third epoch."""

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == 2:
            raise RuntimeError("the disk is full")


def test_a_run_that_breaks_off_has_a_page_of_what_was_until_then(tmp_path):
    module = LinearRegression(optimizer=lambda parameters: GradientDescent(parameters, lr=0.1))
    logger = RunLogger(str(tmp_path), "line")
    instruments = [BatchLoss(), LearningCurves(), Summary(), BestParameters(), Breaks()]
    trainer = Trainer(
        **{"max_epochs": 4, "logger": logger, "callbacks": instruments, "accelerator": "cpu"},
        **{"enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": -1},
    )
    run = Run(tmp_path / "line" / "version_0")
    with pytest.raises(RuntimeError, match="full"):
        trainer.fit(module, RegressionData(source="line", batch_size=8))
    texts = rows(Page(run.report.read_text()))
    assert "unfinished, 2 epochs" in texts
    record = Record(run.folder)
    steps, losses = record.curves["loss/train"]
    assert len(losses) == 3
    assert steps[0] == 0
    best = f"{min(losses[1:]):.6g} at epoch {losses[1:].index(min(losses[1:]))}"
    assert follows(texts, "training loss", f"{losses[0]:.6g}", best, f"{losses[-1]:.6g}")
    assert {"Epoch losses", "Batch losses"} <= {*texts}


def test_a_summary_of_fewer_updates_than_were_made_is_not_shown(tmp_path):
    run = make(tmp_path)
    (run / "metrics.csv").write_text("epoch,step,loss/train\n,0,8.5\n3,5,1.5\n4,9,2.25\n")
    texts = rows(Page(report(run)))
    assert "unfinished, 2 epochs" in texts
    assert follows(texts, "training loss", "8.5", "1.5 at epoch 3", "2.25")
    assert "Parameters" not in texts


def test_the_settings_are_on_the_page_in_short(tmp_path):
    folder = make(tmp_path / "line" / "version_0")
    kind, rule = "descentlab.modules.LinearRegression", "descentlab.optimizers.Adam"
    config = {
        "seed_everything": 42,
        "trainer": {"max_epochs": 7, "min_epochs": 1},
        "model": {
            "class_path": kind,
            "init_args": {
                "optimizer": {"class_path": rule, "init_args": {"lr": 0.25, "betas": [0.9, 0.5]}},
                "lr_scheduler": None,
            },
        },
        "data": {"class_path": "x.RegressionData", "init_args": {"batch_size": 32, "path": None}},
    }
    (folder / "config.yaml").write_text(json.dumps(config))
    texts = rows(Page(report(folder)))
    for name, value in {
        **{"model": "LinearRegression", "optimizer": "Adam", "lr": "0.25", "betas": "[0.9, 0.5]"},
        **{"data": "RegressionData", "batch_size": "32", "max_epochs": "7", "seed": "42"},
    }.items():
        assert follows(texts, name, value)
    assert "path" not in texts
    assert "lr_scheduler" not in texts
