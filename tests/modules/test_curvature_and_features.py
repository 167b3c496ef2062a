"""What the modules know of themselves: curvature, features, their hyperparameters."""

from types import SimpleNamespace

import pytest
import torch

from descentlab.errors import UsageError
from descentlab.modules import LinearDynamics, LinearRegression, ToyObjective, TwoLayerNet
from descentlab.objectives import CubicMinusSquare, SquaredNorm
from descentlab.optimizers import Adam, GradientDescent
from tolerances import FLOAT32


def largest_eigenvalue(module, batch):
    """The largest eigenvalue of the loss's Hessian, by autograd twice."""
    parameters = dict(module.named_parameters())
    names = list(parameters)
    sizes = [parameters[name].numel() for name in names]

    def loss(flat):
        values = {
            name: part.reshape(parameters[name].shape)
            for name, part in zip(names, flat.split(sizes), strict=True)
        }
        return torch.func.functional_call(
            _Loss(module), {f"module.{k}": v for k, v in values.items()}, (batch,)
        )

    flat = torch.cat([parameters[name].detach().reshape(-1) for name in names])
    hessian = torch.autograd.functional.hessian(loss, flat)
    return torch.linalg.eigvalsh(hessian)[-1].item()


class _Loss(torch.nn.Module):
    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, batch):
        return self.module.loss(batch)


@pytest.mark.parametrize("horizon", [1, 3, 20])
def test_curvature_of_linear_dynamics(horizon):
    batch = (torch.randn(50),)
    module = LinearDynamics(horizon)
    assert module.largest_curvature(batch) == 2 * horizon**2
    assert largest_eigenvalue(module, batch) == pytest.approx(2 * horizon**2, rel=FLOAT32)


@pytest.mark.parametrize("features", [1, 3])
def test_curvature_of_linear_regression(features):
    x = torch.randn(40, features) + 2
    batch = (x, torch.randn(40))
    module = LinearRegression(features)
    expected = largest_eigenvalue(module, batch)
    assert module.largest_curvature(batch) == pytest.approx(expected, rel=FLOAT32)
    without_bias = float(2 / 40 * torch.linalg.eigvalsh(x.T @ x)[-1])
    assert module.largest_curvature(batch) != pytest.approx(without_bias, rel=1e-3)


def test_curvature_where_it_is_not_known():
    assert TwoLayerNet(3, 2, 1).largest_curvature(None) is None
    assert ToyObjective(CubicMinusSquare(), [[1.0], [1.0]]).largest_curvature(None) is None
    assert ToyObjective(lambda theta: theta**2, 1.0).largest_curvature(None) is None
    assert ToyObjective(SquaredNorm(), [1.0]).largest_curvature(None) == 2


def test_features_are_taken_from_a_checkpoint():
    module = LinearRegression(3)
    fresh = LinearRegression()
    assert fresh.slope is None
    fresh.on_load_checkpoint({"state_dict": module.state_dict()})
    fresh.load_state_dict(module.state_dict())
    assert fresh.slope.shape == (3,)
    assert [name for name, _ in fresh.named_parameters()] == ["slope", "bias"]


def test_features_that_do_not_fit_are_refused():
    module = LinearRegression(3)
    module.trainer = SimpleNamespace(datamodule=SimpleNamespace(features=1))
    with pytest.raises(UsageError, match=r"features=3 was given, and the data have 1 columns"):
        module.setup("fit")
    with pytest.raises(UsageError, match="features must be at least 1, and 0 was given"):
        LinearRegression(0)


def test_a_horizon_below_one_is_refused():
    with pytest.raises(UsageError, match="horizon must be at least 1, and 0 was given"):
        LinearDynamics(0)


def test_checkpoints_hold_plain_hyperparameters():
    module = LinearDynamics(5, optimizer=lambda p: Adam(p, lr=0.1))
    assert dict(module.hparams) == {
        "horizon": 5,
        "theta": 1.0,
        "target": 1.0,
        "lr_scheduler": None,
        "manual_optimization": False,
        "compile": False,
        "memory": "full",
    }


@pytest.mark.parametrize("manual", [False, True])
def test_gradients_add_up_where_they_are_not_zeroed(manual):
    from test_two_ways import fit

    from descentlab.datamodules import Steps

    def run(zero_grad):
        module = ToyObjective(
            SquaredNorm(),
            [1.0, -2.0],
            optimizer=lambda p: GradientDescent(p, lr=0.1),
            manual_optimization=manual,
            zero_grad=zero_grad,
        )
        record, _ = fit(module, Steps(), epochs=3)
        return torch.stack([parameters[0] for parameters in record.parameters])

    theta, total, expected = torch.tensor([1.0, -2.0]), torch.zeros(2), []
    for _ in range(3):
        total = total + 2 * theta
        theta = theta - 0.1 * total
        expected.append(theta)
    torch.testing.assert_close(run(zero_grad=False), torch.stack(expected))
    assert not torch.allclose(run(zero_grad=True), torch.stack(expected))
