"""A row of the report: an entry's function runs commands and claims figures through it."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from ..errors import UsageError
from .claims import Claims
from .runs import Finished, Runs

Picture = Figure | bytes | Path


class Row(Claims):
    """An entry that is being run.

    Args:
        config: what is run where no other config is named.
        runs: runs commands, and remembers what was run for other entries.

    Attributes:
        picture: to be shown: a figure, the bytes of a PNG, or the path of one.
        details: what is worth showing beside the claims, by name.
        commands: every command that was asked for, as one would type it.
    """

    def __init__(self, config: str, runs: Runs) -> None:
        super().__init__()
        self.config, self._runs = config, runs
        self.picture: Picture | None = None
        self.details: dict[str, str] = {}
        self.commands: list[str] = []

    @property
    def folder(self) -> Path:
        """A folder for files of the entry's own; it is removed in the end."""
        return self._runs.folder

    def fit(
        self, *flags: str, config: str = "", keep: Sequence[str] = (), fails: bool = False
    ) -> Finished:
        """Run `descentlab fit`, or return what it left when the same was run before.

        Args:
            flags: further words, as on the command line.
            config: another one than the entry's.
            keep: the costly instruments that are wanted: `learning_curves`, `graph_export`,
                `accelerator_timer`. The others are switched off; they change no figure.
            fails: whether it is to end with a status other than 0.

        Raises:
            UsageError: if neither this call nor the entry names a config.
            RunError: if it ends with another status than it should.
        """
        return self._run("fit", config, flags, keep, fails)

    def predict(self, *flags: str, config: str = "") -> Finished:
        """Run `descentlab predict`, or return what it left when the same was run before.

        Args:
            flags: further words, as on the command line.
            config: another one than the entry's.

        Raises:
            UsageError: if neither this call nor the entry names a config.
            RunError: if it fails.
        """
        return self._run("predict", config, flags)

    def _run(
        self,
        kind: str,
        config: str,
        flags: Sequence[str],
        keep: Sequence[str] = (),
        fails: bool = False,
    ) -> Finished:
        if not (config or self.config):
            raise UsageError(f"{kind}: name a config, here or where the entry is added")
        words = [kind, "--config", config or self.config, *flags]
        self.commands.append(self._runs.typed(words))
        return self._runs(words, keep, fails)
