"""Ways in which a file is damaged, or made by someone who means harm."""

import csv
import io
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml

#: what stands in the place of a value, besides what would run a command
ODD: tuple[Any, ...] = (
    *(None, True, -1, 0, 7, 10**12, 1.5, -0.5, float("nan"), float("inf")),
    *("", "text", "../out", "a\0b", "x" * 5000, "descentlab.nothing", "torch.optim.Adam"),
    *([], {}, [1], [[1]], {"x": 1}, {"class_path": "descentlab.modules.TwoLayerNet"}),
)


class Harm:
    """A value that runs a command when it is unpickled in the usual way.

    Args:
        command: for a shell.
    """

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        """Tell pickle what to call."""
        return os.system, (self.command,)


class Damage:
    """Damages files, each call in another way.

    Args:
        draw: where the ways come from.
        other: a folder of a run of another kind.
        command: a shell command that must never be run.
    """

    def __init__(self, draw: random.Random, other: Path, command: str) -> None:
        self.draw, self.other, self.command = draw, other, command
        self.ways: dict[str, Callable[[Path], object]] = {
            "empty": lambda path: path.write_bytes(b""),
            "cut off": lambda path: path.write_bytes(self._part(path.read_bytes())),
            "random": lambda path: path.write_bytes(draw.randbytes(draw.choice((1, 60, 5000)))),
            "bytes changed": self._flip,
            "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
            "text": lambda path: path.write_text("hello: world\n"),
            "a list": lambda path: path.write_text("[1, 2, 3]\n"),
            "a folder": _folder,
            "missing": lambda path: path.unlink(),
            "a link to itself": _link,
            "a pipe": _pipe,
            "of another run": self._foreign,
            "another file": self._swapped,
            "a tensor": lambda path: torch.save(torch.ones(3), path),
            "a mapping": lambda path: torch.save({"epoch": torch.arange(3), "slope": 5}, path),
            "code": lambda path: torch.save({"state_dict": Harm(command)}, path),
            "values changed": self._change,
            "values changed often": self._change_often,
        }

    def __call__(self, path: Path) -> str:
        """Damage a file, and return how."""
        way = self.draw.choice([*self.ways, *["values changed"] * 6])
        self.ways[way](path)
        return way

    def _part(self, content: bytes) -> bytes:
        return content[: self.draw.randrange(len(content) + 1)]

    def _flip(self, path: Path) -> None:
        content = bytearray(path.read_bytes())
        for _ in range(min(len(content), self.draw.choice((1, 3, 40)))):
            content[self.draw.randrange(len(content))] = self.draw.randrange(256)
        path.write_bytes(content)

    def _foreign(self, path: Path) -> None:
        same = [each for each in self.other.rglob(path.name) if each.is_file()]
        shutil.copy(same[0] if same else self.other / "config.yaml", path)

    def _swapped(self, path: Path) -> None:
        files = sorted(each for each in path.parent.iterdir() if each.is_file())
        path.write_bytes(self.draw.choice(files).read_bytes())

    def _change(self, path: Path) -> None:
        """Put something odd in the place of one value; a file of a kind unknown here stays."""
        if path.suffix in (".ckpt", ".pt"):
            content = torch.load(path, weights_only=False)  # one's own
            torch.save(self._changed(content), path)
        elif path.suffix == ".json":
            path.write_text(json.dumps(self._changed(json.loads(path.read_text()))))
        elif path.suffix == ".yaml":
            path.write_text(yaml.safe_dump(self._changed(yaml.safe_load(path.read_text()))))
        elif path.suffix == ".csv":
            rows = list(csv.reader(io.StringIO(path.read_text())))
            row = self.draw.choice(rows)
            row[self.draw.randrange(len(row))] = str(self.draw.choice(ODD))
            with path.open("w", newline="") as file:
                csv.writer(file).writerows(rows)

    def _change_often(self, path: Path) -> None:
        for _ in range(4):
            self._change(path)

    def _changed(self, value: Any) -> Any:
        """Return a value, or one in it, replaced."""
        if isinstance(value, dict) and value and self.draw.random() < 0.93:
            key = self.draw.choice(list(value))
            if self.draw.random() < 0.15:
                return {name: each for name, each in value.items() if name != key}
            return {**value, key: self._changed(value[key])}
        if isinstance(value, list) and value and self.draw.random() < 0.9:
            place = self.draw.randrange(len(value))
            return [*value[:place], self._changed(value[place]), *value[place + 1 :]]
        if isinstance(value, torch.Tensor) and self.draw.random() < 0.7:
            shape = self.draw.choice(((), (0,), (3,), (2, 2), tuple(value.shape)))
            return torch.full(shape, self.draw.choice((-1, 0, 10**9)), dtype=torch.int64)
        calls = {"class_path": "os.system", "init_args": {"command": self.command}}
        says = {"class_path": "subprocess.getoutput", "init_args": {"cmd": self.command}}
        return self.draw.choice((*ODD, calls, says, "os.system"))


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _link(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)
