"""Unknown names, flags, keys, types and configs: one message with the nearest that there is."""

import re

import pytest
import torch
from command_line import YOUR_DATA

import descentlab.objectives
import descentlab.optimizers

SPLIT = ("fit", "--config", "linear_regression/split.yaml")
TOY = ("fit", "--config", "toy/square.yaml", "--trainer.max_epochs", "1")


@pytest.mark.parametrize("name", ["Nope", "descentlab.objectives.Nope", "nowhere.Nope"])
def test_an_unknown_objective_is_answered_with_all_known_ones(refused, name):
    message = refused(*TOY, "--model.objective", name)
    wrong = rf"--model.objective {name}: there is no (such objective;|module nowhere:) "
    assert re.match(wrong, message)
    assert "give one of " in message
    base = descentlab.objectives.Objective
    for known in descentlab.objectives.__all__:
        kind = getattr(descentlab.objectives, known)
        if isinstance(kind, type) and issubclass(kind, base) and kind is not base:
            assert known in message


@pytest.mark.parametrize("name", ["Nope", "torch.optim.Nope", "nowhere.Nope"])
def test_an_unknown_optimizer_is_answered_with_all_known_ones(refused, name):
    message = refused(*TOY, "--model.optimizer", name)
    wrong = rf"--model.optimizer {name}: there is no (such optimizer;|module nowhere:) "
    assert re.match(wrong, message)
    assert "give one of " in message
    listed = message.partition("descentlab.optimizers (")[2].partition(")")[0].split(", ")
    assert listed == ["Adam", "GradientDescent", "Momentum"]
    for known in ("SGD", "Adam", "AdamW", "RMSprop", "LBFGS"):
        assert hasattr(torch.optim, known)
        assert known in message.partition("torch.optim (")[2].partition(")")[0].split(", ")


def test_a_function_of_the_users_is_an_objective_once_it_says_what_it_returns(
    command, here, monkeypatch
):
    text = "def bowl(theta){}:\n    return 3 * theta**2\n"
    (here / "my_bowls.py").write_text("from torch import Tensor\n" + text.format(" -> Tensor"))
    (here / "my_untyped.py").write_text(text.format(""))
    monkeypatch.syspath_prepend(here)
    outcome = command(*TOY, "--model.objective", "my_bowls.bowl")
    assert outcome.status == 0
    assert "theta                 0.4\n" in outcome.out  # 1 - 0.1 * 6
    message = command(*TOY, "--model.objective", "my_untyped.bowl").message
    assert "--model.objective my_untyped.bowl: annotate the function" in message
    assert "`-> Tensor`" in message


