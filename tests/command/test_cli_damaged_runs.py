"""Each file of a run, damaged in each way: named in one sentence, or not needed."""

import copy
import shutil

import pytest
import torch
from command_line import RUN, digest

QUIET = ("--graph_export", "null", "--learning_curves", "null")
COMMANDS = {
    "validate": ("validate", "--run", RUN, "--epoch", "1"),
    "resume": ("fit", "--resume", RUN, "--trainer.max_epochs", "3", *QUIET),
}
CHECKPOINTS = ("checkpoints/best.ckpt", "checkpoints/last.ckpt")


def half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def folder(path):
    path.unlink()
    path.mkdir()


def with_parts(path, change):
    content = torch.load(path, weights_only=True)
    torch.save({name: change(name, part) for name, part in content.items()}, path)


DAMAGES = {
    "empty": lambda path: path.write_bytes(b""),
    "half": half,
    "bytes": lambda path: path.write_bytes(b"\x8c\xff"),
    "text": lambda path: path.write_text("hello: world\n"),
    "tensor": lambda path: torch.save(torch.ones(3), path),
    "numbers": lambda path: torch.save({"epoch": torch.arange(2), "slope": 5}, path),
    "one": lambda path: torch.save({"epoch": 1, "slope": torch.ones(2)}, path),
    "shape": lambda path: torch.save({"epoch": torch.arange(2), "slope": torch.ones(2, 7)}, path),
    "folder": folder,
}
CHECKPOINT_DAMAGES = {
    "null": lambda path: with_parts(path, lambda name, part: None),
    "kinds": lambda path: with_parts(
        path, lambda name, part: 7 if name in ("callbacks", "optimizer_states", "loops") else part
    ),
    "states": lambda path: with_parts(
        path, lambda name, part: {key: {"x": 1} for key in part} if name == "callbacks" else part
    ),
    "steps": lambda path: torch.save(
        {k: v for k, v in torch.load(path, weights_only=True).items() if k != "global_step"}, path
    ),
    "version": lambda path: with_parts(
        path, lambda name, part: "x" if name == "pytorch-lightning_version" else part
    ),
}


@pytest.fixture
def damaged(finished, tmp_path, monkeypatch):
    """A copy of the finished run, to damage."""
    shutil.copytree(finished, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    return tmp_path / "copy" / RUN


CASES = [
    *(("checkpoints/best.ckpt", damage) for damage in ("half", "null", "folder")),
    *(
        ("checkpoints/last.ckpt", damage)
        for damage in ("text", "kinds", "states", "steps", "version")
    ),
    *(("checkpoints/parameters.pt", damage) for damage in ("half", "numbers", "one", "shape")),
    *(("split.pt", damage) for damage in ("empty", "tensor")),
    ("config.yaml", "text"),
    ("metrics.csv", "bytes"),
]


@pytest.mark.filterwarnings(
    "ignore:.*(is damaged|no parameters|not a checkpoint|starts anew|was not written)"
)
@pytest.mark.parametrize(("file", "damage"), CASES)
def test_a_damaged_file_of_a_run_is_named_or_not_needed(command, damaged, file, damage):
    {**DAMAGES, **CHECKPOINT_DAMAGES}[damage](damaged / file)
    others = {path: it for path, it in digest(damaged).items() if not path.endswith(file)}
    for words in COMMANDS.values():
        outcome = command(*words)
        assert "Traceback" not in outcome.out + outcome.err
        assert "--traceback" not in outcome.err, outcome.err  # a fault that nobody had foreseen
        if outcome.status:
            assert file.rsplit("/", 1)[-1] in outcome.message
            left = digest(damaged)
            assert all(left[path] == it for path, it in others.items() if "ckpt" in path)


def test_what_is_damaged_comes_with_what_still_can_be_done(command, damaged):
    half(damaged / "checkpoints/last.ckpt")
    assert "move it away, and best.ckpt alone is measured" in command("test", "--run", RUN).message
    advice = f"go on in a new folder with --ckpt_path {RUN}/checkpoints/best.ckpt"
    assert advice in command("fit", "--resume", RUN, *QUIET).message
    (damaged / "checkpoints/last.ckpt").unlink()
    assert command("test", "--run", RUN).status == 0


@pytest.mark.filterwarnings("ignore:.*best starts anew")
def test_a_run_goes_on_without_the_epochs_that_are_lost(command, damaged):
    half(damaged / "checkpoints/parameters.pt")
    half(damaged / "checkpoints/best.ckpt")
    with pytest.warns(UserWarning, match="or is damaged|is damaged") as warned:
        assert command(*COMMANDS["resume"]).status == 0
    said = " ".join(str(one.message) for one in warned)
    assert "parameters.pt is damaged" in said
    assert "best.ckpt is not a checkpoint, or is damaged" in said
    history = torch.load(damaged / "checkpoints/parameters.pt", weights_only=True)
    assert history["epoch"].tolist() == [2]


def places(value, path=()):
    """Yield the way to each value that is no mapping."""
    if isinstance(value, dict) and value:
        for key, each in value.items():
            yield from places(each, (*path, key))
    else:
        yield path


@pytest.mark.slow
@pytest.mark.no_cover
@pytest.mark.filterwarnings("ignore:.*(was not drawn|starts anew|was not written)")
@pytest.mark.parametrize("odd", [{"x": 1}, "text", None, [[1]]], ids=repr)
def test_an_odd_value_in_the_state_of_an_instrument_is_named_or_not_needed(
    command, finished, tmp_path, monkeypatch, odd
):
    sound = torch.load(finished / RUN / "checkpoints/last.ckpt", weights_only=True)
    ways = list(places(sound["callbacks"]))
    assert len(ways) > 20
    refused = 0
    for number, (*way, last) in enumerate(ways):
        here = tmp_path / str(number)
        shutil.copytree(finished, here)
        monkeypatch.chdir(here)
        content = copy.deepcopy(sound)
        inner = content["callbacks"]
        for key in way:
            inner = inner[key]
        inner[last] = odd
        torch.save(content, here / RUN / "checkpoints/last.ckpt")
        outcome = command(*COMMANDS["resume"])
        assert outcome.status in (0, 2), (way, last, outcome.err)
        assert "--traceback" not in outcome.err, (way, last, outcome.err)
        refused += outcome.status == 2
        shutil.rmtree(here)
    assert refused > 5
