"""What the documentation says is so: commands end well and print what is shown, examples run."""

import inspect
import re
import signal
import textwrap
import warnings

import pytest
import torch

from descentlab.__main__ import main
from descentlab.command.configs import FOLDER
from descentlab.handouts.command_line import main as reproduce
from descentlab.modules import DescentModule
from handouts import FIVE
from pages import (
    PAGES,
    ROOT,
    Block,
    blocks,
    commands,
    links,
    recipe,
    reproduction,
    same_line,
    shorter,
    words_of,
)

MAKEFILE = (ROOT / "Makefile").read_text()
FOLLOWED = ("add_an_optimizer.md", "add_an_objective.md")  # in a copy: see test_additions.py


@pytest.fixture
def folder(tmp_path, monkeypatch, white_pictures):
    """An empty folder with tensors of the user's, as the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)  # as `python -m` does
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(120, 2, generator=generator)
    torch.save(x, tmp_path / "X.pt")
    torch.save(x @ torch.tensor([2.0, -1.0]) + 0.5, tmp_path / "y.pt")
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield tmp_path
    for number, handler in handlers.items():
        signal.signal(number, handler)


def run_command(command, shown, capsys):
    """Run one command; it must end well, and print each line that is shown, in this order."""
    capsys.readouterr()
    words, run = reproduction(command), lambda words: reproduce(words, FIVE)
    if words is None:
        words, run = words_of(command, MAKEFILE), main
    if words is None:
        return
    if not shown:
        words += shorter(command)
    status = run(words)
    out, err = capsys.readouterr()
    if "--trainer.accelerator gpu" in command and not torch.cuda.is_available():
        assert (status, "there is none here" in err) == (2, True), err
        return
    assert status == 0, f"$ {command}\n{err}"
    printed = iter(out.splitlines())
    for line in shown:
        assert any(same_line(line, each) for each in printed), f"$ {command}\n{line}\n{out}"


def run_block(block, folder, capsys):
    """Run a block: its commands, or its Python; one that is a file is written, too."""
    if block.path:
        (folder / block.path).write_text(block.content)
    if block.language == "console":
        for command, shown in commands(block):
            run_command(command, shown, capsys)
    elif block.language == "python":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Lightning's advice on loaders and logging
            exec(compile(block.text, f"line {block.line}", "exec"), {"__name__": "example"})


@pytest.mark.slow
@pytest.mark.no_cover
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_can_be_followed(page, folder, capsys):
    if page.name in FOLLOWED:
        pytest.skip("followed in a copy of the project, by test_additions.py")
    for block in blocks(page.read_text()):
        run_block(block, folder, capsys)


@pytest.mark.slow
@pytest.mark.no_cover
def test_the_readme_names_what_is_in_the_folder_of_a_run(folder, capsys):
    run_command("make run", [], capsys)
    run = folder / "logs/linear_regression/split/version_0"
    section = (ROOT / "README.md").read_text().partition("## What is in a run's folder")[2]
    table = re.findall(r"^\| (`.*?) \|", section.partition("\n## ")[0], re.M)
    names = [name.rstrip("/") for row in table for name in re.findall(r"`(.*?)`", row)]
    for name in names:
        assert list(run.glob(name)) or list((run / "checkpoints").glob(name)), name
    tops = {name.partition("/")[0] for name in names}
    assert {each.name for each in run.iterdir() if not any(map(each.match, tops))} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_names_is_there(page):
    text = page.read_text()
    for target in links(text):
        assert (page.parent / target).exists(), target
    for block in blocks(text):
        if block.language == "console":
            for command, _ in commands(block):
                if reproduction(command) is None:
                    words_of(command, MAKEFILE)  # refuses what is no command of the project
    inline = re.findall(r"`((?:src|configs|tests|scripts|docs)/[\w./-]+)`", text)
    assert [each for each in inline if not (ROOT / each).exists()] == []
    for target in re.findall(r"`make ([\w-]+)", text):
        recipe(target, MAKEFILE)


def test_the_tutorial_shows_the_update_as_it_is():
    (shown,) = (b for b in blocks((ROOT / "docs/tutorial.md").read_text()) if b.language == "py")
    assert shown.text == textwrap.dedent(inspect.getsource(DescentModule.descend))


def test_the_pages_are_short():
    assert len((ROOT / "README.md").read_text().splitlines()) < 150
    assert len((ROOT / "CONTRIBUTING.md").read_text().splitlines()) < 60


def test_every_config_is_listed_with_what_it_is(capsys):
    assert main(["configs"]) == 0
    listed = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert set(listed) == {each.relative_to(FOLDER).as_posix() for each in FOLDER.rglob("*.yaml")}
    assert all(len(about) > 10 for about in listed.values())


def test_configs_are_listed_by_the_beginning_of_their_names(capsys):
    assert main(["configs", "toy"]) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert names == sorted(f"toy/{each.name}" for each in (FOLDER / "toy").glob("*.yaml"))


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("console", "$ descentlab fit --config nowhere.yaml\n"),
        ("console", "$ descentlab configs\nlinear_regression/nowhere.yaml\n"),
        ("console", "$ descentlab --version\ndescentlab 0.0.0\n"),
        ("console", "$ make nothing\n"),
        ("console", "$ rm -rf logs\n"),
        ("python", "assert 1 + 1 == 3\n"),
    ],
)
def test_a_page_that_says_what_is_not_so_is_caught(language, text, folder, capsys):
    with pytest.raises(AssertionError):
        run_block(Block(language, text, 1), folder, capsys)


@pytest.mark.parametrize(
    ("shown", "same"),
    [
        ("updates  1800 in 9.9 s on cuda:0 (H100)", True),
        ("updates  1800.1 in 2.1 s on cpu", True),
        ("updates  1800.2 in 2.1 s on cpu", False),
        ("updates  1801 in 2.1 s on cpu", False),
        ("updates  1800 in 2.1 s", False),
        ("steps    1800 in 2.1 s on cpu", False),
        ("updates  nan in 2.1 s on cpu", False),
    ],
)
def test_lines_are_compared_to_the_last_digit_but_for_times_and_devices(shown, same):
    assert same_line(shown, "updates               1800 in 2.1 s on cpu") is same
