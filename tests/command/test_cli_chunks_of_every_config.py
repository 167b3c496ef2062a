"""Every shipped config that trains batches: how many a turn has changes none of its files."""

from pathlib import Path

import pytest
import yaml
from lightning.pytorch import Callback

from descentlab.command.configs import shipped
from descentlab.internals.many_updates import Turn
from soaks.artefacts import differences

OFF = [f"--{name}=null" for name in ("learning_curves", "graph_export", "progress")]
LISTENING = (f"--trainer.callbacks+={__name__}.Listener",)
CHUNKS = {
    "auto": ("--data.chunk=auto",),
    "7": ("--data.chunk=7",),
    "100": ("--data.chunk=100",),
    "auto, with a listener": ("--data.chunk=auto", *LISTENING),
}


class Listener(Callback):
    """Hears each update, and does nothing."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        """Hear it."""


def trained():
    """Yield the names of the configs that make several updates an epoch, and flags for each."""
    for name, path in shipped().items():
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        off = [f"--{key}=null" for key in ("fit_picture", "trajectory") if key in content]
        kind = content.get("data", {}).get("class_path", "").rpartition(".")[2]
        if "max_epochs" not in content.get("trainer", {}):
            continue
        if kind == "RegressionData":
            files = ("--data.x_path=X.pt", "--data.y_path=y.pt") if "your_data" in name else ()
            yield pytest.param(name, [*off, *files], id=name)
        elif kind == "Steps":
            yield pytest.param(name, [*off, "--data.n=20"], id=name)


@pytest.fixture
def turns(monkeypatch):
    """How many updates each turn had; none where batches went one by one."""
    made, end = [], Turn.end

    def counted(turn):
        made.append(turn.made)
        end(turn)

    monkeypatch.setattr(Turn, "end", counted)
    return made


@pytest.mark.slow
@pytest.mark.no_cover
@pytest.mark.parametrize(("name", "flags"), list(trained()))
def test_every_chunk_makes_the_same_files(command, here, turns, name, flags):
    def run(folder, *more):
        turns.clear()
        where = (f"--trainer.logger.save_dir={folder}", "--trainer.max_epochs=2")
        outcome = command("fit", "--config", name, *where, *flags, *OFF, *more)
        assert outcome.status == 0, outcome.err
        return next(Path(folder).rglob("version_0")), sum(turns)

    expected, many = run("one", "--data.chunk=1")
    assert many == 0
    for chunk, more in CHUNKS.items():
        found, many = run(chunk.replace(", ", "-").replace(" ", "-"), *more)
        told = [line for line in differences(found, expected) if "config.yaml" not in line]
        assert told == [], chunk
        assert bool(many) == (more == more[:1]), chunk
