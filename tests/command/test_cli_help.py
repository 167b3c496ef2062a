"""Help, the version, the list of configs and the resolved configuration."""

import subprocess
import sys

import pytest
import yaml
from lightning.pytorch.cli import LightningCLI

from descentlab import __version__
from descentlab.command.configs import FOLDER, find, shipped
from descentlab.command.instruments import INSTRUMENTS
from descentlab.errors import UsageError

COMMANDS = ("fit", "validate", "test", "predict")


@pytest.mark.parametrize("words", [(), ("--help",), ("-h",)])
def test_the_program_says_what_it_does(command, words):
    outcome = command(*words)
    assert outcome.status == 0
    assert outcome.err == ""
    text = " ".join(outcome.out.split())
    assert "descentlab fit --config linear_regression/split.yaml" in text
    assert "`descentlab configs` lists" in text
    assert "--version" in text
    assert all(f" {name} " in text for name in COMMANDS)
    assert max(map(len, outcome.out.split("\n"))) <= 100


@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_waits_for_the_flags_of_another(command, monkeypatch, name):
    made = []
    original = LightningCLI._prepare_subcommand_parser

    def counted(self, kind, subcommand, **more):
        made.append(subcommand)
        return original(self, kind, subcommand, **more)

    monkeypatch.setattr(LightningCLI, "_prepare_subcommand_parser", counted)
    assert command(name, "--help").status == 0
    assert made == [name]
    made.clear()
    assert command("--help").status == 0
    assert made == list(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_explains_its_flags(command, name):
    outcome = command(name, "--help_all")
    assert outcome.status == 0
    assert outcome.err == ""
    for flag in ("--config", "--model", "--data", "--trainer.accelerator", "--ckpt_path"):
        assert flag in outcome.out
    for instrument in INSTRUMENTS:
        assert (f"--{instrument} " in outcome.out) == (name == "fit")
    assert ("--run " in outcome.out) == (name != "fit")


def test_every_instrument_is_explained(command):
    text = " ".join(command("fit", "--help_all").out.split())
    for name, kind in INSTRUMENTS.items():
        first = kind.__doc__.strip().split("\n")[0].rstrip(".")
        assert first in text, name
    assert "(null for none)" in text


def test_a_class_explains_its_options(command):
    outcome = command("fit", "--model.help", "LinearRegression")
    assert outcome.status == 0
    for option in ("features", "optimizer", "lr_scheduler", "manual_optimization"):
        assert f"--model.{option}" in outcome.out


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_the_version(command, flag):
    outcome = command(flag)
    assert (outcome.status, outcome.out) == (0, f"descentlab {__version__}\n")


def test_the_version_needs_no_torch():
    code = (
        "import sys; from descentlab.__main__ import main; main(['--version']); main(['configs']);"
        "sys.exit('torch' in sys.modules or 'lightning' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE)


def test_configs_are_listed_one_line_each_with_what_they_are(command):
    outcome = command("configs")
    assert outcome.status == 0
    lines = outcome.out.splitlines()
    names = [line.split()[0] for line in lines]
    assert names == list(shipped())
    assert "linear_regression/split.yaml" in names
    assert all(len(line.split()) > 3 for line in lines)


def test_configs_explains_itself(command):
    assert command("configs", "--help").status == 0
    assert command("configs", "--nope").status == 2


def test_the_resolved_configuration_can_be_printed_and_read_back(command, tmp_path):
    words = ("fit", "--config", "linear_regression/split.yaml", "--model.optimizer.lr", "0.5")
    outcome = command(*words, "--print_config")
    assert outcome.status == 0
    content = yaml.safe_load(outcome.out)
    assert content["model"]["init_args"]["optimizer"]["init_args"]["lr"] == 0.5
    assert content["trainer"]["max_epochs"] == 150
    assert content["seed_everything"] == 42
    path = tmp_path / "all.yaml"
    path.write_text(outcome.out)
    assert command("fit", "--config", path, "--print_config").out == outcome.out


def test_a_config_is_found_by_name_with_and_without_its_ending_and_by_path(tmp_path, monkeypatch):
    place = FOLDER / "linear_regression/split.yaml"
    assert find("linear_regression/split.yaml") == place
    assert find("linear_regression/split") == place
    assert find(str(place)) == place
    monkeypatch.chdir(tmp_path)
    mine = tmp_path / "linear_regression/split.yaml"
    mine.parent.mkdir()
    mine.write_text("trainer:\n  max_epochs: 1\n")
    assert find("linear_regression/split.yaml").resolve() == mine  # one's own comes first
    with pytest.raises(UsageError, match="there is no config linear_regression "):
        find("linear_regression ")
