"""Nothing that a run or a config names is called, or imported from a run, without being asked."""

import json
import shutil

import pytest
import torch
import yaml
from command_line import RUN, YOUR_DATA
from lightning.pytorch.cli import LightningArgumentParser, OptimizerCallable

EVALUATIONS = ("test", "validate", "predict")

#: what strangers put into a config; CANARY is a file that must not appear
DOORS = {
    "os.system": {"command": "touch CANARY"},
    "subprocess.getoutput": {"cmd": "touch CANARY"},
    "subprocess.Popen": {"args": ["touch", "CANARY"]},
    "doors.touch": {"path": "CANARY"},
    "doors.Toucher": {"path": "CANARY"},
}
MODULE = """
from pathlib import Path

Path("{imported}").touch()

def touch(path: str):
    Path(path).touch()

class Toucher:
    def __init__(self, path: str) -> None:
        touch(path)

    def __call__(self, parameters):
        return None
"""


@pytest.fixture
def canary(tmp_path):
    return tmp_path / "canary"


def door(path, canary):
    arguments = json.loads(json.dumps(DOORS[path]).replace("CANARY", str(canary)))
    return {"class_path": path, "init_args": arguments}


@pytest.fixture
def stranger(finished, tmp_path, monkeypatch):
    """A copy of a finished run, and a module `doors` beside it that can be imported."""
    run = tmp_path / "stranger"
    shutil.copytree(finished / RUN, run)
    (tmp_path / "doors.py").write_text(MODULE.format(imported=tmp_path / "imported"))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "doors", raising=False)
    return run


def change(run, edit):
    config = yaml.safe_load((run / "config.yaml").read_text())
    edit(config)
    (run / "config.yaml").write_text(yaml.safe_dump(config))


@pytest.mark.parametrize("path", DOORS)
@pytest.mark.parametrize("key", ["optimizer", "lr_scheduler"])
def test_an_evaluation_makes_no_optimizer_and_no_scheduler(
    command, stranger, canary, tmp_path, key, path
):
    change(stranger, lambda c: c["model"]["init_args"].update({key: door(path, canary)}))
    outcome = command("test", "--run", stranger)
    assert outcome.status == 0, outcome.err
    assert not canary.exists()
    assert not (tmp_path / "imported").exists()


@pytest.mark.parametrize("kind", EVALUATIONS)
def test_an_evaluation_makes_nothing_else_of_a_config(command, stranger, canary, tmp_path, kind):
    def edit(config):
        for key in ("progress", "batch_loss", "summary"):
            config[key] = door("doors.Toucher", canary)
        for key in ("strategy", "profiler", "logger", "plugins", "accelerator"):
            config["trainer"][key] = door("doors.Toucher", canary)
        config["trainer"]["callbacks"] = [door("doors.Toucher", canary)]
        config["trainer"]["default_root_dir"] = str(tmp_path / "elsewhere")

    change(stranger, edit)
    before = set(tmp_path.rglob("*"))
    assert command(kind, "--run", stranger).status == 0
    words = ("--config", stranger / "config.yaml", "--ckpt_path")
    assert command(kind, *words, stranger / "checkpoints/best.ckpt").status == 0
    new = set(tmp_path.rglob("*")) - before
    assert {path.parent for path in new} <= {stranger}  # what was measured, and nothing else
    assert not canary.exists()


HIDDEN = {
    "callbacks": lambda config, odd: config.update({"trainer.callbacks": [odd]}),
    "strategy": lambda config, odd: config.update({"trainer.strategy": odd}),
    "optimizer": lambda config, odd: config.update({"model.init_args.optimizer": odd}),
    "init_args": lambda config, odd: config["model"].update({"init_args.optimizer": odd}),
    "class_path": lambda config, odd: config["model"]["init_args"].update(
        {"optimizer.class_path": odd["class_path"]}
    ),
    "a file": lambda config, odd: config.update(model="model.yaml"),
}


