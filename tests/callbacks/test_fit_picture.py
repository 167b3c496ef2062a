"""The picture of a fit: what is predicted, with which parameters, and of which runs."""

from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from matplotlib.figure import Figure
from numpy.testing import assert_allclose, assert_array_equal

from descentlab import callbacks, datamodules, modules, optimizers
from descentlab.callbacks import fit_picture, whole_sets
from tolerances import FLOAT32


@pytest.fixture
def drawn(monkeypatch):
    """What was handed to the figure, in place of a figure."""
    seen = []

    def figure(sets, judged, labels):
        seen.append((sets, judged, labels))
        return Figure()

    monkeypatch.setattr(fit_picture, "fit_figure", figure)
    monkeypatch.setattr(whole_sets, "files_of", lambda _: {})
    monkeypatch.setattr(whole_sets, "keep_picture", lambda _, path, files: seen.append(path))
    return seen


def rows(count=40):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(count, 1, generator=generator)
    return x, 2 * x[:, 0] - 1 + 0.1 * torch.randn(count, generator=generator)


def fit(tmp_path, epochs, data=None, path=None, **settings):
    x, y = rows()
    module = modules.LinearRegression(
        optimizer=lambda parameters: optimizers.GradientDescent(parameters, lr=0.1), **settings
    )
    data = data or datamodules.RegressionData(x=x, y=y, batch_size=8)
    trainer = Trainer(
        max_epochs=epochs,
        default_root_dir=tmp_path,
        logger=False,
        accelerator="cpu",
        callbacks=[callbacks.FitPicture(), callbacks.BestParameters()],
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(module, data, ckpt_path=path, weights_only=None if path is None else True)
    return module, trainer


@pytest.mark.parametrize(("manual", "chunk"), [(False, 1), (True, 1), (True, 2)])
def test_the_lines_are_those_of_start_best_and_last(tmp_path, drawn, manual, chunk):
    x, y = rows()
    data = datamodules.RegressionData(x=x, y=y, batch_size=8, chunk=chunk)
    module, trainer = fit(tmp_path, 3, data, manual_optimization=manual)
    (sets, judged, labels), path = drawn
    assert path == Path(tmp_path) / "figures" / "fit"
    best = trainer.callbacks[-1]
    assert judged == f"best, epoch {best.best_epoch}"
    assert labels == ("x", "y")
    assert list(sets) == ["train", "val"]
    for name, points in sets.items():
        inputs, targets = (each[data.indices[name]] for each in (x, y))
        assert_array_equal(points.x, inputs)
        assert_array_equal(points.y, targets)
        assert list(points.predictions) == ["start", judged, f"last, {trainer.global_step} updates"]
        assert_array_equal(points.predictions["start"], np.zeros(len(targets)))
        kept = best.best["state_dict"]
        for values, label in ((kept, judged), (module.state_dict(), list(points.predictions)[-1])):
            expected = values["slope"].numpy() * inputs[:, 0].numpy() + values["bias"].numpy()
            assert_allclose(points.predictions[label], expected, rtol=FLOAT32, atol=FLOAT32)
    assert module.training


@pytest.mark.parametrize(("epochs", "lines"), [(6, []), (9, ["epoch 5"])])
def test_there_is_a_line_of_epoch_5_unless_it_is_the_last(tmp_path, drawn, epochs, lines):
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(40, 1, generator=generator)  # without noise, so that the last epoch is best
    data = datamodules.RegressionData(x=x, y=2 * x[:, 0] - 1, batch_size=8)
    _, trainer = fit(tmp_path, epochs, data)
    sets, judged, _ = drawn[0]
    names = list(sets["train"].predictions)
    assert judged == f"best, epoch {epochs - 1}"
    assert names == ["start", *lines, judged, f"last, {trainer.global_step} updates"]
    for name in lines:
        kept = trainer.callbacks[-1].history.epochs[5]
        inputs = x[data.indices["train"]][:, 0]
        expected = kept["slope"] * inputs + kept["bias"]
        assert_allclose(sets["train"].predictions[name], expected, rtol=FLOAT32, atol=FLOAT32)
        last = sets["train"].predictions[names[-1]]
        assert not np.allclose(sets["train"].predictions[name], last, rtol=FLOAT32, atol=FLOAT32)


def test_a_run_that_goes_on_has_the_start_of_the_run(tmp_path, drawn):
    fit(tmp_path / "first", 1)
    last = tmp_path / "first" / "checkpoints" / "last.ckpt"
    fit(tmp_path / "second", 2, path=last)
    for sets, *_ in (drawn[0], drawn[2]):
        assert_array_equal(sets["train"].predictions["start"], np.zeros(len(sets["train"].y)))


def test_without_a_split_there_is_one_set(tmp_path, drawn):
    data = datamodules.RegressionData(source="line", split=None)
    fit(tmp_path, 1, data)
    assert list(drawn[0][0]) == ["train"]


@pytest.mark.parametrize(
    ("given", "labels"),
    [
        ({}, ("bmi", "disease progression")),
        ({"column": "bp"}, ("bp", "disease progression")),
        ({"source": "line"}, ("x", "y")),
        ({"path": "rows.csv", "target": "price"}, ("size", "price")),
        ({"x_path": "sizes.npy", "y_path": "prices.npy"}, ("sizes", "prices")),
    ],
)
def test_axes_are_called_as_the_data_are(tmp_path, monkeypatch, given, labels):
    monkeypatch.chdir(tmp_path)
    Path("rows.csv").write_text("size,price\n" + "".join(f"{i}.5,{2 * i}.5\n" for i in range(20)))
    for name in ("sizes", "prices"):
        np.save(f"{name}.npy", np.arange(20.0))
    data = datamodules.RegressionData(**given)
    data.prepare_data()
    assert data.labels == labels


def test_a_module_without_a_training_set_at_hand_is_told_so(tmp_path, drawn):
    trainer = Trainer(max_epochs=1, default_root_dir=tmp_path, logger=False, accelerator="cpu")
    picture = callbacks.FitPicture()
    with pytest.warns(match="hold no training set"):
        picture.on_train_start(trainer, modules.LinearRegression(features=1))
    picture.on_fit_end(trainer, modules.LinearRegression(features=1))
    assert drawn == []


def test_predictions_of_another_shape_are_not_drawn(tmp_path):
    with pytest.raises(ValueError, match=r"predictions \{\(4, 1\)\}"):
        fit_picture._points(
            torch.nn.Linear(1, 1), [(torch.ones(4, 1), torch.ones(4))], {"last": {}}
        )
