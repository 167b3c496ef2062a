"""Points: what is asked for comes out, in float64, whatever the trainer's precision."""

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning.pytorch import LightningModule, Trainer

from descentlab.datamodules import Grid, Points
from descentlab.errors import UsageError
from tolerances import FLOAT64

finite = st.floats(-1e6, 1e6)


class Seen(LightningModule):
    """Keeps the batches that it is given."""

    def __init__(self):
        super().__init__()
        self.batches = []

    def predict_step(self, batch, batch_idx):
        self.batches.append(batch)
        return batch


def batches_of(points, folder, precision="32-true"):
    module = Seen()
    Trainer(
        accelerator="cpu",
        precision=precision,
        logger=False,
        default_root_dir=folder,
        enable_progress_bar=False,
        enable_model_summary=False,
    ).predict(module, points)
    return module.batches


@given(start=finite, width=st.floats(1e-3, 1e6), count=st.integers(2, 60))
@settings(deadline=None)
def test_a_grid_is_evenly_spaced_with_both_ends(start, width, count):
    stop = start + width
    step = (Fraction(stop) - Fraction(start)) / (count - 1)
    expected = [float(Fraction(start) + i * step) for i in range(count)]
    found = Grid(start, stop, count).points()
    allowed = FLOAT64 * max(abs(start), abs(stop), 1)
    assert found.tolist() == pytest.approx(expected, abs=allowed)
    assert found.tolist() != pytest.approx([x + 2 * allowed for x in expected], abs=allowed)


@given(points=st.lists(st.lists(finite, min_size=2, max_size=2), min_size=1, max_size=5))
def test_points_are_kept_exactly_and_in_order(points):
    assert Points(points=points).points.tolist() == points


def test_chosen_points_come_before_the_grid():
    assert Points([0.173], Grid(0, 1, 2)).points.tolist() == [0.173, 0.0, 1.0]


# the warning is Lightning's own, of what half precision does to a module's other parts
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("precision", ["32-true", "64-true", "bf16-true", "16-true", "bf16-mixed"])
def test_one_batch_that_no_precision_rounds(tmp_path, precision):
    (batch,) = batches_of(Points(points=[0.1, 0.2]), tmp_path, precision)
    assert batch.dtype == torch.float64
    assert batch.tolist() == [0.1, 0.2]
    assert batch.tolist() != torch.tensor([0.1, 0.2]).tolist()  # control: float32 differs


def test_points_stay_on_the_cpu_where_there_is_no_float64():
    data = Points(points=[0.1])
    assert data.transfer_batch_to_device(data.points, torch.device("mps"), 0) is data.points
    assert data.transfer_batch_to_device(data.points, torch.device("meta"), 0).is_meta


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "no point"),
        ({"points": []}, "no point"),
        ({"points": [[]]}, "no point"),
        ({"points": [[1.0], [1.0, 2.0]]}, "one shape"),
        ({"points": [1.0, [1.0]]}, "one shape"),
        ({"points": [1.0, math.nan]}, r"points\[1\] = nan is not finite"),
        ({"points": [[1.0, math.inf]]}, r"points\[0\] = \[1.0, inf\] is not finite"),
        ({"points": [[1.0]], "grid": Grid()}, "leave one of them out"),
    ],
)
def test_points_that_are_none_are_refused(arguments, message):
    with pytest.raises(UsageError, match=message):
        Points(**arguments)


@pytest.mark.parametrize(
    ("start", "stop", "count", "message"),
    [
        (1.0, 1.0, 3, "the smaller one first"),
        (2.0, 1.0, 3, "the smaller one first"),
        (math.nan, 1.0, 3, "grid.start = nan"),
        (0.0, math.inf, 3, "grid.stop = inf"),
        (0.0, 1.0, 1, "grid.count = 1"),
    ],
)
def test_a_grid_that_is_none_is_refused(start, stop, count, message):
    with pytest.raises(UsageError, match=message):
        Grid(start, stop, count)