@pytest.mark.parametrize("how", HIDDEN)
def test_what_hides_from_an_evaluation_is_refused(command, stranger, canary, tmp_path, how):
    odd = door("doors.Toucher", canary)
    (tmp_path / "model.yaml").write_text(yaml.safe_dump({"class_path": "doors.Toucher"}))
    change(stranger, lambda config: HIDDEN[how](config, odd))
    for words in (("--run", stranger), ("--config", stranger / "config.yaml", "--ckpt_path", "x")):
        outcome = command("test", *words)
        assert outcome.status == 2
        assert "has a dot: write it as" in outcome.message or "is a file" in outcome.message
    assert not canary.exists()
    assert not (tmp_path / "imported").exists()


def test_our_module_under_another_name_has_no_optimizer_in_an_evaluation(
    command, stranger, canary, tmp_path
):
    def edit(config):
        config["model"]["class_path"] = "descentlab.command.cli.modules.LinearRegression"
        config["model"]["init_args"]["optimizer"] = door("doors.Toucher", canary)

    change(stranger, edit)
    assert command("test", "--run", stranger).status == 0
    assert not canary.exists()
    assert not (tmp_path / "imported").exists()


def test_a_checkpoint_is_named_in_full_and_on_the_command_line(command, stranger):
    best = str(stranger / "checkpoints/best.ckpt")
    change(stranger, lambda config: config.update(ckpt_path=best))
    (stranger / "config.yaml").rename("theirs.yaml")
    assert command("test", "--config", "theirs.yaml").status == 2  # theirs is not taken
    outcome = command("test", "--config", "theirs.yaml", "--ckpt", best)
    assert (outcome.status, outcome.message) == (2, "--ckpt: write --ckpt_path")
    assert command("test", "--config", "theirs.yaml", "--ckpt_path", best).status == 0


