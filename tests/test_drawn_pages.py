"""The pictures of the documentation: each is what a command draws now."""

import pytest

from descentlab.__main__ import main
from pages import ROOT, same_picture

#: of each the command, and where it draws the picture
DRAWN = {
    "trajectory": ("fit", "toy/wavy", "figures/trajectory"),
    "learning_curves": ("fit", "linear_regression/split", "figures/epoch_losses"),
    "graph": ("fit", "linear_regression/split", "graphs/loss"),
    "sweep_best": ("fit", "linear_regression/lr_momentum_sweep", "figures/sweep_best"),
    "stability_map": ("predict", "linear_dynamics/stability_map", "figures/stability_map"),
}
#: what is no figure of a run: `Browser(1280, 900).picture` of TensorBoard after the tutorial
OTHERS = {"tensorboard"}


def saved(name):
    return (ROOT / "docs" / "pictures" / f"{name}.png").read_bytes()


def test_each_picture_is_drawn_by_a_command():
    assert {path.stem for path in (ROOT / "docs/pictures").iterdir()} == {*DRAWN, *OTHERS}


@pytest.mark.slow
@pytest.mark.parametrize("name", DRAWN)
def test_a_picture_is_what_its_command_draws(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command, config, place = DRAWN[name]
    assert main([command, "--config", f"{config}.yaml"]) == 0
    drawn = tmp_path / "logs" / config / "version_0" / f"{place}.png"
    assert same_picture(saved(name), drawn.read_bytes())


def test_another_picture_is_seen():
    assert same_picture(saved("graph"), saved("graph"))
    assert not same_picture(saved("graph"), saved("trajectory"))
