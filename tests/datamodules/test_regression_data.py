"""RegressionData, its split and its sources, against scikit-learn and closed forms."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split

from descentlab.datamodules import Line, RegressionData, diabetes, noisy_line, split_rows
from descentlab.datamodules.regression_data import WHOLE
from descentlab.errors import UsageError
from tolerances import FLOAT64

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*is deprecated:FutureWarning")


def ready(*arguments, seed=0, **options):
    torch.manual_seed(seed)
    data = RegressionData(*arguments, **options)
    data.setup("fit")
    return data


@given(st.integers(10, 3000), st.integers(0, 2**32 - 1))
def test_default_split_is_train_test_split_twice(rows, state):
    train, held = train_test_split(np.arange(rows), test_size=0.2, random_state=state)
    val, test = train_test_split(held, test_size=0.5, random_state=state)
    ours = split_rows(rows, (0.8, 0.1, 0.1), state)
    assert ours["train"].tolist() == train.tolist()
    assert ours["val"].tolist() == val.tolist()  # first half; the test below is the control
    assert ours["test"].tolist() == test.tolist()
    assert ours["val"].tolist() != test.tolist()


@given(st.integers(10, 500), st.integers(1, 98), st.data())
def test_any_split_has_every_row_once_and_counts_without_rounding_error(rows, percent, data):
    other = data.draw(st.integers(1, 99 - percent))
    last = 100 - percent - other
    split = (percent / 100, other / 100, last / 100)
    held = -(-rows * (other + last) // 100)
    tested = -(-held * last // (other + last))
    if held == rows or tested == held:
        with pytest.raises(UsageError, match="leaves a set empty"):
            split_rows(rows, split, 0)
        return
    sets = split_rows(rows, split, 0)
    assert sorted(torch.cat(list(sets.values())).tolist()) == list(range(rows))
    assert len(sets["train"]) == rows - held
    assert len(sets["test"]) == tested


def test_diabetes_is_scaled_to_unit_variance_and_keeps_its_target():
    raw = load_diabetes()
    for number, name in enumerate(raw.feature_names):
        x, y = diabetes(name)
        assert x.shape == (442, 1)
        assert x.mean().abs() < FLOAT64
        assert abs((x**2).mean() - 1) < FLOAT64
        assert torch.equal(x[:, 0], torch.tensor(raw.data[:, number] * 442**0.5))
        assert y.tolist() == raw.target.tolist()
    x, y = diabetes("bmi")
    slope = (x[:, 0] * y).mean().item()
    assert round(slope, 2) == 45.16
    assert round(y.mean().item(), 2) == 152.13


def test_unknown_column_lists_the_columns():
    with pytest.raises(UsageError, match=r"column = 'weight' .* age, sex, bmi, bp, s1, s2, s3, s4"):
        diabetes("weight")


def test_line_without_noise_is_the_line():
    x, y = noisy_line(Line(slope=3, bias=5, noise=0, size=7))
    assert torch.equal(y, 3 * x[:, 0] + 5)
    assert not torch.equal(y, 3 * x[:, 0] - 5)  # negative control


def test_noise_of_a_line_is_standard_normal_and_seeded():
    x, y = noisy_line(Line(slope=3, bias=5, noise=0.5, size=10_000, seed=4))
    noise = (y - 3 * x[:, 0] - 5) / 0.5
    assert abs(noise.mean()) < 0.05  # five standard errors of 1/100
    assert abs(noise.std() - 1) < 0.036  # five of 1/sqrt(20,000)
    assert abs((noise * x[:, 0]).mean()) < 0.05
    assert torch.equal(y, noisy_line(Line(3, 5, 0.5, 10_000, 4))[1])
    assert not torch.equal(y, noisy_line(Line(3, 5, 0.5, 10_000, 5))[1])


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"slope": float("nan")}, r"line\.slope = nan"),
        ({"bias": float("inf")}, r"line\.bias = inf"),
        ({"noise": -0.1}, r"line\.noise = -0\.1 is negative"),
        ({"size": 0}, r"line\.size = 0 is below 1"),
    ],
)
def test_bad_line(option, message):
    with pytest.raises(UsageError, match=message):
        Line(**option)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"batch_size": 0}, "batch_size = 0 is below 1"),
        ({"split": (0.8, 0.1, 0.2)}, r"adds to 1\.1"),
        ({"split": (0.8, 0.2, 0.0)}, "three fractions above 0"),
        ({"split": (1.1, -0.2, 0.1)}, "three fractions above 0"),
        ({"split": (0.8, 0.2)}, "three fractions above 0"),
        ({"split": (float("nan"), 0.5, 0.5)}, "three fractions above 0"),
        ({"split": (float("inf"), 0.5, 0.5)}, "adds to inf"),
        ({"chunk": 0}, "chunk = 0 is below 1"),
        ({"separator": "%"}, "separator = '%': give comma, semicolon, tab, space"),
        ({"decimal": ";"}, "decimal = ';': give"),
        ({"separator": ",", "decimal": ","}, "separator and decimal are both a comma"),
        ({"path": "a.csv", "x_path": "X.pt"}, "path beside x_path and y_path: give the data in"),
        ({"path": "a.csv", "x": torch.ones(3)}, "path beside x and y: give the data in one way"),
    ],
)
def test_bad_argument(option, message):
    with pytest.raises(UsageError, match=message):
        RegressionData(**option)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"source": "files"}, "x_path is missing"),
        ({"x_path": "X.pt"}, "y_path is missing: data from files need both"),
        ({"y_path": "y.pt"}, "x_path is missing"),
        ({"x": torch.ones(12)}, "x and y belong together"),
        ({"x": torch.ones(12), "y": torch.ones(13)}, "x has 12 rows and y has 13"),
        ({"x": torch.ones(12), "y": torch.ones(12, 2)}, r"y has shape \(12, 2\)"),
        ({"x": [1.0] * 12, "y": torch.ones(12)}, "x is not a tensor of real numbers"),
        ({"x": torch.ones(12) * 1j, "y": torch.ones(12)}, "x is not a tensor of real numbers"),
        ({"x": torch.ones(12), "y": torch.ones(12), "column": "bp"}, "column is for the diabetes"),
        ({"column": "bmi", "source": "line"}, "column is for the diabetes data, and has no effect"),
        ({"line": Line()}, "line is for source line, and has no effect on source diabetes"),
        ({"target": "a"}, "target is for data of one file"),
        ({"features": "a"}, "features is for data of one file"),
        ({"header": True}, "header is for CSV files, and has no effect on source diabetes"),
        ({"x_path": "X.pt", "y_path": "y.npy", "index": False}, "index is for CSV files"),
        ({"x_path": "X.pt", "y_path": "y.npy", "column": "b"}, "has no effect on X.pt with y.npy"),
    ],
)
def test_what_is_missing_or_without_effect_is_refused(option, message):
    with pytest.raises(UsageError, match=message):
        RegressionData(**option).prepare_data()


@pytest.mark.parametrize("shape", [(20,), (20, 1), (20, 3)])
def test_tensors_are_data_too(shape):
    x, y = torch.randn(shape), torch.randn(20, 1)
    data = ready(x=x, y=y)
    rows = split_rows(20, (0.8, 0.1, 0.1), 42)["test"]
    ((got_x, got_y),) = data.test_dataloader()
    assert torch.equal(got_x, x.reshape(20, -1)[rows])
    assert torch.equal(got_y, y[rows, 0])


def test_fewer_than_ten_rows_with_a_split():
    with pytest.raises(UsageError, match="9 rows are too few to split"):
        ready("line", line=Line(size=9))
    with pytest.raises(UsageError, match=r"^1 row is too few to split"):
        split_rows(1, (0.8, 0.1, 0.1), random_state=1)
    assert len(ready("line", line=Line(size=9), split=None).indices["train"]) == 9


def test_loaders_hold_the_rows_of_the_split():
    data = ready("line", line=Line(size=50), batch_size=7, seed=3)
    x, y = (tensor.float() for tensor in noisy_line(Line(size=50)))
    sets = split_rows(50, (0.8, 0.1, 0.1), 42)
    assert data.features == 1
    assert data.seed == 3
    assert {name: rows.tolist() for name, rows in data.indices.items()} == {
        name: rows.tolist() for name, rows in sets.items()
    }
    val = data.val_dataloader()
    assert list(val) == ["train", "val"]
    wholes = {**val, "test": data.test_dataloader()}
    for name, loader in wholes.items():
        ((got_x, got_y),) = loader
        assert torch.equal(got_x, x[sets[name]])
        assert torch.equal(got_y, y[sets[name]])
    ((got_x, got_y),) = data.predict_dataloader()
    assert torch.equal(got_x, x)
    assert torch.equal(got_y, y)
    train = data.train_dataloader()
    assert train.shuffle
    assert train.seed == 3
    assert len(train) == 6
    drawn = torch.cat([batch[1] for batch in train])
    assert not torch.equal(drawn, y[sets["train"]])
    assert torch.equal(drawn.sort().values, y[sets["train"]].sort().values)


def test_without_a_split_all_rows_train_and_test():
    data = ready("line", line=Line(size=12), split=None)
    assert list(data.val_dataloader()) == ["train"]
    assert list(data.indices) == ["train"]
    assert data.indices["train"].tolist() == list(range(12))
    ((_, y),) = data.test_dataloader()
    assert torch.equal(y, noisy_line(Line(size=12))[1].float())
    assert len(data.train_dataloader()) == 1


def test_whole_sets_come_in_batches_of_bounded_size():
    data = ready("line", line=Line(size=WHOLE + 1), split=None)
    assert [len(x) for x, _ in data.predict_dataloader()] == [WHOLE, 1]


def test_setup_twice_gives_the_same():
    data = ready()
    first = {name: rows.tolist() for name, rows in data.indices.items()}
    x, y = next(iter(data.train_dataloader()))
    data.setup("test")
    again_x, again_y = next(iter(data.train_dataloader()))
    assert {name: rows.tolist() for name, rows in data.indices.items()} == first
    assert torch.equal(x, again_x)
    assert torch.equal(y, again_y)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64, torch.bool])
def test_files_are_implied_by_their_paths(tmp_path, dtype):
    x, y = torch.arange(20).to(dtype), torch.arange(20)
    torch.save(x, tmp_path / "X.pt")
    torch.save(y, tmp_path / "y.pt")
    data = ready("line", x_path=str(tmp_path / "X.pt"), y_path=str(tmp_path / "y.pt"))
    ((got_x,),) = data.predict_dataloader()
    assert got_x.dtype == torch.float32
    assert torch.equal(got_x, x.float()[:, None])
    train_x, train_y = data.train_dataloader().tensors
    assert train_x.dtype == train_y.dtype == torch.float32
    rows = data.indices["train"]
    assert torch.equal(train_x, x.float()[rows][:, None])
    assert torch.equal(train_y, y.float()[rows])


class Still(LightningModule):
    """A module that learns nothing."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def training_step(self, batch, batch_idx):
        self.last = batch
        return (self.weight - batch[1]).pow(2).mean()

    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        pass