def test_an_optimizer_of_two_homes_is_asked_for_by_its_path(refused):
    message = refused(*TOY, "--model.optimizer", "Adam")
    offered = message.partition("there are several of this name; give ")[2].split(" or ")
    assert {"torch.optim.Adam", "descentlab.optimizers.Adam"} <= set(offered)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--model.optimizer", "Momentum"), ("descentlab.optimizers.Momentum",)),
        (("--model.optimizer", "SGD"), ("torch.optim.SGD",)),
        (("--model.objective", "Square"), ("descentlab.objectives.Square",)),
        (("--model.lr_scheduler", "StepLR", "--model.lr_scheduler.step_size", "3"), ("StepLR",)),
    ],
)
def test_short_names_are_found(command, words, says):
    outcome = command(*TOY, *words, "--print_config")
    assert outcome.status == 0
    assert all(text in outcome.out for text in says)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--model.lr_scheduler", "Nope"), "--model.lr_scheduler Nope: there is no such lr_sch"),
        (("--model", "Nope"), "--model Nope: there is no such model; give one of descentlab.mod"),
        (("--model.optimizer", "RMSProp"), "no such optimizer; did you mean RMSprop?; give one"),
        (("--data", "Nope"), "--data Nope: there is no such data; give one of descentlab.datam"),
        (("--graph_export", "Nope"), "--graph_export Nope: give a class or null"),
        (("--model.optim.lr", "1"), "--model.optim: LinearRegression has no option optim; did you"),
        (("--model.foo", "1"), "--model.foo: LinearRegression has no option foo; it has features"),
        (("--model.featurs", "1"), "--model.featurs: LinearRegression has no option featurs; did"),
        (("--model.featurs", "1"), "did you mean features?"),
        (("--model.optimizer.lrr", "1"), "GradientDescent has no option lrr; did you mean lr?"),
        (("--graph_export.savd", "1"), "GraphExport has no option savd; did you mean saved?"),
        (("--modle", "x"), "--modle x: there is no such flag; did you mean --model?"),
        (("--trainer.max_epoks=3",), "did you mean --trainer.max_epochs?"),
        (("--trainer.epochs", "3"), "did you mean --trainer.max_epochs?"),
        (("--line.size", "3"), "--line.size 3: there is no such flag"),
        (("extra",), "extra: a value stands behind its flag: a run is given as --resume extra"),
        (("--trainer.max_epochs", "ten"), "--trainer.max_epochs ten: give a whole number or null"),
        (("--trainer.max_epochs",), "--trainer.max_epochs: expected one argument"),
        (("--model.optimizer.lr", "abc"), "--model.optimizer.lr abc: give a number"),
        (("--model.optimizer.lr", "-1"), "lr must be a finite number > 0, and -1.0 was given"),
        (("--model.optimizer.lr", "nan"), "--model.optimizer.lr nan: give a number"),
        (("--model.features", "0"), "features must be at least 1, and 0 was given"),
        (("--model.features", "2"), "features=2 was given, and the data have 1 columns"),
        (("--seed_everything", "abc"), "--seed_everything abc: give true or false or a whole"),
        (("--best_parameters.every", "-1"), "every must be a number >= 0, and -1.0 was given"),
        (("--best_parameters.every", ".nan"), "every must be a number >= 0, and nan was given"),
        (("--best_parameters.history_mb", "-3"), "history_mb must be a number >= 0, and -3"),
        (("--trainer.max_epochs", "0"), "nothing is left to train: trainer.max_epochs = 0"),
        (("--trainer.devices", "0"), "devices"),
        (("--trainer.strategy", "nope"), "invalid strategy name: `strategy='nope'`"),
        (("--trainer.logger.foo", "3"), "RunLogger has no option foo; it has save_dir, name"),
        (("--data", "null"), "LinearRegression has no data: give --data CLASS, one of"),
        (("--run", "logs"), "--run logs: there is no such flag"),
        (("--config",), "--config: expected one argument"),
    ],
)
def test_a_wrong_word_is_named(refused, words, says):
    assert says in refused(*SPLIT, *words)


