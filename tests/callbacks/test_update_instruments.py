"""What looks at each update, where many are made in one training step."""

import json

import numpy
import pytest
import torch

from descentlab import callbacks
from descentlab.__main__ import main
from descentlab.callbacks import gradient_audit, stability
from descentlab.errors import UsageError
from descentlab.modules.chunks import ChunkDescent
from descentlab.runs.files import write_whole

NAMED = {
    "Parity": ("parity.json", ("--trainer.callbacks.reference", "torch.optim.SGD")),
    "Stability": ("curvature.csv", ()),
    "GradientStatistics": ("gradient_statistics.csv", ()),
    "GradientAudit": ("gradient_audit.csv", ()),
}
ALL = pytest.mark.parametrize("name", NAMED)
MANUAL = ("--model.manual_optimization", "true")
COMPILED = (*MANUAL, "--data.chunk", "5", "--model.compile", "true")


@pytest.fixture
def fitted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(name, config, run, *flags):
        quiet = ("--progress", "null", "--graph_export", "null", "--trainer.max_epochs", "2")
        added = ("--trainer.callbacks+", name, "--trainer.callbacks.every", "3", *NAMED[name][1])
        where = ("--trainer.logger.name", run)
        return main(
            ["fit", "--config", f"linear_regression/{config}.yaml", *quiet, *added, *where, *flags]
        )

    return run


@ALL
@pytest.mark.parametrize(
    "flags", [MANUAL, (), ("--model.optimizer", "torch.optim.SGD", "--model.optimizer.lr", "0.1")]
)
def test_chunks_are_measured_as_batches_one_by_one(fitted, tmp_path, name, flags):
    off = ("--learning_curves", "null", "--fit_picture", "null", *flags)
    found = []
    for chunk in ("1", "5", "auto"):
        assert fitted(name, "split", chunk, *off, "--data.chunk", chunk) == 0
        found.append((tmp_path / f"logs/{chunk}/version_0" / NAMED[name][0]).read_text())
    assert found[0] == found[1] == found[2]
    assert len(found[0]) > 50


@pytest.mark.filterwarnings("ignore:the run leaves its reference")
@pytest.mark.parametrize("on_difference", ["record", "raise"])
@pytest.mark.parametrize("made_by", ["Momentum", "torch.optim.SGD"])
def test_parity_names_the_same_step_in_chunks(
    fitted, tmp_path, monkeypatch, on_difference, made_by
):
    """The reference's momentum is another one, which shows at the second step."""
    makers, plain = [], ChunkDescent.make
    monkeypatch.setattr(
        ChunkDescent, "make", lambda *given: makers.append(given[2]) or plain(*given)
    )
    flags = (
        *("--model.optimizer", made_by, "--model.optimizer.lr", "1e-6"),
        *("--model.optimizer.momentum", "0.5", "--trainer.callbacks.reference.momentum", "0.6"),
        *("--trainer.callbacks.on_difference", on_difference, "--figures", "none"),
    )
    found = []
    for chunk in ("1", "auto"):
        status = fitted("Parity", "split", chunk, *flags, "--data.chunk", chunk)
        assert status == int(on_difference == "raise")
        folder = tmp_path / f"logs/{chunk}/version_0"
        assert makers if chunk == "auto" else not makers
        files = ("parity.json", "batch_losses.csv")
        found.append([(folder / file).read_text() for file in files])
    assert found[0] == found[1]
    first = json.loads(found[0][0])["first"]
    assert (first["step"], first["parameter"]) == (3, "slope")  # `every` is 3


@ALL
@pytest.mark.parametrize("every", ["a", None, 2.5, 100.0])
def test_every_is_a_whole_number(name, every):
    kind = getattr(callbacks, name)
    given = {"reference": torch.optim.SGD} if name == "Parity" else {}
    with pytest.raises(UsageError, match=f"every = {every!r} is no whole number: give that of "):
        kind(every=every, **given)
    with pytest.raises(UsageError, match="every = -1 is below 1"):
        kind(every=-1, **given)
    assert kind(every=numpy.int64(3), **given).every == 3


@ALL
@pytest.mark.parametrize(
    ("config", "flags", "says"),
    [
        ("split", COMPILED, "leave out --model.compile true"),
        ("lr_momentum_sweep", (), "a sweep has many"),
    ],
)
def test_compiled_updates_and_sweeps_are_refused(
    fitted, tmp_path, capsys, name, config, flags, says
):
    assert fitted(name, config, "x", *flags) != 0
    last = capsys.readouterr().err.splitlines()[-1]
    assert name in last
    assert says in last
    assert not (tmp_path / "logs").exists()


def test_steps_that_were_made_at_once_are_counted_where_a_run_goes_on(fitted, tmp_path):
    name, off = "GradientStatistics", ("--figures", "none", "--trainer.callbacks.every", "7")
    assert fitted(name, "split", "whole", *off) == 0
    assert fitted(name, "split", "part", *off, "--trainer.max_epochs", "1") == 0
    part = tmp_path / "logs/part/version_0"
    assert main(["fit", "--resume", str(part), "--trainer.max_epochs", "2"]) == 0
    whole, joined = (
        (tmp_path / f"logs/{each}/version_0" / NAMED[name][0]).read_text()
        for each in ("whole", "part")
    )
    assert whole == joined
    assert {int(row.split(",")[0]) for row in whole.splitlines()[1:]} == set(range(0, 24, 7))


@pytest.mark.parametrize(
    ("name", "module"), [("Stability", stability), ("GradientAudit", gradient_audit)]
)
def test_a_table_is_written_where_there_is_something_new(fitted, monkeypatch, name, module):
    written = []

    def write(path, content):
        written.append(path.name)
        write_whole(path, content)

    monkeypatch.setattr(module, "write_whole", write)
    flags = ("--trainer.callbacks.every", "20", "--trainer.max_epochs", "4", "--figures", "none")
    assert fitted(name, "split", "x", *flags) == 0  # 12 updates an epoch: in its third is none
    assert written.count(NAMED[name][0]) == 3
