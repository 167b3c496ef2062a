"""Bad checkpoints, runs, folders and devices, and losses that are not finite."""

import csv
import json
import os

import pytest
import torch
from command_line import RUN, YOUR_DATA, digest
from lightning.pytorch.accelerators import CPUAccelerator, MPSAccelerator

from descentlab.modules import LinearRegression

SPLIT = ("fit", "--config", "linear_regression/split.yaml", "--trainer.max_epochs", "2")
AGAIN = ("fit", "--config", f"{RUN}/config.yaml", "--trainer.max_epochs", "3", "--ckpt_path")
LAST = f"{RUN}/checkpoints/last.ckpt"


@pytest.fixture(scope="module")
def wrong(finished):
    """Files that are no checkpoint to go on from, by name."""
    folder = finished / "wrong"
    folder.mkdir()
    (folder / "text.ckpt").write_text("hello")
    (folder / "empty.ckpt").touch()
    content = (finished / LAST).read_bytes()
    (folder / "half.ckpt").write_bytes(content[: len(content) // 2])
    torch.save(torch.ones(3), folder / "tensor.ckpt")
    torch.save({"weights": torch.ones(3)}, folder / "dict.ckpt")
    checkpoint = torch.load(finished / LAST, weights_only=True)
    kept = ("epoch", "state_dict", "pytorch-lightning_version")
    alone = {name: checkpoint[name] for name in kept}
    torch.save(alone, folder / "alone.ckpt")
    return folder


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ("missing.ckpt", "there is no such file: give a .ckpt file of a run"),
        ("text.ckpt", "is not a checkpoint, or is damaged"),
        ("empty.ckpt", "is not a checkpoint, or is damaged"),
        ("half.ckpt", "is not a checkpoint, or is damaged"),
        ("tensor.ckpt", "is not a checkpoint: give a .ckpt file"),
        ("dict.ckpt", "is not a checkpoint: give a .ckpt file"),
        (".", "there is no such file"),
    ],
)
@pytest.mark.parametrize("kind", ["fit", "test"])
def test_a_file_that_is_no_checkpoint_is_named(refused, wrong, kind, file, says):
    words = ("--config", f"{RUN}/config.yaml", "--ckpt_path", wrong / file)
    message = refused(kind, *words)
    assert str(wrong / file) in message
    assert says in message


@pytest.mark.parametrize("word", ["last", "best"])
def test_words_for_checkpoints_of_this_process_name_no_file(refused, word):
    assert f"--ckpt_path {word}: there is no such file" in refused(*SPLIT, "--ckpt_path", word)


def test_parameters_alone_can_be_tested_and_not_resumed(refused, wrong, command):
    assert "holds parameters alone" in refused(*AGAIN, wrong / "alone.ckpt")
    words = ("--config", f"{RUN}/config.yaml", "--ckpt_path", wrong / "alone.ckpt")
    assert command("test", *words).status == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ("--model.optimizer", "descentlab.optimizers.Adam"),
            "optimizer GradientDescent(lr), and Adam(lr, betas, eps) is configured: ",
        ),
        (
            ("--model.optimizer", "Momentum"),
            "optimizer GradientDescent(lr), and Momentum(lr, momentum) is configured: ",
        ),
        (("--model.features", "3"), "features=3 was given, and the data have 1 columns"),
        (("--data.batch_size", "7"), "made with batch_size = 32, this run has batch_size = 7"),
        (("--data.source", "line"), None),
        (("--trainer.max_epochs", "2"), "nothing is left to train: trainer.max_epochs = 2"),
    ],
)
def test_a_run_goes_on_only_with_what_it_began_with(refused, command, words, says):
    if says is None:  # the files win over the source, so nothing changes: the control
        assert command(*AGAIN, LAST, *words, "--trainer.logger", "false").status == 0
        return
    assert says in refused(*AGAIN, LAST, *words)


@pytest.mark.parametrize("config", ["two_layer_net.yaml", "toy/square.yaml"])
def test_a_checkpoint_of_another_model_is_refused(refused, config):
    for kind in ("fit", "test"):
        message = refused(kind, "--config", config, "--ckpt_path", LAST)
        assert f"{LAST} does not fit the configured model" in message
        assert '"slope", "bias"' in message
        assert message.endswith(": give a checkpoint of such a model, or begin a new run")


def test_a_checkpoint_of_other_columns_is_refused(refused, finished):
    torch.save(torch.ones(60, 2), finished / "X2.pt")
    message = refused(*AGAIN, LAST, "--data.x_path", "X2.pt")
    assert "the checkpoint has 1 features, and the configured model or its data have 2" in message
    assert "have 2: give data with the columns of the run, or begin a new run" in message


@pytest.mark.parametrize("kind", ["test", "validate", "predict"])
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--run", "nowhere"), "--run nowhere: there is no run (nowhere/config.yaml is missing)"),
        (("--run", "logs"), "--run logs: there is no run (logs/config.yaml is missing)"),
        (("--run=X.pt",), "--run X.pt: there is no run"),
        (("--run",), "--run: give the folder of a run"),
        (("--run", "--epoch"), "--run: give the folder of a run"),
        (("--run", RUN, "--epoch", "2"), "parameters.pt holds epochs 0 to 1"),
        (("--run", RUN, "--epoch", "-1"), "parameters.pt holds epochs 0 to 1"),
        (("--run", RUN, "--epoch", "one"), "--epoch one: give a whole number"),
        (("--run", RUN, "--run", "nowhere"), "--run nowhere: there is no run"),
        (("--config", "linear_regression/split.yaml"), "give --run DIR (the folder of a run) or"),
        (("--config", "two_layer_net.yaml"), "give --run DIR (the folder of a run) or"),
    ],
)
def test_a_run_that_is_none_is_named(refused, kind, words, says):
    assert says in refused(kind, *words)


