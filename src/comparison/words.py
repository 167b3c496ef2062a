"""The words of these commands, with mistakes said in one sentence."""

import argparse
from typing import NoReturn

from ..errors import UsageError


class ShortParser(argparse.ArgumentParser):
    """A parser that raises what is wrong, in one sentence."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong in one sentence."""
        raise UsageError(f"{message}: see `{self.prog} --help`")
