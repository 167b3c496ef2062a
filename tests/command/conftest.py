"""A folder with data and finished runs in it, and commands that are run there in this process."""

import os
import signal

import pytest
from command_line import YOUR_DATA, Outcome, digest, write_data

from descentlab.__main__ import main


@pytest.fixture(autouse=True)
def same_signals():
    """A command leaves the signals as they were."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    assert handlers == {number: signal.getsignal(number) for number in handlers}


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A folder with `X.pt`, `y.pt` and a finished run on them; tests leave it as it is."""
    folder = tmp_path_factory.mktemp("finished")
    write_data(folder)
    before = os.getcwd()
    os.chdir(folder)
    try:
        assert main(list(YOUR_DATA)) == 0
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder with data, as the working folder."""
    write_data(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def command(capsys, white_pictures):
    """Run a command in this process."""

    def run(*words):
        capsys.readouterr()
        status = main([str(word) for word in words])
        return Outcome(status, *capsys.readouterr())

    return run


@pytest.fixture
def refused(command, finished, monkeypatch):
    """Run a command that must end with one message, beside a finished run that must stay."""
    monkeypatch.chdir(finished)

    def run(*words, status=2):
        before = digest(finished / "logs")
        outcome = command(*words)
        assert outcome.status == status, outcome.err
        assert "Traceback" not in outcome.out + outcome.err
        assert outcome.err.count("descentlab: error: ") == 1
        assert digest(finished / "logs") == before
        return outcome.message

    return run
