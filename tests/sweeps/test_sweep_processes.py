"""Members of a sweep divided among processes: who has which, and the table of one process."""

import csv
import itertools
import socket

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from descentlab.__main__ import main
from descentlab.errors import UsageError
from descentlab.sweeps.members import Members
from descentlab.sweeps.processes import join, part_of, take
from forked import Forked
from tolerances import FLOAT64

COUNTS = st.integers(1, 7)


def group_of(seeds, points):
    (group,) = Members.of({"lr": [0.1 * (k + 1) for k in range(points)]}, range(seeds)).cut(100)
    return group


@given(COUNTS, COUNTS, COUNTS)
def test_each_member_is_in_one_part_and_a_part_is_seeds_by_points(seeds, points, world):
    group = group_of(seeds, points)
    if max(seeds, points) < world:
        with pytest.raises(UsageError, match=rf"give at most {max(seeds, points)} processes"):
            part_of(group, 0, world)
        return
    parts = [part_of(group, rank, world) for rank in range(world)]
    assert sorted(itertools.chain(*(part.members for part in parts))) == list(group.members)
    for part in parts:
        every = itertools.product(part.seeds, part.points)
        assert part.members == tuple(s * points + k for s, k in every)
        assert part.members
    busiest = max(len(part.members) for part in parts)
    ways = [(seeds, points), (points, seeds)]
    assert busiest == min(-(-cut // world) * rest for cut, rest in ways if cut >= world)


def known(group, draw):
    """Return what is known of a group: by member in all places, and what is of none."""
    count = len(group.members)
    members = [{"state": {0: {"step": torch.tensor(3.0)}}, "number": m} for m in group.members]
    return {
        "members": list(group.members),
        "losses": torch.randn(4, 2, count, generator=draw),
        "best": {"slope": torch.randn(count, 3, generator=draw)},
        "optimizer_states": [
            {
                "state": {0: {"average": torch.randn(count, 3, generator=draw)}},
                "groups": [{"b": 1}],
            },
            {"members": members},
        ],
        "epochs": [0, 1, 2, 3],
        "step": torch.tensor(7.0),
    }


def same(one, other):
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


@given(COUNTS, COUNTS, st.integers(2, 4), st.integers(0, 2**31))
def test_what_the_parts_know_is_what_the_group_knows(seeds, points, world, seed):
    group = group_of(seeds, points)
    if max(seeds, points) < world:
        return
    whole = known(group, torch.Generator().manual_seed(seed))
    parts = [part_of(group, rank, world) for rank in range(world)]
    rows = [[group.members.index(member) for member in part.members] for part in parts]
    taken = [take(whole, some, len(group.members)) for some in rows]
    for part, own in zip(parts, taken, strict=True):
        assert own["members"] == list(part.members)
        assert len(own["best"]["slope"]) == own["losses"].shape[-1] == len(part.members)
        assert [each["number"] for each in own["optimizer_states"][1]["members"]] == own["members"]
    assert same(join(taken, rows), whole)
    if len(rows[0]) == len(rows[1]):  # negative control: parts that change places
        assert not same(join([taken[1], taken[0], *taken[2:]], rows), whole)


WORDS = (
    *("fit", "--config", "linear_regression/lr_sweep.yaml", "--progress", "null"),
    *("--trainer.accelerator", "cpu", "--trainer.precision", "64-true"),
    *("--model.optimizer", "descentlab.optimizers.Adam"),
    *("--model.grid", "{lr: [0.1, 0.2, 0.5, 1.0, 2.0, 1.0e+200]}"),
)


def processes(folder, count, *words, nodes=1):
    """Run a command in several processes, as torchrun starts them, and return what they say."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    each = count // nodes
    settings = ("--trainer.strategy", "ddp", "--trainer.devices", str(each))
    ranks = [
        Forked(
            [*words, *settings, "--trainer.num_nodes", str(nodes)],
            folder,
            **{"TORCHELASTIC_RUN_ID": "here", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port},
            **{"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(each), "RANK": str(rank)},
            **{"LOCAL_RANK": str(rank % each), "GROUP_RANK": str(rank // each)},
        )
        for rank in range(count)
    ]
    try:
        said = [rank.communicate(120) for rank in ranks]
    finally:
        for rank in ranks:
            if rank.returncode is None:
                rank.kill()
    return [rank.returncode for rank in ranks], said


def table(folder):
    with (folder / "sweep.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def close(found, expected, rounding):
    """Return whether two tables are the same, numbers to a rounding."""
    for row, other in zip(found, expected, strict=True):
        for key, value in row.items():
            try:
                a, b = float(value), float(other[key])
            except ValueError:
                if value != other[key]:
                    return False
            else:
                if abs(a - b) > rounding * max(1.0, abs(b)):
                    return False
    return True


@pytest.mark.slow
@pytest.mark.parametrize(
    ("more", "nodes"),
    [((), 1), (("--model.seeds", "[3, 1, 2]", "--model.members_at_once", "6"), 3)],
    ids=["three on one machine", "three nodes, seeds in groups"],
)
@pytest.mark.usefixtures("white_pictures")
def test_several_processes_make_the_table_of_one(tmp_path, monkeypatch, more, nodes):
    three, one = tmp_path / "three", tmp_path / "one"
    for folder in (three, one):
        folder.mkdir()
    run = "logs/linear_regression/lr_sweep/version_0"
    words = (*WORDS, *more, "--trainer.max_epochs")
    status, said = processes(three, 3, *words, "2", nodes=nodes)
    assert status == [0, 0, 0], said
    assert "6 members in" in said[0][0] or "18 members in" in said[0][0]
    assert "members in" not in said[1][0] + said[2][0]
    monkeypatch.chdir(one)
    assert main([*words, "2"]) == 0
    found, expected = table(three / run), table(one / run)
    assert {row["status"] for row in expected} >= {"finished", "diverged"}
    assert close(found, expected, FLOAT64)
    wrong = [{**row, "best_loss": str(float(row["best_loss"] or 1) * 1.01)} for row in expected]
    assert not close(found, wrong, FLOAT64)
    if not more:  # with as many members beside one another it is the same to the last bit
        assert main([*words, "2", "--model.members_at_once", "2"]) == 0
        assert table(three / run) == table(one / run.replace("0", "1"))
        status, said = processes(three, 2, "fit", "--resume", run, "--trainer.max_epochs", "3")
        assert status == [0, 0], said
        monkeypatch.chdir(one)
        assert main([*words, "3"]) == 0
        assert close(table(three / run), table(one / run.replace("0", "2")), FLOAT64)


@pytest.mark.slow
def test_more_processes_than_points_are_refused(tmp_path):
    words = (*WORDS, "--model.grid", "{lr: [0.1, 0.2]}", "--trainer.max_epochs", "1")
    status, said = processes(tmp_path, 3, *words)
    assert status[0] != 0
    last = said[0][1].strip().splitlines()[-1]
    assert "2 members (2 points of the grid, 1 seeds) do not divide among 3 processes" in last
    assert not list(tmp_path.glob("**/version_0"))


def test_what_cannot_be_divided_is_refused_before_any_process(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    settings = ("--trainer.strategy", "ddp_spawn", "--trainer.devices", "2")
    assert main([*WORDS, *settings, "--trainer.max_epochs", "1"]) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert "a sweep is divided among processes by --trainer.strategy ddp alone" in last
    assert not list(tmp_path.iterdir())
