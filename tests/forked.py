"""Commands as processes of their own that need no second import of torch and Lightning.

Each is forked from one process, `multiprocessing`'s fork server, that has imported all of it, and
has no thread and nothing of the tests in it.
"""

import multiprocessing
import os
import signal
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import coverage

from descentlab.__main__ import main

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(
    ["descentlab.command.cli", "sklearn.datasets", "torch.utils.tensorboard", "matplotlib.pyplot"]
)


class Forked:
    """A command that has been started, with the part of `subprocess.Popen` that tests use.

    Its lines are not measured: a process that is ended by a signal would not write what it counted.

    Args:
        words: the words after `descentlab`.
        folder: where it is called.
        profile: what `sys.setprofile` is given there.
        environment: what else is in its environment.
    """

    def __init__(self, words, folder, profile=None, **environment):
        texts = Path(tempfile.mkdtemp())
        self._out, self._err = texts / "out", texts / "err"
        process = _SERVER.Process(
            target=_run, args=(words, folder, profile, environment, self._out, self._err)
        )
        with unmeasured():
            process.start()
        self._process = process

    @property
    def returncode(self):
        """The exit status, or the number of the signal that ended it, negative; None if it runs."""
        return self._process.exitcode

    @property
    def pid(self):
        return self._process.pid

    def poll(self):
        return self._process.exitcode

    def send_signal(self, number):
        os.kill(self._process.pid, number)

    def terminate(self):
        self.send_signal(signal.SIGTERM)

    def kill(self):
        self._process.kill()

    def communicate(self, timeout=60):
        """Return what it wrote to stdout and stderr until its end."""
        self._process.join(timeout)
        assert self.returncode is not None, f"it has not ended in {timeout} s: {self._err}"
        return tuple(path.read_text() if path.exists() else "" for path in (self._out, self._err))


def measurement():
    """The part of the environment by which processes that are started are measured, if any."""
    return {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}


@contextmanager
def measured(environment):
    """Measure lines of this process, which was forked, where the environment has it so.

    Args:
        environment: what `measurement` returned in the process of the tests.
    """
    with mock.patch.dict(os.environ, environment):
        measuring = coverage.process_startup()
    yield
    if measuring is not None:
        measuring.stop()
        measuring.save()


def unmeasured():
    """A context in which the fork server is started: neither it nor its processes are measured."""
    rest = {name: os.environ[name] for name in os.environ.keys() - measurement().keys()}
    return mock.patch.dict(os.environ, rest, clear=True)


def _run(words, folder, profile, environment, out, err):
    from soaks.warm import become

    become(words, folder, out, err)
    os.environ.update(environment)
    tempfile.tempdir = None  # TMPDIR is looked at anew
    sys.path.insert(0, str(folder))  # as `python -m` does
    sys.setprofile(profile)
    sys.exit(main())  # of `sys.argv`, which `become` has set
