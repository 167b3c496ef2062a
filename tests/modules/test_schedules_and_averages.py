"""Schedulers that watch a loss, weight averaging, and the count of updates across a resume."""

import pytest
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging, StochasticWeightAveraging
from test_right_sets import trainer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from descentlab.datamodules import RegressionData
from descentlab.errors import UsageError
from descentlab.modules import LinearRegression
from descentlab.optimizers import GradientDescent, Momentum

# Lightning makes a LeafSpec, which torch 2.13 deprecates
pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")


@pytest.mark.parametrize("manual", [False, True])
@pytest.mark.parametrize(
    "averaging",
    [
        lambda: EMAWeightAveraging(decay=0.9),
        lambda: StochasticWeightAveraging(swa_lrs=0.01, swa_epoch_start=2),
    ],
    ids=["ema", "swa"],
)
def test_weights_are_averaged_of_a_slope_that_the_data_give(averaging, manual):
    slopes = []
    for features in (None, 1):
        module = LinearRegression(
            features, optimizer=lambda p: GradientDescent(p, lr=0.1), manual_optimization=manual
        )
        torch.manual_seed(3)
        trainer(6, callbacks=[averaging()]).fit(module, datamodule=RegressionData())
        slopes.append(module.slope.tolist())
    assert slopes[0] == slopes[1] != [0]


@pytest.mark.parametrize("manual", [False, True])
def test_a_plateau_is_stepped_once_a_measurement(manual):
    rates = []

    def scheduler(optimizer):
        return ReduceLROnPlateau(optimizer, factor=0.5, patience=0, threshold=1e9)

    class Watch(LinearRegression):
        def on_train_epoch_end(self):
            super().on_train_epoch_end()
            rates.append(self.optimizers().param_groups[0]["lr"])

    module = Watch(
        1,
        optimizer=lambda p: GradientDescent(p, lr=0.01),
        lr_scheduler=scheduler,
        manual_optimization=manual,
    )
    trainer(9, check_val_every_n_epoch=3).fit(module, datamodule=RegressionData())
    # with this threshold no measurement is good enough: those after epochs 2, 5 and 8
    assert rates == [0.01] * 2 + [0.005] * 3 + [0.0025] * 3 + [0.00125]


def test_a_plateau_waits_for_its_first_validation():
    module = LinearRegression(1, lr_scheduler=lambda o: ReduceLROnPlateau(o))
    fitted = trainer(max_steps=5)
    fitted.fit(module, datamodule=RegressionData())
    assert fitted.global_step == 5


def test_a_plateau_without_validation_is_refused():
    module = LinearRegression(1, lr_scheduler=lambda o: ReduceLROnPlateau(o))
    with pytest.raises(UsageError, match="ReduceLROnPlateau watches the loss that a validation"):
        trainer(limit_val_batches=0).fit(module, datamodule=RegressionData())


@pytest.mark.filterwarnings("ignore:.*callbacks used to create the checkpoint.*")
@pytest.mark.parametrize("order", [(False, True, False), (True, False, True)], ids=str)
def test_updates_are_counted_on_when_the_way_changes(tmp_path, order):
    whole = LinearRegression(1, optimizer=lambda p: Momentum(p, lr=0.01))
    torch.manual_seed(5)
    trainer(6).fit(whole, datamodule=RegressionData())
    path, steps = None, []
    for part, manual in enumerate(order, start=1):
        torch.manual_seed(5)
        module = LinearRegression(
            1, optimizer=lambda p: Momentum(p, lr=0.01), manual_optimization=manual
        )
        fitted = trainer(2 * part)
        fitted.fit(module, datamodule=RegressionData(), ckpt_path=path)
        path = tmp_path / f"{part}.ckpt"
        fitted.save_checkpoint(path)
        steps.append(fitted.global_step)
    assert steps == [steps[0], 2 * steps[0], 3 * steps[0]]
    assert torch.equal(module.slope, whole.slope)
    assert whole.slope.item() != 0


def small_steps(parameters):
    return torch.optim.LBFGS(parameters, lr=0.1, max_iter=3)


@pytest.mark.parametrize(
    ("optimizer", "batches", "refused"),
    [(small_steps, 4, True), (small_steps, 1, False), (torch.optim.SGD, 4, False)],
)
def test_gradients_are_not_accumulated_where_a_step_measures_the_loss_anew(
    optimizer, batches, refused
):
    """Lightning hands such a step the last batch alone, and does not zero within it."""
    fitted, module = trainer(accumulate_grad_batches=batches), LinearRegression(1, optimizer)
    if refused:
        with pytest.raises(UsageError, match="accumulate_grad_batches = 4: LBFGS measures"):
            fitted.fit(module, datamodule=RegressionData())
        assert fitted.global_step == 0
    else:
        fitted.fit(module, datamodule=RegressionData())
        assert fitted.global_step == 2 * (12 // batches)
