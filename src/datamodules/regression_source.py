"""Source of the rows of a regression: exactly one, and no flag without effect."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from ..errors import UsageError
from .built_in_data import Line, diabetes, noisy_line
from .csv_layout import CsvFlags
from .regression_rows import RegressionRows, from_one_file, from_tensors, from_two_files


@dataclass(frozen=True)
class RegressionSource:
    """Where rows come from; the arguments are those of `RegressionData`.

    Raises:
        UsageError: the data are given in two ways.
    """

    name: str = "diabetes"
    x_path: str | None = None
    y_path: str | None = None
    path: str | None = None
    target: str | None = None
    features: Sequence[str] | None = None
    csv: CsvFlags = field(default_factory=CsvFlags)
    column: str | None = None
    line: Line | None = None
    x: Tensor | None = None
    y: Tensor | None = None

    def __post_init__(self) -> None:
        ways = {
            "path": self.path is not None,
            "x_path and y_path": self.x_path is not None or self.y_path is not None,
            "x and y": self.x is not None or self.y is not None,
        }
        given = [way for way, so in ways.items() if so]
        if len(given) > 1:
            raise UsageError(f"{' beside '.join(given)}: give the data in one way")

    @property
    def kind(self) -> str:
        """`tensors`, `files`, `line` or `diabetes`."""
        if self.x is not None or self.y is not None:
            return "tensors"
        return "files" if self._paths else self.name

    @property
    def where(self) -> str:
        """The data in a word, for messages."""
        return " with ".join(self._paths) or f"source {self.kind}"

    @property
    def _paths(self) -> list[str]:
        return [path for path in (self.path, self.x_path, self.y_path) if path is not None]

    @property
    def labels(self) -> tuple[str, str]:
        """What an input and the target are called in pictures."""
        if self.kind == "diabetes":
            return self.column or "bmi", "disease progression"
        names = [path and Path(path).stem for path in (self.x_path, self.y_path)]
        return names[0] or "x", self.target or names[1] or "y"

    def rows(self, wanted: Sequence[str] | None = None) -> RegressionRows:
        """Read inputs and targets.

        Args:
            wanted: the columns that a run was trained on, where they have names.

        Raises:
            UsageError: something is missing, without effect, or wrong with the data.
        """
        self._check_complete()
        self._check_effect()
        if self.x is not None:
            return from_tensors(self.x, self.y)
        if self.path is not None:
            return from_one_file(self.path, self.target, self.features, self.csv, wanted)
        if self.x_path is not None:
            return from_two_files(self.x_path, self.y_path, self.csv, wanted)
        if self.kind == "line":
            return RegressionRows(*noisy_line(self.line or Line()))
        return RegressionRows(*diabetes(self.column or "bmi"))

    def inputs(self, wanted: Sequence[str] | None = None) -> RegressionRows:
        """Read inputs alone, for predictions: what is said of targets does not matter.

        Args:
            wanted: the columns that a run was trained on, where they have names.

        Raises:
            UsageError: something is wrong with the data.
        """
        if self.x is not None:
            return from_tensors(self.x, None)
        if self.path is not None:
            return from_one_file(
                self.path, self.target, self.features, self.csv, wanted, targets=False
            )
        if self.x_path is not None:
            return from_two_files(self.x_path, None, self.csv, wanted)
        return self.rows()

    def _check_complete(self) -> None:
        if self.kind == "tensors" and (self.x is None or self.y is None):
            raise UsageError("x and y belong together: give both")
        if self.kind == "files" and self.path is None and None in (self.x_path, self.y_path):
            missing = "x_path" if self.x_path is None else "y_path"
            raise UsageError(
                f"{missing} is missing: data from files need both x_path and y_path, or path and "
                "target"
            )

    def _check_effect(self) -> None:
        """Refuse what is for another source."""
        csv = any(path.lower().endswith(".csv") for path in self._paths)
        uses = [
            ("column", self.column, self.kind == "diabetes", "the diabetes data"),
            ("line", self.line, self.kind == "line", "source line"),
            ("target", self.target, self.path is not None, "data of one file, --data.path"),
            ("features", self.features, self.path is not None, "data of one file, --data.path"),
            *((name, True, csv, "CSV files") for name in self.csv.given),
        ]
        for name, value, used, use in uses:
            if value is not None and not used:
                raise UsageError(
                    f"{name} is for {use}, and has no effect on {self.where}: leave it out"
                )
