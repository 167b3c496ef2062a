"""The command `descentlab tensorboard`: runs in TensorBoard, each named by what was changed."""

import csv
import math
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn

from tensorboard import default, program
from tensorboard.util import tb_logging

from ..errors import ShortParser, UsageError, refuse
from ..runs.names import LOGS, folder_of, is_run, runs_below
from ..runs.record import Record
from ..signals import ended_by_signals

#: runs that TensorBoard shows at first; of more it shows none until they are chosen
MOST_SHOWN = 40
#: seconds between two looks for new runs and new files
EVERY = 5.0
#: letters of a run's name that tell what was changed
LONGEST = 60
_EVENTS = "events.out.tfevents"


def main(words: Sequence[str]) -> int:
    """Show runs in TensorBoard, on this machine alone, until a signal ends it.

    Args:
        words: after `descentlab tensorboard`.

    Returns:
        2 for wrong use: what ends it rightly is a signal.
    """
    parser = ShortParser(
        prog="descentlab tensorboard",
        allow_abbrev=False,
        description="Show runs in TensorBoard, each named by what was changed against its config; "
        "of a sweep that is named the best members too, as rows of HParams.",
    )
    parser.add_argument(
        "runs",
        metavar="RUN",
        nargs="*",
        help="a run's folder, toy/wavy/3, or last (default: the latest)",
    )
    parser.add_argument("--port", type=int, default=6006, help="(default: 6006; 0: a free one)")
    try:
        options = parser.parse_args(words)
        with TemporaryDirectory() as folder, ended_by_signals(_removing(folder)):
            _serve(Shown(options.runs, Path(folder)), options.port)
    except (UsageError, OSError) as error:
        return refuse(error)


class Shown:
    """A folder of links to the event files of runs, laid out as TensorBoard is to show them.

    Args:
        names: of the runs; none for the latest of `logs`, those that begin later too.
        folder: where the links go.

    Raises:
        UsageError: if there is no such run, or none at all.
    """

    def __init__(self, names: Sequence[str], folder: Path) -> None:
        self.folder = folder
        self._names: dict[Path, str] = {}
        self._chosen = [folder_of(name) for name in names]
        for name, run in zip(names, self._chosen, strict=True):
            if not is_run(run):
                raise UsageError(f"{name}: there is no such run: `descentlab runs` lists those")
        self._above = _one_experiment(self._found())
        if not self.renew():
            raise UsageError(
                f"there are no runs in {LOGS}: `descentlab fit --config toy/wavy.yaml` makes one"
            )

    def renew(self) -> int:
        """Link what is not linked yet.

        Returns:
            How many runs there are, members of sweeps included.
        """
        for run in self._found():
            place = self.folder / self._names.setdefault(run, _name_of(run, self._above))
            _link(sorted(run.glob(f"{_EVENTS}.*")), place)
        for run in self._chosen:
            for name, file in members_of(run, MOST_SHOWN - len(self._chosen)):
                _link([file], self.folder / self._names[run] / name)
        return sum(any(path.is_symlink() for path in each.iterdir()) for each in self._places())

    def _found(self) -> list[Path]:
        return self._chosen or runs_below(LOGS)[-MOST_SHOWN:]

    def _places(self) -> list[Path]:
        return [path for path in self.folder.rglob("*") if path.is_dir()]


def members_of(run: Path, most: int) -> Iterator[tuple[str, Path]]:
    """Give the best members of a sweep, each with its name and its file of HParams.

    Args:
        run: a run's folder; of one that is no sweep there are none.
        most: how many.
    """
    table = run / "sweep.csv"
    if not table.is_file():
        return
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    rows.sort(key=lambda row: float(row.get("best_loss") or math.inf))
    for row in rows[:most]:
        swept = list(row)[1 : list(row).index("seed") + 1]
        given = ",".join(f"{key.rpartition('.')[2]}={row[key]}" for key in swept)
        file_of_member = run / "members" / f"{row['member']:0>5}.hparams"
        if file_of_member.is_file():
            yield _safe(given), file_of_member


def _one_experiment(runs: Sequence[Path]) -> Path:
    """Return the folder of the experiment that several runs are of; `logs` if they are of more.

    Their names have it not before them: the first screen cuts names after some 25 letters.
    """
    parents = {run.parent for run in runs}
    return parents.pop() if len(runs) > 1 and len(parents) == 1 else LOGS


def _name_of(run: Path, above: Path) -> str:
    """Return the name of a run: its path below a folder, and the flags that were given."""
    try:
        flags = Record(run).changed()
    except UsageError:  # a damaged config: the run is shown all the same
        flags = {}
    given = ",".join(f"{flag.rpartition('.')[2]}={value}" for flag, value in flags.items())
    near = [run.relative_to(each) for each in (above, LOGS) if run.is_relative_to(each)]
    inside = near[0] if near else Path(*run.absolute().parts[-3:])
    return f"{inside}-{_safe(given)}" if given else str(inside)


def _safe(text: str) -> str:
    """Return a text as it may be the name of a file, cut where it is long."""
    text = re.sub(r"[^\w.,=+\- ]", "_", text)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _link(files: Sequence[Path], place: Path) -> None:
    place.mkdir(parents=True, exist_ok=True)
    for number, file in enumerate(files):
        name = file.name if file.name.startswith(_EVENTS) else f"{_EVENTS}.{number}.{file.name}"
        if not (place / name).is_symlink():
            (place / name).symlink_to(file.absolute())


def _removing(folder: str) -> Callable[[str], str]:
    def last(word: str) -> str:
        shutil.rmtree(folder, ignore_errors=True)
        return f"{word}: TensorBoard has ended"

    return last


def _serve(shown: Shown, port: int) -> NoReturn:
    """Show a folder until a signal ends the process."""
    tb_logging.get_logger().setLevel("ERROR")
    server = program.TensorBoard(default.get_plugins())
    try:
        server.configure(
            logdir=str(shown.folder),
            host="127.0.0.1",
            port=port,
            load_fast="false",
            reload_interval=EVERY,
        )
        url = server.launch()
    except program.TensorBoardServerException as error:
        raise UsageError(f"--port {port}: {error}: give another, or 0 for a free one") from error
    print(f"{shown.renew()} runs on {url} (Ctrl-C ends it)", flush=True)
    while True:
        time.sleep(EVERY)
        shown.renew()