def test_a_metric_that_is_not_logged_ends_the_run_with_the_logged_ones(command, here):
    outcome = command(*YOUR_DATA, "--best_parameters.monitor", "foo")
    assert outcome.status == 2
    assert "monitor='foo' is not logged: logged are loss/train" in outcome.message


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("fit",), "model missing: give --config NAME (`descentlab configs` lists the shipped"),
        (("fit", "--data", "Steps"), "model missing: give --config NAME"),
        (("fit", "--config", "trainer/cpu.yaml"), "model missing: give --config NAME"),
        (("fit", "--model", "LinearRegression"), "LinearRegression has no data: give --data"),
        (("test", "--config", "trainer/cpu.yaml"), "model missing: give --run DIR"),
        (("test",), "give --run DIR, a folder that `fit` has made, or --config NAME"),
        (("fit", "--config", "toy/sqare.yaml"), "shipped ones: did you mean toy/square.yaml? `de"),
        (("fit", "--config", "toy/wavvy"), "the shipped ones: did you mean toy/wavy.yaml? `desc"),
        (("fit", "--config", "toy/himmelblau.yaml", "--model.start", "1,-1"), "give '[1,-1]'"),
        (
            ("fit", "--config", "toy/rosenbrock.yaml", "--model.start", "3"),
            "--model.start '[-1.2,1",
        ),
        (
            ("fit", "--config", "toy/rosenbrock.yaml", "--model.objective", "Rosenbrok"),
            "Rosenbrok: there is no such objective; did you mean Rosenbrock?; give one of",
        ),
        (("nope",), "nope is no command: give fit, validate, test, predict, configs, runs, "),
        (("--trainer.max_epochs", "3"), "3 is no command: give fit"),
        (("--nope",), "--nope: there is no such flag"),
        (
            (
                "predict",
                "--config",
                "linear_dynamics/stable_rate.yaml",
                "--model.optimizer",
                "Adam",
            ),
            "StableRate has no option optimizer; did you mean module.optimizer?; it has module, ",
        ),
        (("configs", "extra"), "configs extra: no config begins so: give `descentlab configs` al"),
        (("configs", "toy", "derivatives"), "configs toy derivatives: one word is taken: give"),
        (("fit", "--config", "nope.yaml"), "there is no config nope.yaml, neither here nor among"),
        (("fit", "--config=nope.yaml"), "there is no config nope.yaml, neither here nor among"),
        (("fit", "-c", "nope"), "there is no config nope, neither here nor among the shipped"),
    ],
)
def test_a_command_that_lacks_something_says_what(refused, words, says):
    assert says in refused(*words)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("model: [1, 2\n  foo: : bar", "line 2, column 6 cannot be read as YAML"),
        ("model:\n\t- x", "line 2, column 1 cannot be read as YAML"),
        ("just words", "is no config: give a YAML file with keys"),
        ("", "is no config: give a YAML file with keys"),
        (b"\xff\xfe\x00m", "cannot be read as YAML"),
        ("trainer:\n  max_epoch: 3", "trainer.max_epoch: there is no such key; did you mean"),
        ("trainr:\n  max_epochs: 3", "did you mean --trainer.max_epochs?"),
        ("trainer:\n  max_epochs: ten", "--trainer.max_epochs ten: give a whole number"),
        ("model:\n  init_args:\n    featurs: 1", "did you mean features?"),
        ("model:\n  class_path: descentlab.Nope", "--model descentlab.Nope: there is no such mod"),
    ],
)
def test_a_bad_config_is_named(refused, tmp_path, content, says):
    path = tmp_path / "mine.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    message = refused(*SPLIT, "--config", path)
    assert says in message
    if "YAML" in says:
        assert str(path) in message


def test_a_right_config_is_not_refused(command, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("trainer:\n  max_epochs: 3\n")
    outcome = command(*SPLIT, "--config", path, "--print_config")
    assert outcome.status == 0
    assert "  max_epochs: 3\n" in outcome.out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--seed_everything", "-1"), "--seed_everything -1 is no seed: give 0 to 4294967295"),
        (
            ("--model.lr_scheduler", "StepLR"),
            "--model.lr_scheduler StepLR needs step_size: add --model.lr_scheduler.step_size VALUE",
        ),
        (
            ("--model.lr_scheduler", "StepLR", "--model.lr_scheduler.step_size", "0"),
            "model.lr_scheduler: StepLR: step_size = 0: give 1 or more",
        ),
        (
            ("--model.lr_scheduler", "CosineAnnealingLR", "--model.lr_scheduler.T_max", "-2"),
            "model.lr_scheduler: CosineAnnealingLR: T_max = -2: give 1 or more",
        ),
        (
            ("--model.lr_scheduler", "ChainedScheduler", "--model.lr_scheduler.schedulers", "[]"),
            "ChainedScheduler cannot be configured here",
        ),
        (
            ("--model.optimizer", "null"),
            "--model.optimizer null: give a value, or leave it out for",
        ),
        (
            ("--trainer.logger.version", "a\0b"),
            "version = 'a\\x00b' has a NUL in it: give a name",
        ),
        (("--data.chunk", "0"), "chunk = 0 is below 1: give 1 or more, or auto"),
        (("--model.compile", "true", "--data.chunk", "1"), "data.chunk is 1: leave data.chunk out"),
    ],
)
def test_what_would_not_do_what_was_meant_is_refused_before_a_folder_is_made(refused, words, says):
    assert says in refused("fit", "--config", "linear_regression/split.yaml", *words)


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (("--trainer.max_epoch", "3"), "--trainer.max_epochs"),
        (("--seed", "3"), "--seed_everything"),
        (("--seed_every", "3"), "--seed_everything"),
        (("--fig", "none"), "--figures"),
        (("--data.batch", "3"), "batch_size"),
    ],
)
def test_a_flag_is_given_in_full(refused, words, meant):
    message = refused(*SPLIT, *words)
    assert message.startswith(words[0])
    assert re.search(rf"(did you mean {meant}\?|give {meant}$)", message)
