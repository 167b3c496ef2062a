"""Trajectory: the path that it takes, the loss around it, and that it changes nothing."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from foreign import Foreign, loader
from lightning.pytorch import Trainer, seed_everything
from PIL import Image
from sklearn.metrics import mean_squared_error

from descentlab.__main__ import main
from descentlab.callbacks.trajectory import LossSurface, Trajectory
from descentlab.datamodules import RegressionData, Steps
from descentlab.drawing.trajectory import trajectory_figure
from descentlab.modules import LinearDynamics, LinearRegression, ToyObjective
from descentlab.objectives import Himmelblau, Rosenbrock, SquaredNorm, WavyKink
from descentlab.optimizers import GradientDescent
from tolerances import FLOAT32

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")

SURFACES = [
    (ToyObjective(SquaredNorm(), [1.0, -1.0]), [0], lambda point: (point**2).sum()),
    (
        LinearDynamics(horizon=7, target=2.0),
        [(torch.linspace(-1, 3, 5),)],
        lambda point: ((np.linspace(-1, 3, 5) + 7 * point[0] - 2.0) ** 2).mean(),
    ),
]


def fit(folder, module, data, *callbacks, epochs=6, ckpt_path=None, **flags):
    trainer = Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        max_epochs=epochs,
        logger=False,
        callbacks=list(callbacks),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **flags,
    )
    trainer.fit(module, datamodule=data, ckpt_path=ckpt_path)
    return trainer


def vector(module):
    return torch.cat([p.detach().double().reshape(-1) for p in module.parameters()]).numpy()


@pytest.mark.parametrize(("module", "batches", "truth"), SURFACES, ids=["toy", "dynamics"])
def test_the_surface_is_the_loss_and_the_module_stays_as_it_is(module, batches, truth):
    before = vector(module)
    points = np.random.default_rng(3).normal(size=(11, before.size))
    surface = LossSurface(module, batches)
    found = surface.losses(points)
    assert np.allclose(found, [truth(point) for point in points], rtol=1e-5)
    assert not np.allclose(found, truth(before))
    assert np.array_equal(vector(module), before)
    assert all(p.grad is None for p in module.parameters())
    around = surface.minimisers + 0.1 * points
    assert surface.losses(surface.minimisers) <= surface.losses(around).min()


def test_each_minimum_is_marked_where_newton_finds_it():
    """Of Himmelblau's four one was marked, so that a run which ended in another seemed to miss."""
    found = np.array([[3.0, 2.0], [-2.8, 3.1], [-3.7, -3.2], [3.5, -1.8]])
    for _ in range(8):
        x, y = found.T
        one, other = x**2 + y - 11, x + y**2 - 7
        slope = np.stack([4 * x * one + 2 * other, 2 * one + 4 * y * other], axis=1)
        mixed = 4 * (x + y)
        bent = np.array([[12 * x**2 + 4 * y - 42, mixed], [mixed, 4 * x + 12 * y**2 - 26]])
        found = found - np.linalg.solve(bent.transpose(2, 0, 1), slope[:, :, None])[:, :, 0]
    module = ToyObjective(Himmelblau(), [3.5, -1.8])
    surface = LossSurface(module, [0])
    assert surface.minimisers == pytest.approx(found, rel=FLOAT32)
    path = surface.path([torch.tensor([3.5, -1.8]), torch.from_numpy(found[3])], [0, 1])
    lines = trajectory_figure(path, surface.losses, surface.minimisers).axes[0].lines
    (ring,) = (line for line in lines if line.get_label() == "minima")
    assert ring.get_xydata() == pytest.approx(found, rel=FLOAT32)


def test_the_surface_of_uneven_batches_is_scikit_learns_error():
    generator = np.random.default_rng(5)
    x, y = generator.normal(size=(23, 2)), generator.normal(size=23)
    module = LinearRegression(features=2).double()
    pairs = [
        (torch.from_numpy(x[low:high]), torch.from_numpy(y[low:high]))
        for low, high in ((0, 10), (10, 20), (20, 23))
    ]
    points = generator.normal(size=(5, 3))
    expected = [mean_squared_error(y, x @ point[:2] + point[2]) for point in points]
    assert np.allclose(LossSurface(module, pairs).losses(points), expected, rtol=1e-12)
    assert not np.allclose(LossSurface(module, pairs[:2]).losses(points), expected)


def test_losses_of_a_sum_add_up():
    class Sums(LinearRegression):
        reduction = "sum"

        def loss(self, batch):
            x, y = batch
            return ((self(x) - y) ** 2).sum()

    generator = np.random.default_rng(6)
    x, y = generator.normal(size=(9, 2)), generator.normal(size=9)
    pairs = [(torch.from_numpy(x[a:b]), torch.from_numpy(y[a:b])) for a, b in ((0, 6), (6, 9))]
    points = generator.normal(size=(4, 3))
    expected = [((x @ point[:2] + point[2] - y) ** 2).sum() for point in points]
    found = LossSurface(Sums(features=2).double(), pairs).losses(points)
    assert np.allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("module", "world", "reason"),
    [
        (ToyObjective(SquaredNorm(), [1.0, 2.0]), 1, None),
        (ToyObjective(SquaredNorm(), [1.0, 2.0]), 2, "each of several processes has a part"),
        (ToyObjective(SquaredNorm(), [1.0] * 1001), 1, "it has not 1 to 1,000 parameters"),
    ],
)
def test_a_path_that_could_mislead_is_not_drawn(module, world, reason):
    trainer = SimpleNamespace(val_dataloaders={"train": range(1)}, world_size=world)
    found = Trajectory()._why_not(trainer, module)
    assert found is None if reason is None else found.startswith(reason)


