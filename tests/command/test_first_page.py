"""The first page of a command's help: its flags exist and work, and it tells their values."""

import re
import shutil
import subprocess

import pytest
import yaml

from descentlab.command.first_page import _EVALUATION, _FIT

#: a value for each flag of the page of `fit` that takes one, other than its default
VALUES = {
    "--model": "descentlab.modules.LinearRegression",
    "--model.optimizer": "torch.optim.SGD",
    "--model.optimizer.lr": 0.125,
    "--model.lr_scheduler": "torch.optim.lr_scheduler.ExponentialLR",
    "--model.manual_optimization": True,
    "--data": "descentlab.datamodules.RegressionData",
    "--data.batch_size": 17,
    "--trainer.max_epochs": 23,
    "--trainer.accelerator": "cpu",
    "--trainer.precision": "64-true",
    "--trainer.callbacks": "lightning.pytorch.callbacks.LearningRateMonitor",
    "--seed_everything": 7,
    "--trainer.logger.save_dir": "elsewhere",
    "--figures": "none",
    "--graph_export": None,
    "--trajectory": "descentlab.callbacks.Trajectory",
    "--test_after_fit": True,
}
#: those that take none, or show something and end
OTHERS = {"--config", "--resume", "--print_config", "--model.help", "--data.help", "--help_all"}
CONFIG = ("--config", "linear_regression/split.yaml")


def shown(page):
    """The flags of a page, each with the default that it tells."""
    parts = re.split(r"^  (?:-\w \w+, )?(--\S+)", page, flags=re.M)
    pairs = zip(parts[1::2], parts[2::2], strict=True)
    alone = {flag: " ".join(said.split("\n\n")[0].split()) for flag, said in pairs}
    return {flag: re.findall(r"\(default: (.*)\)$", said) for flag, said in alone.items()}


def in_config(content, flag):
    """The value of a flag in a configuration that was printed; of a class its path."""
    for part in flag.removeprefix("--").split("."):
        content = content.get("init_args", content) if isinstance(content, dict) else {}
        content = content.get(part)
    if isinstance(content, list):
        (content,) = content
    return content.get("class_path") if isinstance(content, dict) else content


def in_words(value):
    return {True: "true", False: "false", None: "null"}.get(value, str(value))


def test_the_page_of_fit_is_short_and_names_the_flags_that_matter(command):
    page = command("fit", "--help")
    assert (page.status, page.err) == (0, "")
    names = [name for part in _FIT.values() for name in part]
    assert list(shown(page.out)) == names
    assert set(names) == VALUES.keys() | OTHERS
    assert len(page.out.splitlines()) <= 70
    assert max(map(len, page.out.splitlines())) <= 100
    assert "Show every flag" in page.out
    said = [each for part in page.out.split("\n  -")[1:] for each in [part.split(None, 2)]]
    assert all(len(each) == 3 for each in said)  # none is without an explanation
    assert command("fit", "-h").out == page.out


@pytest.mark.parametrize("name", ["validate", "test", "predict"])
def test_the_page_of_an_evaluation(command, name):
    page = command(name, "--help")
    assert list(shown(page.out)) == [each for part in _EVALUATION.values() for each in part]
    assert len(page.out.splitlines()) <= 40


def test_every_flag_of_the_page_works(command):
    words = ["fit", *CONFIG]
    for flag, value in VALUES.items():
        words += [flag, in_words(value)]
    outcome = command(*words, "--print_config")
    assert outcome.status == 0, outcome.err
    content = yaml.safe_load(outcome.out)
    assert {flag: in_config(content, flag) for flag in VALUES} == VALUES
    assert command("fit", *CONFIG, "--model.optimizer.momemtum", "1").status == 2  # not any flag
    assert "--resume nowhere: there is no run" in command("fit", "--resume", "nowhere").message


@pytest.mark.parametrize("words", [("--model.help", "LinearRegression"), ("--help_all",)])
def test_what_looks_closer_shows_more(command, words):
    outcome = command("fit", *words)
    assert outcome.status == 0
    assert len(shown(outcome.out)) > 5


def test_the_whole_help_has_all_that_the_first_page_has(command):
    whole = command("fit", "--help_all").out
    nested = {f"--{key}." for key in ("model", "data", "trainer.logger")}
    for flag in VALUES.keys() | OTHERS:
        assert flag in whole or any(flag.startswith(each) for each in nested), flag


@pytest.mark.parametrize("config", [(), CONFIG, ("--config", "toy/wavy.yaml")])
def test_the_defaults_are_those_with_which_a_run_would_be_made(command, config):
    words = config or ("--model", "LinearRegression", "--data", "RegressionData")
    content = yaml.safe_load(command("fit", *words, "--print_config").out)
    pages = shown(command("fit", *config, "--help").out)
    defaults = {flag: said[0] for flag, said in pages.items() if said}
    assert len(defaults) >= 17
    for flag, said in defaults.items():
        if not config and flag in ("--model", "--data"):
            assert said == "null"
        else:
            assert in_words(in_config(content, flag)).rpartition(".")[2] == said.rpartition(".")[2]
    other = yaml.safe_load(command("fit", *words, "--trainer.max_epochs", 5, "--print_config").out)
    assert in_words(in_config(other, "--trainer.max_epochs")) != defaults["--trainer.max_epochs"]


def completed(script, *words):
    """What bash offers for the last of the words."""
    given = " ".join(f"'{word}'" for word in words)
    asked = (
        f"{script}\nCOMP_WORDS=(descentlab {given}); COMP_CWORD={len(words)}; _descentlab; "
        "printf '%s\\n' \"${COMPREPLY[@]}\""
    )
    done = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_bash_completes_commands_flags_and_configs(command):
    script = command("--print_completion", "bash")
    assert (script.status, script.err) == (0, "")
    assert completed(script.out, "co") == ["configs", "compare"]
    assert completed(script.out, "fit", "--model.optimizer.l") == ["--model.optimizer.lr"]
    assert "--epoch" in completed(script.out, "test", "--e")
    assert completed(script.out, "fit", "--epoch") == []
    assert completed(script.out, "fit", "--config", "toy/wavy.") == ["toy/wavy.yaml"]
    assert completed(script.out, "runs", "--") == []


def test_zsh_reads_the_script_of_bash_and_fish_has_its_own(command):
    bash, zsh, fish = (command("--print_completion", each).out for each in ("bash", "zsh", "fish"))
    assert zsh.endswith(bash)
    assert "bashcompinit" in zsh
    assert "-n '__fish_seen_subcommand_from fit' -l model.optimizer.lr" in fish
    assert "-l config -s c -r -a '" in fish
    for shell, script in (("zsh", zsh), ("fish", fish)):
        if found := shutil.which(shell):
            subprocess.run([found, "-n"], input=script, text=True, check=True)


def test_a_shell_that_nothing_is_known_of(command):
    outcome = command("--print_completion", "elvish")
    assert outcome.status == 2
    assert "elvish" in outcome.message


def test_commands_of_their_own_are_listed_and_come_first(command):
    text = command("--help").out
    for name in ("configs", "runs", "compare", "tensorboard", "verify", "reproduce"):
        assert re.search(rf"^    {name} +\w", text, re.M)
    outcome = command("--traceback", "runs")
    assert outcome.message == "runs comes first: descentlab runs"
