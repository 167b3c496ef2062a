"""Runs in TensorBoard: which are shown, under which names, and what its server says of them."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request

import pytest
from made import make_run, write
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from descentlab.__main__ import main
from descentlab.comparison import tensorboard
from descentlab.comparison.tensorboard import MOST_SHOWN, Shown, members_of

SPLIT = "logs/line/version_0"


def made(folder, command="fit --config line.yaml", events=1):
    """A run with event files of which each has one value."""
    run = make_run(folder, command=command)
    for number in range(events):
        with SummaryWriter(run, filename_suffix=f".{number}") as writer:
            writer.add_scalar("loss/train", 2.5 + number, 3)
    return run


def sweep(folder, losses):
    """A sweep with a row of HParams for each member."""
    run = made(folder)
    rows = [(n, 0.5 + n, 7, "finished", loss) for n, loss in enumerate(losses)]
    write(run / "sweep.csv", ("member", "lr", "seed", "status", "best_loss"), rows)
    (run / "members").mkdir()
    for number, lr, *_ in rows:
        with SummaryWriter(run / "x") as writer:
            _, *session = hparams({"lr": lr, "seed": 7}, {"loss/best": 1.0})
            for summary in session:
                writer.file_writer.add_summary(summary)
        (file,) = (run / "x").iterdir()
        file.rename(run / "members" / f"{number:05}.hparams")
    return run


def places(folder):
    return sorted(str(path.parent.relative_to(folder)) for path in folder.rglob("*tfevents*"))


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_run_is_named_by_what_was_changed(here):
    made(here / SPLIT)
    given = "fit --config line.yaml --model.optimizer.lr 0.01 --data.x_path ../x/y.pt"
    made(here / "logs/line/version_1", given)
    links = here / "links"
    links.mkdir()
    shown = Shown([], links)
    assert places(links) == ["version_0", "version_1-lr=0.01,x_path=.._x_y.pt"]
    made(here / "logs/line/version_2")  # begins while they are shown
    made(here / "logs/line/version_0/again")  # and one inside of another
    assert shown.renew() == 4
    assert {"version_2", "version_0/again-config=line.yaml"} <= {*places(links)}
    made(here / "logs/other/version_0", "fit --config other.yaml")  # or in another experiment
    assert shown.renew() == 5
    assert "other/version_0" in places(links)
    for path in links.rglob("*tfevents*"):
        assert path.resolve().is_relative_to(here / "logs")


def test_a_single_run_and_runs_of_several_experiments_are_named_by_these_too(here):
    made(here / SPLIT)
    for folder in ("alone", "two"):
        (here / folder).mkdir()
    Shown([], here / "alone")
    assert places(here / "alone") == ["line/version_0"]
    made(here / "logs/toy/wavy/version_0", "fit --config toy/wavy.yaml --model.lr 2")
    Shown([], here / "two")
    assert places(here / "two") == ["line/version_0", "toy/wavy/version_0-lr=2"]


def test_a_run_that_goes_on_with_other_flags_keeps_its_name(here):
    run = made(here / SPLIT)
    links = here / "links"
    links.mkdir()
    shown = Shown([SPLIT], links)
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("line.yaml", "line.yaml --model.lr 2"))
    with SummaryWriter(run, filename_suffix=".later"):
        assert shown.renew() == 1
    assert places(links) == ["line/version_0"] * 2


def test_the_best_members_of_a_sweep_are_shown_as_many_as_tensorboard_ticks(here):
    losses = [float(50 - n) for n in range(50)]
    losses[7] = ""  # diverged before any was measured
    run = sweep(here / SPLIT, losses)
    found = list(members_of(run, 49))
    assert [name for name, _ in found[:2]] == ["lr=49.5,seed=7", "lr=48.5,seed=7"]
    assert len(found) == 49
    assert "lr=7.5,seed=7" not in dict(found)
    links = here / "links"
    links.mkdir()
    assert Shown([SPLIT], links).renew() == MOST_SHOWN
    for path in links.iterdir():
        assert path.name == "line"


def test_what_cannot_be_shown_is_one_sentence(here, capsys):
    assert main(["tensorboard"]) == 2
    assert "there are no runs in logs: `descentlab fit" in capsys.readouterr().err
    assert main(["tensorboard", "toy/none/3"]) == 2
    assert "toy/none/3: there is no such run: `descentlab runs`" in capsys.readouterr().err
    assert main(["tensorboard", "--port", "many"]) == 2
    assert "see `descentlab tensorboard --help`" in capsys.readouterr().err


def test_a_damaged_run_is_shown_all_the_same(here):
    (made(here / SPLIT) / "config.yaml").write_bytes(b"\xff\xfe")
    links = here / "links"
    links.mkdir()
    Shown([], links)
    assert places(links) == ["line/version_0"]


def get(url):
    with urllib.request.urlopen(url, timeout=20) as answer:
        return json.load(answer)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_server_has_the_runs_on_this_machine_alone_and_ends_with_the_signal(here, number):
    sweep(here / SPLIT, [3.0, 1.0, 2.0])
    made(here / "logs/line/version_1", "fit --config line.yaml --model.optimizer.lr 0.01")
    words = ["tensorboard", "line/0", "line/1", "--port", "0"]
    temporary = here / "temporary"
    temporary.mkdir()
    server = subprocess.Popen(
        [sys.executable, "-m", "descentlab", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(temporary)},
        start_new_session=True,
    )
    try:
        said = server.stdout.readline()
        assert said.startswith("5 runs on http://127.0.0.1:")
        url = said.split()[3]
        expected = {"version_1-lr=0.01", "version_0"}
        expected |= {f"version_0/lr={lr},seed=7" for lr in (0.5, 1.5, 2.5)}
        end = time.monotonic() + 60
        while set(get(f"{url}data/runs")) != expected and time.monotonic() < end:
            time.sleep(0.2)
        assert set(get(f"{url}data/runs")) == expected
        tags = get(f"{url}data/plugin/scalars/tags")
        assert "loss/train" in tags["version_1-lr=0.01"]
        server.send_signal(number)
        _, err = server.communicate(timeout=30)
    finally:
        server.kill()
    assert server.returncode == 128 + number
    assert "Traceback" not in err
    assert not list(temporary.glob("*"))


def test_a_port_that_is_taken_is_named(here, monkeypatch, capsys):
    made(here / SPLIT)

    def taken(_):
        raise tensorboard.program.TensorBoardPortInUseError("it is in use")

    handlers = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    monkeypatch.setattr(tensorboard.program.TensorBoard, "launch", taken)
    try:
        assert main(["tensorboard", "--port", "6123"]) == 2
    finally:
        for each, handler in handlers.items():
            signal.signal(each, handler)
    assert "--port 6123: it is in use: give another, or 0" in capsys.readouterr().err
