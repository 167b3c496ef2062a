"""What a page of the documentation holds: blocks of code, commands with what they show, links."""

import io
import re
import shlex
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[1]
ENOUGH = "10"  # epochs of the long experiment where its output is not shown
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


@dataclass(frozen=True)
class Block:
    """A fenced block of code.

    Args:
        language: the word after the fence.
        text: the lines between the fences.
        line: the number of the first fence's line.
    """

    language: str
    text: str
    line: int

    @property
    def path(self):
        """The file that the block is, if its first line is a comment that names one."""
        found = re.match(r"# ([\w./-]+\.(?:py|yaml))\n", self.text)
        return found and found[1]

    @property
    def content(self):
        """The text of that file."""
        return self.text.split("\n", 1)[1]


def blocks(text):
    """Return the fenced blocks of a page, in order."""
    found, start, language, lines = [], 0, "", []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.startswith("```"):
            lines.append(line)
        elif start:
            found.append(Block(language, "\n".join(lines) + "\n", start))
            start = 0
        else:
            start, language, lines = number, line[3:].strip(), []
    assert not start, f"the block of line {start} has no end"
    return found


def commands(block):
    """Return the commands of a console block, each with the lines that it is said to print."""
    found = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif line.strip():
            assert found, f"line {block.line}: output before the first command"
            found[-1][1].append(line)
    return found


def recipe(target, makefile):
    """Return the one command of a make target, or None if it does not start `descentlab`."""
    found = re.search(rf"^{re.escape(target)}:.*\n(?:\t@(.*)$)?", makefile, re.M)
    assert found, f"make {target}: there is no such target"
    word, _, rest = (found[1] or "").partition(" ")
    return f"descentlab {rest}" if word == "$(BIN)/descentlab" else None


def reproduction(command):
    """Return the words for `scripts/reproduce.py` of a command, or None if it is another."""
    start = "python scripts/reproduce.py "
    return shlex.split(command.removeprefix(start)) if command.startswith(start) else None


def words_of(command, makefile):
    """Return the words for `descentlab` of a command, or None for one that is not run here."""
    if command.startswith("make "):
        command = recipe(command.split()[1], makefile) or ""
    for start in ("descentlab ", "python -m descentlab "):
        if command.startswith(start):
            return shlex.split(command)[len(start.split()) :]
    assert not command, f"{command}: no command of this project"
    return None


def shorter(command):
    """Return the words that make a command's run as short as will do; see `ENOUGH`."""
    long = "split.yaml" in command and "max_epochs" not in command
    return ["--trainer.max_epochs", ENOUGH] if long else []


def links(text):
    """Return the targets of a page's links and pictures that lie in the project."""
    outside = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    targets = re.findall(r"\]\(([^)\s]+)\)", outside)
    return [each.partition("#")[0] for each in targets if "://" not in each and each[0] != "#"]


def same_line(shown, printed):
    """Whether a line is what was printed, times, devices and each number's last digit apart."""
    ours, theirs = _masked(shown).split(), _masked(printed).split()
    return len(ours) == len(theirs) and all(map(_same_word, ours, theirs))


def _masked(line):
    line = re.sub(r"[\d.]+ (s|µs)\b", r"TIME \1", line)
    line = re.sub(r" on (cpu|cuda|mps)\b.*", " on DEVICE", line)
    return re.sub(r"\S*/(?=(tensorboard|descentlab) )", "", line)


def _same_word(shown, printed):
    try:
        ours, theirs = Decimal(shown.strip("[],")), Decimal(printed.strip("[],"))
        unit = Decimal(1).scaleb(ours.as_tuple().exponent) if "." in shown else 0
        return abs(ours - theirs) <= unit  # the last digit, as another processor rounds it
    except (InvalidOperation, TypeError):  # words, and what is not finite
        return shown == printed


def same_picture(saved, anew):
    """Whether two PNG files show the same, to 0.05 of 255 on the mean of all pixels."""
    ours, theirs = (
        np.asarray(Image.open(io.BytesIO(each)).convert("RGB"), float) for each in (saved, anew)
    )
    return ours.shape == theirs.shape and float(np.abs(ours - theirs).mean()) <= 0.05
