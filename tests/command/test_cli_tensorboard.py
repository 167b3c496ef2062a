"""What TensorBoard shows of a run, read with TensorBoard's own reader."""

import csv
import json

import pytest
import yaml
from command_line import RUN
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import plugin_data_pb2

from tolerances import FLOAT32


@pytest.fixture(scope="module")
def run(finished):
    return finished / RUN


@pytest.fixture(scope="module")
def events(run):
    return EventAccumulator(str(run), {"scalars": 0, "images": 0, "tensors": 0}).Reload()


def scalars(events, tag):
    return [(event.step, event.value) for event in events.Scalars(tag)]


def test_the_tags_are_these(events):
    assert set(events.Tags()["scalars"]) == {
        *("loss/train", "loss/val", "loss/batch", "mse/val", "r2/val", "loss/best"),
    }
    assert set(events.Tags()["images"]) == {
        *("picture/batch_losses", "picture/epoch_losses", "picture/fit", "picture/graph"),
    }


def test_every_update_has_its_loss(events, run):
    with (run / "batch_losses.csv").open() as file:
        rows = [(int(row["step"]), float(row["loss"])) for row in csv.DictReader(file)]
    found = scalars(events, "loss/batch")
    assert [step for step, _ in found] == [step for step, _ in rows] == [0, 1, 2, 3]
    assert [loss for _, loss in found] == pytest.approx([loss for _, loss in rows], rel=FLOAT32)


@pytest.mark.parametrize("name", ["train", "val"])
def test_the_losses_of_the_sets_start_before_any_update(events, run, name):
    found = scalars(events, f"loss/{name}")
    with (run / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row[f"loss/{name}"]]
    assert [step for step, _ in found] == [int(row["step"]) for row in rows] == [0, 2, 4]
    values = [float(row[f"loss/{name}"]) for row in rows]
    assert [loss for _, loss in found] == pytest.approx(values, rel=FLOAT32)
    assert found[0][1] > found[1][1] > found[2][1]


def test_both_losses_are_in_one_chart(events):
    raw = events.Tensors("custom_scalars__config__")[0].tensor_proto.string_val[0]
    layout = layout_pb2.Layout.FromString(raw)
    (category,) = layout.category
    (chart,) = category.chart
    assert list(chart.multiline.tag) == ["loss/train", "loss/val"]


def test_hyperparameters_come_with_the_real_best_loss(events, run):
    summary = json.loads((run / "summary.json").read_text())
    best = summary["least"]["val"]["loss"]
    assert [value for _, value in scalars(events, "loss/best")] == pytest.approx([best])
    assert "hp_metric" not in events.Tags()["scalars"]  # Lightning's -1
    raw = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    info = plugin_data_pb2.HParamsPluginData.FromString(raw).session_start_info
    given = {name: value.string_value or value.number_value for name, value in info.hparams.items()}
    expected = {"optimizer": "GradientDescent", "lr": 0.01, "batch_size": 32, "seed": 42}
    assert given == expected
    # of the runs that TensorBoard shows it would take one's description for all
    assert "_hparams_/experiment" not in events.summary_metadata


def test_the_resolved_configuration_is_there_as_text(events, run):
    text = events.Tensors("config/text_summary")[0].tensor_proto.string_val[0].decode()
    assert text.startswith("```yaml\n")
    shown = yaml.safe_load(text.removeprefix("```yaml\n").removesuffix("```"))
    kept = yaml.safe_load((run / "config.yaml").read_text())
    assert shown["model"] == kept["model"]
    assert shown["data"] == kept["data"]


def test_figures_are_pictures(events):
    for tag in events.Tags()["images"]:
        (image,) = events.Images(tag)
        assert image.encoded_image_string.startswith(b"\x89PNG")
        assert min(image.width, image.height) > 50
