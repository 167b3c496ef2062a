"""What needs a GPU: the same figures as on the CPU, and its name in what is written."""

import json

import pytest
import torch

from descentlab.__main__ import main

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here"),
]


def fitted(folder, accelerator, *words):
    place = ("--trainer.logger.save_dir", str(folder), "--trainer.logger.version", accelerator)
    assert main([*words, "--trainer.accelerator", accelerator, *place]) == 0
    (run,) = folder.rglob(accelerator)
    return json.loads((run / "summary.json").read_text())


@pytest.mark.parametrize(
    "words",
    [
        ("fit", "--config", "linear_dynamics/gd_by_hand.yaml"),
        ("fit", "--config", "linear_regression/split.yaml", "--trainer.max_epochs", "5"),
    ],
    ids=["dynamics", "regression"],
)
def test_a_fit_is_the_same_on_a_gpu(tmp_path, words):
    cpu, gpu = (fitted(tmp_path, accelerator, *words) for accelerator in ("cpu", "gpu"))
    assert gpu["device"].startswith("cuda")
    for name, value in cpu["parameters"].items():
        found, expected = torch.tensor(gpu["parameters"][name]), torch.tensor(value)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_a_sweep_is_the_same_on_a_gpu(tmp_path):
    words = (
        "fit",
        "--config",
        "linear_regression/momentum_sweep.yaml",
        "--trainer.max_epochs",
        "5",
    )
    cpu, gpu = (fitted(tmp_path, accelerator, *words) for accelerator in ("cpu", "gpu"))
    assert gpu["best"]["member"] == cpu["best"]["member"]
    assert gpu["best"]["best_loss"] == pytest.approx(cpu["best"]["best_loss"], rel=1e-5)