def test_an_evaluation_writes_into_its_run_whatever_the_config_says(command, stranger, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(stranger, other)
    change(stranger, lambda config: config.update(run=str(other)))
    words = ("--config", stranger / "config.yaml", "--ckpt_path")
    assert command("test", *words, stranger / "checkpoints/best.ckpt").status == 0
    assert not (other / "test.json").exists()


def test_an_evaluation_is_as_precise_as_its_run(command, here):
    assert command(*YOUR_DATA, "--trainer.precision", "64-true").status == 0
    assert command("test", "--run", RUN).status == 0
    report = json.loads((here / RUN / "test.json").read_text())
    slope = torch.load(here / RUN / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    assert report["last"]["parameters"]["slope"] == slope["slope"].tolist()  # all 53 bits


@pytest.mark.parametrize("path", DOORS)
@pytest.mark.parametrize("key", ["optimizer", "lr_scheduler"])
def test_a_fit_refuses_what_is_no_optimizer_before_it_is_called(
    command, stranger, canary, key, path
):
    change(stranger, lambda c: c["model"]["init_args"].update({key: door(path, canary)}))
    outcome = command("fit", "--config", stranger / "config.yaml")
    assert outcome.status == 2
    assert path in outcome.message
    assert not canary.exists()


@pytest.mark.parametrize("path", DOORS)
@pytest.mark.parametrize("kind", ["fit", "test"])
def test_what_is_no_objective_is_refused_before_it_is_called(
    command, stranger, canary, tmp_path, path, kind
):
    config = tmp_path / "toy.yaml"
    start = {"objective": door(path, canary), "start": 1.0}
    content = {"model": {"class_path": "descentlab.modules.ToyObjective", "init_args": start}}
    data = {"class_path": "descentlab.datamodules.Steps", "init_args": {"count": 1}}
    config.write_text(yaml.safe_dump({**content, "data": data}))
    extra = ("--ckpt_path", stranger / "checkpoints/last.ckpt") if kind == "test" else ()
    outcome = command(kind, "--config", config, *extra)
    assert outcome.status == 2
    assert not canary.exists()


@pytest.mark.parametrize("path", DOORS)
def test_an_objective_to_be_checked_has_no_options_that_a_config_gives(
    command, stranger, canary, tmp_path, path
):
    config = tmp_path / "checked.yaml"
    checked = {"objective": door(path, canary)}
    model = {"class_path": "descentlab.modules.Derivatives", "init_args": checked}
    data = {"class_path": "descentlab.datamodules.Points", "init_args": {"points": [1.0]}}
    config.write_text(yaml.safe_dump({"model": model, "data": data}))
    assert command("test", "--config", config).status == 2
    assert not canary.exists()


def test_without_the_rule_the_canary_appears(stranger, canary):
    parser = LightningArgumentParser()
    parser.add_argument("--optimizer", type=OptimizerCallable)
    parser.instantiate(parser.parse_object({"optimizer": door("doors.touch", canary)}))
    assert canary.exists()


@pytest.mark.parametrize("place", ["model", "data"])
@pytest.mark.parametrize("path", DOORS)
def test_what_is_no_module_or_data_is_refused_before_it_is_called(
    command, stranger, canary, place, path
):
    change(stranger, lambda c: c.update({place: door(path, canary)}))
    outcome = command("test", "--run", stranger)
    assert outcome.status == 2
    assert path in outcome.message
    assert not canary.exists()


@pytest.mark.parametrize("place", ["inside", "above"])
@pytest.mark.parametrize("kind", ["test", "fit", "resume"])
def test_nothing_is_imported_from_a_runs_folder(
    command, stranger, canary, monkeypatch, place, kind
):
    (stranger / "evil.py").write_text(MODULE.format(imported=canary))
    path = "evil.Net" if place == "inside" else "stranger.evil.Net"
    monkeypatch.chdir(stranger if place == "inside" else stranger.parent)
    monkeypatch.syspath_prepend(".")  # as `python -m` does
    change(stranger, lambda c: c["model"].update(class_path=path))
    run = "." if place == "inside" else "stranger"
    words = {
        "test": ("test", "--run", run),
        "fit": ("fit", "-c", f"{run}/config.yaml"),
        "resume": ("fit", "--resume", run),
    }
    outcome = command(*words[kind])
    assert outcome.status == 2
    assert "inside the folder of a run" in outcome.message
    assert not canary.exists()


@pytest.mark.parametrize("kind", ["fit", "test"])
def test_a_checkpoint_at_an_address_is_refused(refused, kind):
    words = ("--config", f"{RUN}/config.yaml", "--ckpt_path", "https://example.org/last.ckpt")
    message = refused(kind, *words)
    assert message.startswith("--ckpt_path https://example.org/last.ckpt: only files of this mach")


def test_a_run_goes_on_from_a_folder_whose_name_begins_with_http(command, here):
    words = (*YOUR_DATA, "--trainer.logger.save_dir", "http_runs")
    assert command(*words).status == 0
    last = f"http_runs/{RUN.removeprefix('logs/')}/checkpoints/last.ckpt"
    assert command(*words, "--trainer.max_epochs", "3", "--ckpt_path", last).status == 0
    assert (
        command(
            "test",
            "--config",
            "linear_regression/your_data",
            "--data.x_path",
            "X.pt",
            "--data.y_path",
            "y.pt",
            "--ckpt_path",
            last,
        ).status
        == 0
    )


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--trainer.logger.version", "../../../x"), "version = ../../../x is outside save_dir"),
        (("--trainer.logger.version", "/tmp/x"), "version = /tmp/x is outside save_dir"),
        (("--trainer.logger.name", "../x"), "name = ../x is outside save_dir"),
        (("--trainer.logger.save_dir", "https://example.org"), "is an address: give a folder"),
        (("--trainer.logger.version", "http://x/y"), "version = http://x/y is an address: give a"),
    ],
)
def test_a_run_is_inside_its_save_dir(refused, words, says):
    assert says in refused("fit", "--config", "linear_regression/split.yaml", *words)


def test_a_config_comes_after_the_command(refused):
    assert "--config comes after the command" in refused("--config", "x.yaml", "test")


def test_a_run_and_a_checkpoint_are_not_both_evaluated(refused):
    last = f"{RUN}/checkpoints/last.ckpt"
    assert "give one" in refused("test", "--run", RUN, "--ckpt_path", last)
