"""PS-2.1 to PS-2.4: linear regression, its losses, its best epochs and its test error."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from handout_runs import DOUBLE, QUICK, Outcome, close, fit, test_of
from regression_loops import Trace, autograd_loop, diabetes, error, formula_loop, split, trace_of
from torch import Tensor

from tolerances import FLOAT64

TEN = "linear_regression/ten_epochs"
SPLIT = "linear_regression/split"
PARAMETERS = 1e-6  # as PS-2.1 and PS-2.3 are held; both sides are float32
Sets = dict[str, tuple[Tensor, Tensor]]


def whole(dtype: torch.dtype = torch.float32) -> Sets:
    x, y = diabetes()
    return {"train": (x.to(dtype), y.to(dtype))}


def parts(x: Tensor, y: Tensor, dtype: torch.dtype = torch.float32) -> Sets:
    x, y = x.to(dtype), y.to(dtype)
    return {name: (x[rows], y[rows]) for name, rows in split(len(x)).items()}


def same_parameters(found: Trace, true: Trace, tolerance: float) -> bool:
    """Compare the parameters after every epoch, relative to the largest that each became."""
    pairs = ((found.slope, true.slope), (found.bias, true.bias))
    return all(close(a, b, tolerance, scale=b.abs().max()) for a, b in pairs)


def same_losses(found: list[float], true: list[float], tolerance: float) -> bool:
    """Compare the losses of all updates, in order; one too few or too many is a difference."""
    return len(found) == len(true) and close(found, true, tolerance)


def user_tensors(folder: Path) -> tuple[Tensor, Tensor, tuple[str, str]]:
    """Save an X.pt and a y.pt as a user would: two columns, a column of targets."""
    generator = torch.Generator().manual_seed(7)
    x = torch.randn(203, 2, generator=generator)
    y = x @ torch.tensor([1.5, -0.7]) + 3 + 0.2 * torch.randn(203, generator=generator)
    torch.save(x, folder / "X.pt")
    torch.save(y[:, None], folder / "y.pt")
    return x, y, (f"--data.x_path={folder / 'X.pt'}", f"--data.y_path={folder / 'y.pt'}")


@pytest.fixture(scope="module")
def ten(fitted: Callable[..., Outcome]) -> Outcome:
    return fitted(TEN, keep=("learning_curves",))


@pytest.fixture(scope="module")
def plain_ten() -> Trace:
    return autograd_loop(whole(), epochs=10, rate=0.01)


def test_ps_2_1_slope_and_bias(ten: Outcome, plain_ten: Trace):
    found = trace_of(ten)
    assert same_parameters(found, plain_ten, PARAMETERS)
    assert not same_parameters(found, autograd_loop(whole(), 10, rate=0.0101), PARAMETERS)
    assert not same_parameters(found, autograd_loop(whole(), 10, 0.01, seed=43), PARAMETERS)
    end = ten.summary["parameters"]
    assert end["slope"] == found.slope[-1].tolist()
    assert end["bias"] == found.bias[-1].item()


def test_ps_2_1_by_formula_in_float64(tmp_path: Path):
    found = trace_of(fit(TEN, tmp_path, *DOUBLE, *QUICK))
    sets = whole(torch.float64)
    true = formula_loop(sets, epochs=10, rate=0.01)
    assert same_parameters(found, true, FLOAT64)
    assert same_losses(found.losses, true.losses, FLOAT64)
    assert not same_parameters(found, formula_loop(sets, epochs=10, rate=0.0101), FLOAT64)


@pytest.mark.parametrize("config", [TEN, "linear_regression/your_data"])
def test_ps_2_1_on_the_tensors_of_a_user(tmp_path: Path, config: str):
    x, y, flags = user_tensors(tmp_path)
    found = trace_of(fit(config, tmp_path, *flags, *QUICK))
    sets = {"train": (x, y)} if config == TEN else parts(x, y)
    assert same_parameters(found, autograd_loop(sets, 10, rate=0.01), PARAMETERS)
    assert not same_parameters(found, autograd_loop(sets, 10, rate=0.0101), PARAMETERS)


def test_ps_2_2_one_loss_per_update_in_order(ten: Outcome, plain_ten: Trace):
    updates = -(-442 // 32)
    assert [row[:2] for row in ten.batch_rows] == [(n // updates, n) for n in range(10 * updates)]
    assert ten.summary["steps"] == 10 * updates
    assert same_losses(ten.losses, plain_ten.losses, PARAMETERS)


def test_ps_2_2_notices_what_is_missing_or_moved(ten: Outcome, plain_ten: Trace):
    losses = ten.losses
    swapped = [losses[1], losses[0], *losses[2:]]
    assert not same_losses(losses[:-1], plain_ten.losses, PARAMETERS)
    assert not same_losses([*losses[1:], losses[-1]], plain_ten.losses, PARAMETERS)
    assert not same_losses(swapped, plain_ten.losses, PARAMETERS)
    other = autograd_loop(whole(), epochs=10, rate=0.0101).losses
    assert not same_losses(losses, other, PARAMETERS)


def test_ps_2_2_the_plot(ten: Outcome):
    assert (ten.folder / "figures" / "batch_losses.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (ten.folder / "figures" / "batch_losses.svg").read_text()


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return fit(SPLIT, tmp_path_factory.mktemp("split"))


@pytest.fixture(scope="module")
def plain() -> Trace:
    return autograd_loop(parts(*diabetes()), epochs=150, rate=0.001)


def test_ps_2_3_the_split(shipped: Outcome):
    kept = torch.load(shipped.folder / "split.pt", weights_only=True)
    expected = split(442)
    assert {name: len(kept[name]) for name in expected} == {"train": 353, "val": 44, "test": 45}
    for name, rows in expected.items():
        assert np.array_equal(kept[name].numpy(), rows)
    assert not np.array_equal(kept["val"].numpy(), expected["test"][:44])


def test_ps_2_3_parameters_and_losses_of_every_epoch(shipped: Outcome, plain: Trace):
    found = trace_of(shipped)
    assert same_parameters(found, plain, PARAMETERS)
    assert same_losses(found.losses, plain.losses, PARAMETERS)
    for name in ("train", "val"):
        assert close(found.sets[name], plain.sets[name], PARAMETERS)
    assert not close(found.sets["val"], plain.sets["test"], PARAMETERS)
    wrong = autograd_loop(parts(*diabetes()), epochs=150, rate=0.00101)
    assert not same_parameters(found, wrong, PARAMETERS)
    assert not close(found.sets["train"], wrong.sets["train"], PARAMETERS)


def test_ps_2_3_best_epochs(shipped: Outcome, plain: Trace):
    least = shipped.summary["least"]
    for name in ("train", "val"):
        assert least[name]["epoch"] == plain.least(name)
        assert close([least[name]["loss"]], [min(plain.sets[name])], PARAMETERS)
    assert shipped.checkpoint("best")["epoch"] == plain.least("val")
    assert shipped.checkpoint("last")["epoch"] == 149
    assert plain.least("val") != plain.least("train")  # so that one taken for the other is seen


@pytest.mark.parametrize("rate", [0.001, 0.1])
def test_ps_2_3_best_epochs_by_formula_in_float64(tmp_path: Path, rate: float):
    """At the rate 0.1 both best epochs lie well before the last."""
    flags = (f"--model.optimizer.lr={rate}", *DOUBLE, *QUICK)
    outcome = fit(SPLIT, tmp_path, "--trainer.max_epochs=30", *flags)
    true = formula_loop(parts(*diabetes(), torch.float64), epochs=30, rate=rate)
    found = trace_of(outcome)
    assert same_parameters(found, true, FLOAT64)
    for name in ("train", "val"):
        assert outcome.summary["least"][name]["epoch"] == true.least(name)
        assert close(found.sets[name], true.sets[name], FLOAT64)
    assert (max(map(true.least, ("train", "val"))) < 29) == (rate == 0.1)


def test_ps_2_4_parameters_after_every_epoch_are_kept(shipped: Outcome):
    kept = trace_of(shipped)
    assert kept.slope.shape == (150, 1)
    assert kept.bias.shape == (150,)
    for name in ("best", "last"):
        checkpoint = shipped.checkpoint(name)
        state, epoch = checkpoint["state_dict"], checkpoint["epoch"]
        assert torch.equal(state["slope"], kept.slope[epoch])
        assert torch.equal(state["bias"], kept.bias[epoch])
    assert not torch.equal(kept.slope[148], kept.slope[149])


def test_ps_2_4_test_error_of_last_and_best(shipped: Outcome, plain: Trace):
    report = test_of(shipped)
    x, y = (part.double() for part in parts(*diabetes())["test"])
    epochs = {"last": 149, "best": plain.least("val")}
    for name, epoch in epochs.items():
        by_hand = error(x, y, plain.slope[epoch].double(), plain.bias[epoch].double()).item()
        assert report[name]["epoch"] == epoch
        assert close([report[name]["mse"]], [by_hand], PARAMETERS)
        assert close([report[name]["loss"]], [by_hand], PARAMETERS)
    assert not close([report["last"]["mse"]], [report["best"]["mse"]], PARAMETERS)
    assert not close([report["best"]["mse"]], [min(plain.sets["val"])], PARAMETERS)
