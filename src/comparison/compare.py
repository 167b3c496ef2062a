"""The command `descentlab compare`: runs side by side, in words, numbers and a figure."""

import argparse
import io
from collections.abc import Sequence
from pathlib import Path

from .. import __version__
from ..drawing.comparison import comparison_figure
from ..drawing.figure import Figure
from ..drawing.page import page, paragraph, picture, section, table
from ..errors import ShortParser, UsageError, refuse
from ..runs.files import write_whole
from ..runs.names import folder_of, is_run, short_name
from ..runs.record import Curve, Record
from ..runs.terminal import show
from .differences import Parting, changed_on_the_way, config_differences, parting
from .tables import aligned, explained, figures

_COMPARISONS, _PAGE = Path("comparison"), "compare.html"
_LONGEST = 100  # letters of a folder's name
_LABELS = {"train": "training loss", "val": "validation loss"}


def main(words: Sequence[str]) -> int:
    """Compare runs: print what was found, and write `compare.html` and `compare.png`.

    Args:
        words: after `descentlab compare`.

    Returns:
        0, equal or not; 2 for wrong use.
    """
    try:
        options = _parser().parse_args(words)
        records = records_of(options.run, options.out or _COMPARISONS)
        found = Comparison(records)
        show(found.text())
        out = options.out or _COMPARISONS / found.short
        out.mkdir(parents=True, exist_ok=True)
        replaced = ", in place of an earlier one" * (out / _PAGE).exists()
        print(f"\nwritten to {found.write(out)}{replaced}")
        return 0
    except (UsageError, OSError) as error:
        return refuse(error)


class Comparison:
    """What runs have in common, and what not.

    Args:
        records: of two runs or more; the others are held against the first.
    """

    def __init__(self, records: Sequence[Record]) -> None:
        self.records = records
        self.names = [short_name(each.run.folder) for each in records]
        self.figures = figures(records)
        found = config_differences([each.config for each in records])
        self.configs = [[key, *values] for key, values in found.items()]
        self.partings: dict[str, Parting] = {
            name: parting(records[0], other)
            for name, other in zip(self.names[1:], records[1:], strict=True)
        }

    def __repr__(self) -> str:
        """Return all in plain text."""
        return self.text()

    @property
    def short(self) -> str:
        """A name for a folder of this comparison; of many runs it is cut."""
        return "_and_".join(name.strip("./").replace("/", "-") for name in self.names)[:_LONGEST]

    def sentences(self) -> list[str]:
        """Return which runs went on otherwise, and how far each further one equals the first."""
        changes = zip(self.names, map(changed_on_the_way, self.records), strict=True)
        return [
            *(f"{name} went on with {changed}" for name, changed in changes if changed),
            *(f"{self.names[0]} and {name}: {p.text}" for name, p in self.partings.items()),
        ]

    def text(self) -> str:
        """Return all in plain text."""
        configs = "The configs are the same."
        if self.configs:
            configs = aligned(["what differs in the configs", *self.names], self.configs)
        parts = [
            explained(aligned(["", *self.names], self.figures)),
            configs,
            "\n".join(self.sentences()),
        ]
        return "\n\n".join(parts)

    def plot(self) -> Figure:
        """Return the runs' curves; those of single updates where no epoch's loss was written.

        Raises:
            UsageError: if there are neither.
        """
        panels: dict[str, dict[str, Curve]] = {}
        for name, record in zip(self.names, self.records, strict=True):
            for key, label in _LABELS.items():
                if record.losses[key] in record.curves:
                    panels.setdefault(label, {})[name] = record.curves[record.losses[key]]
        if not panels:
            panels["loss of every update"] = {
                name: _unpacked(record.batch_losses)
                for name, record in zip(self.names, self.records, strict=True)
                if record.batch_losses
            }
        steps = [p.step for p in self.partings.values() if p.step]
        return comparison_figure(panels, min(steps, default=None))

    def write(self, folder: Path) -> Path:
        """Write `compare.png` and `compare.html`, and return the path of the page."""
        png = io.BytesIO()
        self.plot().savefig(png, format="png", dpi=200)
        write_whole(folder / "compare.png", png.getvalue())
        configs = paragraph("The configs are the same.")
        if self.configs:
            configs = table(["key", *self.names], self.configs)
        parts = [
            *map(paragraph, self.sentences()),
            section("Losses", picture(png.getvalue(), "Learning curves of the runs")),
            section("Figures (a star marks the least)", table(["what", *self.names], self.figures)),
            section("What differs in the configs", configs),
            paragraph(f"Made by descentlab {__version__}."),
        ]
        path = folder / _PAGE
        write_whole(path, page(f"Comparison of {', '.join(self.names)}", parts))
        return path


def _unpacked(losses: Sequence[tuple[int, str]]) -> Curve:
    return [step for step, _ in losses], [float(loss) for _, loss in losses]


def records_of(names: Sequence[str], out: Path | None) -> list[Record]:
    """Return the records of runs that can be compared.

    Args:
        names: of the runs.
        out: where the comparison is to be written, if it is.

    Raises:
        UsageError: if one cannot, or the place is inside a run.
    """
    if len(names) < 2:
        raise UsageError(f"compare {' '.join(names)}: give two runs or more")
    folders = [folder_of(name) for name in names]
    for name, folder in zip(names, folders, strict=True):
        if not is_run(folder):
            raise UsageError(f"{name} is no run: give one that `descentlab runs` lists")
    places = [folder.resolve() for folder in folders]
    for number, (name, place) in enumerate(zip(names, places, strict=True)):
        if place in places[number + 1 :]:
            other = names[places.index(place, number + 1)]
            twice = "is given twice" if other == name else f"is {other}, which is given too"
            raise UsageError(f"{name} {twice}: give another run")
    records = [Record(folder) for folder in folders]
    for name, record in zip(names, records, strict=True):
        if record.is_sweep:
            raise UsageError(f"{name} is a sweep, whose figures compare its members: give runs")
        if not record.batch_losses and not record.curves:
            raise UsageError(f"{name}: the run wrote no loss: it ended before its first epoch did")
    if out is not None:
        _check_place(out, records)
    return records


def _check_place(out: Path, records: Sequence[Record]) -> None:
    """Refuse to write into what is compared."""
    for record in records:
        if out.resolve().is_relative_to(record.run.folder.resolve()):
            raise UsageError(f"--out {out} is inside a run that is compared: give another folder")


def _parser() -> argparse.ArgumentParser:
    parser = ShortParser(
        prog="descentlab compare",
        allow_abbrev=False,
        description="Put runs side by side: their losses, updates and time, what differs in their "
        "configs, and whether they are equal bit for bit, or the first update at which they part.",
    )
    parser.add_argument(
        "run",
        metavar="RUN",
        nargs="+",
        help="a run's folder, or in short toy/wavy/3, or last; the first is what others are held "
        "against",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="where compare.html and compare.png are put (default: in comparison/, in a folder "
        "named by the runs)",
    )
    return parser
