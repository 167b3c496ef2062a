"""What is kept of a sweep, damaged: named in one sentence, or none the worse for it."""

import copy
import shutil

import pytest
import torch

from descentlab.__main__ import main
from descentlab.sweeps.members import Members
from descentlab.sweeps.record import rows_of
from descentlab.sweeps.store import GROUP, RECORD, is_of

RUN = "logs/x/version_0"
SWEEP = (
    *("fit", "--config", "linear_regression/lr_sweep.yaml", "--data.source", "line"),
    *("--model.grid", "{lr: [0.01, 0.1]}", "--model.members_at_once", "1", "--progress", "null"),
    *("--trainer.max_epochs", "2", "--trainer.logger.name", "x"),
)
ODD = (
    *(None, -1, 7, 10**12, 1.5, "text", [], [0], {}, {"slope": 5}, torch.ones(3)),
    *([{}], [{}, {}], [0, []], [1.5, 0], [None, None]),
    *(torch.zeros(1), torch.full((1,), 9), torch.ones(2, 2), torch.ones(1, 1), torch.tensor(1)),
)
MEMBERS = Members.of({"lr": [0.01, 0.1]}, [42])


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    folder = tmp_path_factory.mktemp("swept")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(list(SWEEP)) == 0
    return folder


def kept(folder):
    return folder / RUN / "checkpoints" / "members_00000.pt"


def test_what_is_taken_for_a_group_has_rows(swept):
    group = MEMBERS.cut(1)[0]
    sound = torch.load(kept(swept), weights_only=True)
    assert is_of(group, sound)
    assert not is_of(MEMBERS.cut(1)[1], sound)
    places = [((), key) for key in GROUP] + [(("record",), key) for key in RECORD]
    places += [(("last",), key) for key in sound["last"]]
    places += [(("record", "best"), key) for key in sound["record"]["best"]]
    places += [(("record", "start"), key) for key in sound["record"]["start"]]
    taken = 0
    for path, key in places:
        for value in ODD:
            found = copy.deepcopy(sound)
            inner = found
            for step in path:
                inner = inner[step]
            inner[key] = value
            if is_of(group, found):
                taken += 1
                assert len(rows_of(MEMBERS, [found])) == 2
            del inner[key]
            assert not is_of(group, found) or path == ("record", "start")
    assert taken < len(places) * len(ODD) / 4


@pytest.mark.parametrize("name", ["members_00000.pt", "last.ckpt"])
@pytest.mark.parametrize("words", [("test", "--run", RUN), ("fit", "--resume", RUN)])
@pytest.mark.parametrize("key", ["members", "record", "updates"])
def test_a_damaged_group_is_named(swept, tmp_path, monkeypatch, capsys, name, words, key):
    shutil.copytree(swept, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    (tmp_path / RUN / ".lock").touch()  # as if it had been stopped at its end
    path = tmp_path / RUN / "checkpoints" / name
    content = torch.load(path, weights_only=True)
    del (content if name.startswith("members") else content["sweep"])[key]
    torch.save(content, path)
    capsys.readouterr()
    assert main(list(words)) == 2
    *_, last = capsys.readouterr().err.strip().split("\n")
    assert name in last
    assert "is damaged" in last
