"""Losses of sets, shapes, and data that are not this project's: right, or refused in a sentence."""

import copy
import pickle

import pytest
import torch
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader, TensorDataset

from descentlab.errors import UsageError
from descentlab.modules import DescentModule, LinearRegression, TwoLayerNet
from descentlab.optimizers import GradientDescent

# Lightning makes a LeafSpec, which torch 2.13 deprecates
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning"),
    pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no"),
    pytest.mark.filterwarnings("ignore:The '.*dataloader' does not have many workers"),
]


def trainer(epochs=2, **flags):
    return Trainer(
        **{
            "max_epochs": epochs,
            "accelerator": "cpu",
            "logger": False,
            "enable_checkpointing": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
        }
        | flags
    )


def rows(n=60, d=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=generator)
    return x, x.sum(1) - 0.5 + 0.1 * torch.randn(n, generator=generator)


def loader(*tensors, batch_size=20):
    return DataLoader(TensorDataset(*tensors), batch_size=batch_size)


class Batches:
    """Batches as they are: Lightning takes a bare list for several loaders."""

    def __init__(self, *batches):
        self.batches = batches

    def __len__(self):
        return len(self.batches)

    def __iter__(self):
        return iter(self.batches)


class Mean(DescentModule):
    """The mean squared distance of a parameter from rows, which come in any form."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.theta = torch.nn.Parameter(torch.tensor(1.0))

    def rows(self, batch):
        while not isinstance(batch, torch.Tensor):
            batch = next(iter(batch.values())) if isinstance(batch, dict) else batch[0]
        return batch

    def loss(self, batch):
        return (self.rows(batch) - self.theta).square().mean()


def in_form(form):
    """Batches of 4, 4 and 2 rows."""
    return Batches(*(form(part) for part in torch.arange(10.0).split(4)))


FORMS = {
    "tensor": lambda part: part,
    "dict": lambda part: {"x": part},
    "pair": lambda part: (part, part),
    "nested": lambda part: {"both": [part, part]},
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_set_weighs_its_rows_alike(form):
    module, fitted = Mean(), trainer(1)
    fitted.fit(module, in_form(form), in_form(form))
    expected = (torch.arange(10.0) - module.theta).square().mean().item()
    assert float(fitted.callback_metrics["loss/val"]) == pytest.approx(expected, rel=1e-6)
    batches = [module.loss(batch).item() for batch in in_form(form)]
    assert sum(batches) / 3 != pytest.approx(expected, rel=1e-2)  # as if each weighed 1


@pytest.mark.parametrize("stage", ["val", "test"])
def test_several_loaders_are_several_sets(stage):
    module, fitted = Mean(), trainer(1)
    sets = [
        in_form(FORMS["tensor"]),
        Batches(torch.full((5,), 2.0)),
        Batches(torch.full((5,), 3.0)),
    ]
    if stage == "val":
        fitted.fit(module, in_form(FORMS["tensor"]), sets)
    else:
        fitted.test(module, sets, verbose=False)
    metrics = {name: float(value) for name, value in fitted.callback_metrics.items()}
    theta = module.theta.item()
    assert metrics[f"loss/{stage}_1"] == pytest.approx((2 - theta) ** 2, rel=1e-5)
    assert metrics[f"loss/{stage}_2"] == pytest.approx((3 - theta) ** 2, rel=1e-5)
    expected = (torch.arange(10.0) - theta).square().mean().item()
    assert metrics[f"loss/{stage}"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("manual", [False, True])
@pytest.mark.parametrize("shape", [(-1, 1), (1, -1), (-1, 2)], ids=str)
def test_targets_of_another_shape_are_refused(manual, shape):
    x, y = rows()
    y = y.reshape(shape) if shape[1] != 2 else torch.stack([y, y], 1)
    data = loader(x, y) if len(y) == len(x) else Batches((x, y))
    module = LinearRegression(features=2, manual_optimization=manual)
    with pytest.raises(UsageError, match=r"predictions have shape \(\d+,\), and the targets"):
        trainer().fit(module, data)


def test_targets_of_a_network_are_refused_too():
    x = torch.randn(6, 3)
    with pytest.raises(UsageError, match=r"shape \(6, 2\), and the targets have shape \(6,\)"):
        trainer().fit(TwoLayerNet(3, 4, 2), Batches((x, torch.randn(6))))
    with pytest.raises(UsageError, match=r"shape \(6, 1\), and the targets have shape \(6,\)"):
        trainer().test(TwoLayerNet(3, 4, 1), Batches((x, torch.randn(6))), verbose=False)


@pytest.mark.parametrize(
    ("x", "told"),
    [
        (torch.randn(6), r"shape \(6,\) and type torch.float32"),
        (torch.randn(6, 3), r"shape \(6, 3\)"),
        (torch.randn(6, 2).double(), "type torch.float64"),
        (torch.ones(6, 2, dtype=torch.int64), "type torch.int64"),
    ],
    ids=["one axis", "columns", "float64", "int64"],
)
def test_inputs_that_do_not_fit_are_refused(x, told):
    with pytest.raises(UsageError, match=f"x has {told}" if "shape" in told else told):
        trainer().fit(LinearRegression(features=2), Batches((x, torch.randn(6))))


@pytest.mark.parametrize("precision", ["64-true", "bf16-mixed"])
def test_inputs_of_another_precision_are_converted_by_it(precision):
    x, y = rows()
    x, y = (x.double(), y.double()) if precision == "64-true" else (x, y)
    module = LinearRegression(features=2, optimizer=lambda p: GradientDescent(p, lr=0.1))
    trainer(50, precision=precision).fit(module, Batches((x, y)))
    assert module.slope.tolist() == pytest.approx([1, 1], abs=0.1)


def test_features_come_from_the_first_batch():
    x, y = rows()
    given, taken = LinearRegression(features=2), LinearRegression()
    states = []
    for module in (given, taken):
        torch.manual_seed(1)
        shuffled = DataLoader(TensorDataset(x, y), batch_size=20, shuffle=True)
        trainer().fit(module, shuffled)
        states.append([p.tolist() for p in (module.slope, module.bias)])
    assert states[0] == states[1]  # so no random number was drawn in between
    assert len(taken.slope) == 2


@pytest.mark.parametrize(
    "data",
    [Batches(torch.ones(3, 2)), Batches((torch.ones(3), torch.ones(3)))],
    ids=["no pair", "one axis"],
)
def test_features_that_cannot_be_seen_are_asked_for(data):
    with pytest.raises(UsageError, match="give LinearRegression features=d"):
        trainer().fit(LinearRegression(), data)


def test_a_module_without_a_slope_says_so():
    with pytest.raises(UsageError, match="no slope yet"):
        LinearRegression()(torch.ones(3, 2))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_copy_measures_with_metrics_of_its_own(copied):
    """It took those that the original had half-way through a set, at four fifths of its time."""
    module, (x, y) = LinearRegression(features=2), rows()
    module.measure("val", (x[:20], y[:20]))
    apart = copied(module)
    apart.measure("val", (x[20:], y[20:]))
    apart.measure("val", (x[:20], y[:20]))
    module.measure("val", (x[20:], y[20:]))
    values = [float(each.computed_metrics()["loss/val"]) for each in (module, apart)]
    assert values[0] == pytest.approx(values[1], rel=1e-6)
    assert values[0] == pytest.approx(module.loss((x, y)).item(), rel=1e-6)
