"""The two ways in which a command ends badly, other than by a bug, and a parser that ends so."""

import argparse
import os
import sys
from typing import NoReturn


class UsageError(ValueError):
    """Something that was asked for is wrong: a value, a key or a file. Exit status 2.

    The message is all that a user sees: it names the thing and says what to do.
    """


class RunError(RuntimeError):
    """A run that was asked for rightly could not be completed. Exit status 1."""


class NotWritten(UserWarning):
    """A picture or a page that the disk did not take; the run itself goes on to its end."""


def refuse(error: UsageError | OSError) -> int:
    """Say on stderr what was asked wrongly, or which file the disk did not give or take.

    Returns:
        2, the exit status.
    """
    text = str(error)
    if isinstance(error, OSError) and error.filename is not None:
        text = f"{os.fsdecode(error.filename)}: {error.strerror}: mend that, or give another place"
    print(f"descentlab: error: {text}", file=sys.stderr)
    return 2


class ShortParser(argparse.ArgumentParser):
    """A parser of words that says what is wrong with them in one sentence."""

    def error(self, message: str) -> NoReturn:
        """Refuse the words.

        Raises:
            UsageError: always, with the message.
        """
        raise UsageError(f"{message}: see `{self.prog} --help`")
