"""Pictures in a run's folder and in its TensorBoard."""

import io

import numpy as np
import pytest
from lightning.pytorch import Trainer
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from descentlab.runs.folder import keep_picture
from descentlab.runs.logger import RunLogger

RANDOM = np.random.default_rng(5)


@pytest.mark.parametrize("bands", [3, 4])
@pytest.mark.parametrize("tag", [None, "picture/other"])
def test_a_picture_is_in_tensorboard_as_it_is_in_its_file(tmp_path, bands, tag):
    buffer = io.BytesIO()
    Image.fromarray(RANDOM.integers(0, 256, (7, 9, bands), dtype=np.uint8)).save(buffer, "png")
    files = {"png": buffer.getvalue(), "svg": b"<svg/>"}
    logger = RunLogger(tmp_path / "logs", name="a")
    trainer = Trainer(logger=logger, enable_checkpointing=False)
    keep_picture(trainer, tmp_path / "figures" / "loss.v1", files, tag)
    found = {path.name: path.read_bytes() for path in (tmp_path / "figures").iterdir()}
    assert found == {f"loss.v1.{suffix}": content for suffix, content in files.items()}
    logger.experiment.close()
    events = EventAccumulator(logger.log_dir).Reload()
    (name,) = events.Tags()["images"]
    (shown,) = events.Images(name)
    assert name == (tag or "picture/loss.v1")
    assert (shown.width, shown.height) == (9, 7)
    assert shown.encoded_image_string == files["png"]
    assert shown.step == trainer.global_step


def test_without_tensorboard_there_are_the_files(tmp_path):
    trainer = Trainer(logger=False, enable_checkpointing=False)
    keep_picture(trainer, tmp_path / "one", {"png": b"whatever"})
    assert (tmp_path / "one.png").read_bytes() == b"whatever"
