"""Keywords in the place of flags."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import descentlab
from descentlab.__main__ import main
from descentlab.api.settings import words_of
from descentlab.datamodules import RegressionData
from descentlab.modules import LinearRegression
from descentlab.optimizers import Momentum


def flags(config="toy/wavy", **settings):
    words = words_of([config], settings)
    assert words[:3] == ["fit", "--config", config]
    return words[3:]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.07, "0.07"),
        (-5, "-5"),
        (1e-7, "1e-07"),
        (True, "true"),
        (None, "null"),
        ([0.1, 1], "[0.1, 1]"),
        (np.float64(0.5), "0.5"),
        (torch.tensor([1.0, 2.0]), "[1.0, 2.0]"),
        (float("inf"), ".inf"),
        ("X", "X"),
        (Path("a/b"), "a/b"),
        (Momentum, "descentlab.optimizers.momentum.Momentum"),
        ({"class_path": Momentum}, '{"class_path": "descentlab.optimizers.momentum.Momentum"}'),
    ],
)
def test_a_value_is_written_as_on_the_command_line(value, text):
    assert flags(**{"model.start": value}) == ["--model.start", text]


def test_a_text_that_begins_like_a_flag_stays_a_value():
    assert flags(**{"model.start": "-x"}) == ["--model.start=-x"]


def test_a_keyword_is_the_last_part_of_the_flag_of_fewest_parts():
    assert flags(max_epochs=3) == ["--trainer.max_epochs", "3"]
    assert flags(seed_everything=3) == ["--seed_everything", "3"]
    assert flags("linear_regression/momentum_sweep", lr=0.5) == ["--model.optimizer.lr", "0.5"]
    assert flags("linear_regression/split", batch_size=7) == ["--data.batch_size", "7"]


def test_a_mapping_is_a_flag_too():
    grid = {"lr": [0.001, 0.01], "momentum": [0.5, 0.9]}
    found = flags("linear_regression/lr_momentum_sweep", grid=grid)
    assert found == ["--model.grid", json.dumps(grid)]


@pytest.mark.parametrize("model", ["LinearRegression", LinearRegression])
def test_model_and_data_need_no_config(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    more = {"source": "line", "model.features": 1, "max_epochs": 1, "figures": "none"}
    run = descentlab.fit(model=model, data="RegressionData", **more)
    assert run.config["data"]["class_path"] == "descentlab.datamodules.RegressionData"
    assert run.config["data"]["init_args"]["source"] == "line"
    assert run.place == Path("logs/LinearRegression/version_0")


@pytest.mark.parametrize("order", [1, -1])
def test_the_options_of_a_class_come_after_it_in_any_order(order):
    settings = {"optimizer": "RMSprop", "lr": 0.1, "alpha": 0.9}
    found = flags(**dict(list(settings.items())[::order]))
    assert found[:2] == ["--model.optimizer", "RMSprop"]
    pairs = dict(zip(found[2::2], found[3::2], strict=True))
    assert pairs == {"--model.optimizer.lr": "0.1", "--model.optimizer.alpha": "0.9"}


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"seed": 3}, "seed: there is no such flag: give seed_everything"),
        ({"epochs": 3}, "epochs: there is no such flag: give trainer.max_epochs"),
        ({"stat": 3}, "stat: no flag of toy/wavy ends so; did you mean start?"),
        ({"zzz": 3}, "zzz: no flag of toy/wavy ends so; give a whole one, **{'model.x.y': VALUE}"),
        ({"lr": object}, "--model.optimizer.lr builtins.object: give a number"),
        ({"fast_dev_run": True}, "trainer.fast_dev_run leaves no folder, and so no run to return"),
        ({"logger": False}, "trainer.logger = false leaves no folder, and so no run to return"),
        ({"lr": 1, "model.optimizer.lr": 2}, "lr and model.optimizer.lr are the same flag"),
        (
            {"every": 1},
            "every stands for progress.every and for best_parameters.every: give one in full, "
            '**{"progress.every": VALUE}',
        ),
        ({"lr": {1, 2}}, "model.optimizer.lr = {1, 2} cannot be written into a config: give a nu"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_stands_for_no_flag_is_named(settings, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(descentlab.UsageError) as error:
        descentlab.fit("toy/wavy", **settings)
    assert str(error.value).startswith(sentence)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", [torch.Tensor, np.ndarray])
def test_tensors_are_given_as_files(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x, y = torch.ones(50, 2), torch.ones(50)
    given = {"x": x, "y": y} if kind is torch.Tensor else {"x": x.numpy(), "y": y.numpy()}
    with pytest.raises(descentlab.UsageError) as error:
        descentlab.fit("linear_regression/your_data", **given)
    assert str(error.value) == (
        "--data.x: a tensor cannot be written into a config: save inputs and targets by torch.save "
        "or numpy.save, and give the files as x_path and y_path"
    )


def test_an_object_is_given_as_its_class_with_options():
    with pytest.raises(descentlab.UsageError) as error:
        descentlab.fit("linear_regression/split", data=RegressionData())
    assert str(error.value).startswith("data = a RegressionData cannot be written into a config: ")
    assert str(error.value).endswith("a class, with its options as keywords of their own")


@pytest.mark.parametrize(
    ("configs", "settings", "words"),
    [
        (["toy/wavvy"], {}, ["--config", "toy/wavvy"]),
        (["toy/wavy"], {"lr": "x"}, ["--config", "toy/wavy", "--model.optimizer.lr", "x"]),
        (["toy/wavy"], {"max_epochs": 0}, ["--config", "toy/wavy", "--trainer.max_epochs", "0"]),
        ([], {}, []),
        (["derivatives/sine"], {}, ["--config", "derivatives/sine"]),
        (["toy/wavy"], {"optimizer": "X"}, ["--config", "toy/wavy", "--model.optimizer", "X"]),
    ],
)
def test_the_sentence_is_that_of_the_command(
    configs, settings, words, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(descentlab.UsageError) as error:
        descentlab.fit(*configs, **settings)
    assert main(["fit", *words]) == 2
    assert capsys.readouterr().err == f"descentlab: error: {error.value}\n"


def test_what_is_no_run_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(descentlab.UsageError, match=r"^logs/x is no run: give one that"):
        descentlab.load("logs/x")


def test_a_setting_of_another_optimizer_says_which_has_it():
    says = (
        'momentum: the optimizer of toy/wavy has none: give one that has, as optimizer="Momentum"'
    )
    with pytest.raises(descentlab.UsageError, match=re.escape(says)):
        flags(momentum=0.9)
    with pytest.raises(descentlab.UsageError, match='optimizer="Adam"'):
        flags(betas=(0.9, 0.99))