def test_the_last_run_that_is_named_counts(command, finished, monkeypatch):
    monkeypatch.chdir(finished)
    assert command("validate", "--run", "nowhere", "--run", RUN).status == 0


def test_a_run_without_a_finished_epoch_is_named(refused, finished):
    folder = finished / "begun"
    folder.mkdir()
    (folder / "config.yaml").write_bytes((finished / RUN / "config.yaml").read_bytes())
    message = refused("test", "--run", "begun")
    assert message == "--run begun: there is no checkpoints/last.ckpt: no epoch was finished"


def test_a_run_without_kept_epochs_says_so(command, here):
    assert command(*YOUR_DATA, "--best_parameters.history_mb", "0").status == 0
    assert "no epochs were kept" in command("test", "--run", RUN, "--epoch", "0").message
    assert not (here / RUN / "test.json").exists()


@pytest.mark.parametrize("place", ["X.pt", "X.pt/below"])
def test_a_folder_that_cannot_be_made_is_named_before_training(refused, place):
    message = refused(*SPLIT, "--trainer.logger.save_dir", place)
    assert f"{place}/linear_regression/split cannot be written (Not a directory)" in message
    assert message.endswith("choose another folder with --trainer.logger.save_dir")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_named_before_training(refused, finished):
    (finished / "closed").mkdir(mode=0o500)
    message = refused(*SPLIT, "--trainer.logger.save_dir", "closed")
    assert "cannot be written (Permission denied)" in message


def test_a_disk_that_takes_nothing_is_named_before_training(refused, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.touch", full)
    monkeypatch.setattr(LinearRegression, "training_step", full)  # not reached
    assert "checkpoints cannot be written (No space left on device)" in refused(*SPLIT)


def test_a_folder_that_holds_a_run_is_not_taken(refused):
    message = refused(*YOUR_DATA, "--trainer.logger.version", "0")
    assert f"{RUN} holds another run: choose another --trainer.logger.version" in message


def test_results_that_cannot_be_written_are_said_so(refused, monkeypatch):
    def closed(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.replace", closed)
    message = refused("test", "--run", RUN, status=1)
    says = f"{RUN}/test.json: Permission denied: what was measured is not kept: mend that, or copy"
    assert message == f"{says} {RUN}, and do it again"


@pytest.mark.parametrize("name", ["gpu", "cuda", "mps", "tpu", "abacus"])
def test_an_accelerator_that_is_not_there_is_answered_with_those_that_are(
    refused, monkeypatch, name
):
    for kind in ("CUDA", "MPS", "XLA"):
        place = f"lightning.pytorch.accelerators.{kind}Accelerator.is_available"
        monkeypatch.setattr(place, staticmethod(lambda: False))
    message = refused(*SPLIT, "--trainer.accelerator", name)
    assert message.startswith(f"--trainer.accelerator {name}: there is none here; this machine has")
    assert "cpu: give one of these, or auto" in message


@pytest.mark.parametrize("name", ["mps", "gpu"])
def test_float64_on_mps_is_refused(refused, monkeypatch, name):
    monkeypatch.setattr(MPSAccelerator, "is_available", staticmethod(lambda: True))
    monkeypatch.setattr(MPSAccelerator, "auto_device_count", staticmethod(lambda: 1))
    monkeypatch.setattr(
        MPSAccelerator, "parse_devices", staticmethod(lambda _: [torch.device("mps", 0)])
    )
    message = refused(*SPLIT, "--trainer.precision", "64-true", "--trainer.accelerator", name)
    assert message.startswith("trainer.precision = 64-true: mps has no float64: use --trainer.prec")


def test_the_cpu_is_always_there():
    assert CPUAccelerator.is_available()


def test_a_stable_rate_of_one_batch_of_several_is_called_so(command, here):
    words = ("fit", "--config", "linear_regression/split.yaml", "--model.optimizer.lr", "1e30")
    outcome = command(*words, "--progress", "null")
    assert outcome.status == 1
    assert " on the last batch seen (by the largest curvature, " in outcome.message
    assert outcome.message.count("; other batches may need a smaller one") == 1


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_what_was_finished(command, here):
    outcome = command("fit", "--config", "linear_dynamics/horizon_200.yaml")
    run = here / "logs/linear_dynamics/horizon_200/version_0"
    assert outcome.status == 1
    assert outcome.err.count("descentlab: error: ") == 1
    assert "Traceback" not in outcome.err
    with (run / "batch_losses.csv").open() as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    finite = [loss for loss in losses if loss < float("inf")]
    step = len(finite)
    assert f"the loss at step {step} (epoch {step}) is inf: " in outcome.message
    assert f"the last finite loss was {finite[-1]:.6g}; " in outcome.message
    assert "GradientDescent is stable below 2.5e-05 here" in outcome.message  # 1 / 200^2
    assert f"what was finished before is in {run.relative_to(here)}" in outcome.message

    for name in ("best", "last"):
        checkpoint = torch.load(run / f"checkpoints/{name}.ckpt", weights_only=True)
        assert torch.isfinite(checkpoint["state_dict"]["theta"])
    outcome = command("test", "--run", run)
    assert outcome.status == 0
    assert json.loads((run / "test.json").read_text())["best"]["epoch"] == 0


def test_a_failed_run_leaves_an_earlier_one_as_it_was(command, here):
    words = ("fit", "--config", "linear_dynamics/horizon_200.yaml")
    assert command(*words, "--model.horizon", "20").status == 0
    before = digest(here / "logs")
    assert command(*words).status == 1
    after = digest(here / "logs")
    assert before.items() <= after.items()
    assert any("version_1" in path for path in after)