def test_the_path_is_that_of_gradient_descent_in_closed_form(tmp_path):
    start, lr = torch.tensor([1.3, -0.4, 2.0]), 0.2
    module = ToyObjective(SquaredNorm(), start.tolist(), lambda p: GradientDescent(p, lr))
    taken = Trajectory()
    fit(tmp_path, module, Steps(), taken)
    path = LossSurface(module, [0]).path(taken._points, taken._updates)
    expected = np.array([start.numpy() * (1 - 2 * lr) ** k for k in range(7)])
    assert np.allclose(path.points, expected, rtol=1e-5)
    assert np.allclose(path.losses, (expected**2).sum(axis=1), rtol=1e-5)
    assert np.allclose(path.gradients, 2 * np.linalg.norm(expected, axis=1), rtol=1e-5)
    assert np.allclose(path.step_sizes, lr * path.gradients[:-1], rtol=1e-5)
    assert path.updates.tolist() == list(range(7))
    assert list(path.names) == ["theta[0]", "theta[1]", "theta[2]"]
    assert {each.name for each in (tmp_path / "figures").iterdir()} == {
        "trajectory.png",
        "trajectory.svg",
    }


@pytest.mark.parametrize("manual", [False, True])
def test_it_changes_nothing(tmp_path, manual):
    def descend(*callbacks):
        seed_everything(4, verbose=False)
        module = LinearRegression(manual_optimization=manual)
        data = RegressionData("line", batch_size=7)
        fit(tmp_path, module, data, *callbacks)
        return vector(module), torch.get_rng_state()

    (alone, state), (watched, other) = descend(), descend(Trajectory())
    assert np.array_equal(alone, watched)
    assert torch.equal(state, other)


def test_a_run_that_goes_on_has_the_whole_path(tmp_path):
    def module():
        return ToyObjective(WavyKink(), 0.5, lambda p: GradientDescent(p, 0.05))

    whole, first, rest = Trajectory(), Trajectory(), Trajectory()
    fit(tmp_path, module(), Steps(), whole)
    fit(tmp_path, module(), Steps(), first, epochs=3).save_checkpoint(tmp_path / "3.ckpt")
    fit(tmp_path, module(), Steps(), rest, ckpt_path=tmp_path / "3.ckpt")
    assert rest._updates == whole._updates == list(range(7))
    assert torch.equal(torch.stack(rest._points), torch.stack(whole._points))


@pytest.mark.filterwarnings("ignore:Encountered `nan` values:UserWarning")  # torchmetrics
def test_a_path_ends_where_it_is_no_longer_finite(tmp_path):
    module = ToyObjective(SquaredNorm(), [1.0, 2.0], lambda p: GradientDescent(p, 1e12))
    taken = Trajectory()
    fit(tmp_path, module, Steps(), taken)
    path = LossSurface(module, [0]).path(taken._points, taken._updates)
    assert 2 <= len(path.points) < len(taken._points)
    assert np.isfinite(path.losses).all()
    assert (tmp_path / "figures" / "trajectory.png").is_file()


def test_a_run_that_breaks_off_is_drawn(tmp_path):
    class Breaks(ToyObjective):
        def on_train_epoch_start(self):
            if self.current_epoch == 3:
                raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        fit(tmp_path, Breaks(SquaredNorm(), [1.0, 2.0]), Steps(), Trajectory())
    assert (tmp_path / "figures" / "trajectory.svg").is_file()


def test_a_module_without_a_loss_of_its_own_is_left_without_a_picture(tmp_path):
    trainer = Trainer(
        default_root_dir=tmp_path,
        accelerator="cpu",
        max_epochs=1,
        logger=False,
        callbacks=[Trajectory()],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    with pytest.warns(
        UserWarning, match=r"No trajectory is drawn of Foreign: it has no loss\(batch\)"
    ):
        trainer.fit(Foreign(), loader(), loader())
    assert not (tmp_path / "figures").exists()


@pytest.mark.usefixtures("white_pictures")
def test_a_shipped_toy_draws_its_path_and_a_flag_leaves_it_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["fit", "--config", "toy/norm.yaml", "--progress", "null", "--trainer.max_epochs", "2"]
    assert main(words) == 0
    assert main([*words, "--trajectory", "null"]) == 0
    drawn = sorted(path.parts[-3] for path in tmp_path.rglob("trajectory.png"))
    assert drawn == ["version_0"]


def test_a_path_is_animated_on_demand(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["fit", "--config", "toy/norm.yaml", "--progress", "null", "--trainer.max_epochs", "3"]
    assert main([*words, "--trajectory.animate", "true"]) == 0
    assert main(words) == 0
    (file,) = tmp_path.rglob("trajectory.gif")
    assert file.parts[-3] == "version_0"
    with Image.open(file) as animation:
        assert animation.n_frames == 4


def branching(theta):
    """A loss that asks what its values are, which no batch of values can answer."""
    return theta.sum() if theta[0] > 0 else (theta**2).sum()


@pytest.mark.parametrize("loss", [Rosenbrock(), branching], ids=["at once", "one by one"])
def test_the_losses_of_many_points_are_those_of_each(loss):
    surface = LossSurface(ToyObjective(loss, [1.0, -2.0]), [torch.zeros(1)])
    points = np.random.default_rng().normal(size=(50, 2))
    expected = [loss(torch.tensor(point, dtype=torch.float32)).item() for point in points]
    assert surface.losses(points) == pytest.approx(expected, rel=FLOAT32)
    assert surface.losses(1.01 * points) != pytest.approx(expected, rel=FLOAT32)