def trained(tmp_path, data, **options):
    module = Still()
    options = {"max_epochs": 1, "logger": CSVLogger(tmp_path)} | options
    trainer = Trainer(
        accelerator="cpu",
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
        log_every_n_steps=1,
        **options,
    )
    trainer.fit(module, datamodule=data)
    return trainer, module


def test_the_split_is_kept_in_the_run(tmp_path):
    data = RegressionData("line", line=Line(size=30))
    trainer, _ = trained(tmp_path, data)
    kept = torch.load(f"{trainer.log_dir}/split.pt")
    known = kept.pop("data")
    assert (known["rows"], known["split"], known["random_state"]) == (30, [0.8, 0.1, 0.1], 42)
    assert {name: rows.tolist() for name, rows in kept.items()} == {
        name: rows.tolist() for name, rows in split_rows(30, (0.8, 0.1, 0.1), 42).items()
    }


@pytest.mark.parametrize("options", [{"logger": False}, {"fast_dev_run": True}])
def test_no_run_no_split(tmp_path, options):
    trained(tmp_path, RegressionData("line", line=Line(size=30)), **options)
    assert not list(tmp_path.rglob("split.pt"))


@pytest.mark.parametrize(
    ("precision", "dtype"), [("64-true", torch.float64), ("32-true", torch.float32)]
)
def test_data_have_the_precision_of_the_trainer(tmp_path, precision, dtype):
    data = RegressionData("line", line=Line(size=30), batch_size=30, split=None)
    _, module = trained(tmp_path, data, precision=precision)
    y = noisy_line(Line(size=30))[1]
    assert module.last[0].dtype == module.last[1].dtype == dtype
    assert torch.equal(module.last[1].sort().values, y.to(dtype).sort().values)


def test_values_too_large_for_float32_are_refused(tmp_path):
    torch.save(torch.full((20,), 1e39, dtype=torch.float64), tmp_path / "X.pt")
    torch.save(torch.arange(20), tmp_path / "y.pt")
    paths = {"x_path": str(tmp_path / "X.pt"), "y_path": str(tmp_path / "y.pt")}
    with pytest.raises(UsageError, match="the inputs hold values too large for float32"):
        ready(**paths)
    trained(tmp_path, RegressionData(**paths), precision="64-true")


def test_overfitting_keeps_to_the_same_batches_and_warns_of_nothing(tmp_path):
    data = RegressionData("line", line=Line(size=30), batch_size=5, split=None)
    _, module = trained(tmp_path, data, overfit_batches=1, max_epochs=3)
    y = noisy_line(Line(size=30))[1].float()
    assert torch.equal(module.last[1], y[:5])
