"""Whether two runs left the same: every file of their folders, what tells the time aside."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

#: what of a file tells the time
CLOCKS = frozenset(("seconds", "time", "timestamp"))
#: the files that hold nothing else, or the earlier settings of a run that went on
OTHER_THAN = ("timing.json", "config.[0-9]*.yaml", "events.out.tfevents.*")
PICTURES = (".png", ".svg", ".dot", ".html")  # the last tells the command and the time, too


def differences(found: Path, expected: Path) -> list[str]:
    """Compare the folders of two runs.

    Args:
        found: of a run that was stopped and went on.
        expected: of one that never was.

    Returns:
        A line for every file that is missing, left over, or differs; for every folder of which
        TensorBoard reads other scalars.
    """
    ours, theirs = _files(found), _files(expected)
    lines = [f"{path} is missing" for path in sorted(theirs - ours)]
    lines += [f"{path} is left over" for path in sorted(ours - theirs)]
    for path in sorted(ours & theirs):
        if path.suffix not in PICTURES and _content(found / path) != _content(expected / path):
            lines.append(f"{path} differs{_where(found / path, expected / path)}")
    for folder in sorted({path.parent for path in expected.rglob("events.out.tfevents.*")}):
        place = folder.relative_to(expected)
        lines += _other_scalars(place, scalars(found / place), scalars(folder))
    return lines


def _files(folder: Path) -> set[Path]:
    return {
        path.relative_to(folder)
        for path in folder.rglob("*")
        if path.is_file() and not any(path.match(pattern) for pattern in OTHER_THAN)
    }


def _content(path: Path) -> Any:
    if path.suffix in (".pt", ".ckpt"):
        return plain(torch.load(path, map_location="cpu", weights_only=True))
    if path.suffix == ".yaml":  # a comment is the command, which is another where a run goes on
        return plain(yaml.safe_load(path.read_text(encoding="utf-8")))
    if path.suffix == ".json":
        return plain(json.loads(path.read_text()))
    return path.read_bytes()


def _where(found: Path, expected: Path) -> str:
    """Tell the first place in which two files differ."""
    one, other = _content(found), _content(expected)
    if isinstance(one, bytes):
        ours, theirs = one.split(b"\n"), other.split(b"\n")
        pairs = zip(ours, theirs, strict=False)
        number = next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(ours), len(theirs)))
        return f" from line {number + 1} of {len(theirs)} on, {len(ours)} found"
    return f" in {_path_of(one, other)}"


def _path_of(one: Any, other: Any) -> str:
    if isinstance(one, dict) and isinstance(other, dict):
        for key in [*one, *other]:
            if key not in one or key not in other or one[key] != other[key]:
                return f"{key}.{_path_of(one.get(key), other.get(key))}"
    return f"{str(one)[:60]} for {str(other)[:60]}"


def plain(value: Any) -> Any:
    """Return a value as one that `==` compares bit for bit, its clocks left out."""
    if isinstance(value, Tensor):
        number = value.detach().contiguous()
        return (str(value.dtype), tuple(value.shape), number.reshape(-1).view(torch.uint8).tolist())
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items() if key not in CLOCKS}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [plain(each) for each in value]
    return repr(value) if isinstance(value, float) else value  # so that NaN is itself


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Return every scalar of the event files in a folder, as TensorBoard reads them."""
    if not folder.is_dir():
        return {}
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


def _other_scalars(
    place: Path,
    found: Mapping[str, list[tuple[int, float]]],
    expected: Mapping[str, list[tuple[int, float]]],
) -> list[str]:
    return [
        f"{place}: TensorBoard's {tag} has {len(found.get(tag, []))} values, others than the "
        f"{len(expected.get(tag, []))} of a run that was never stopped"
        for tag in sorted({*found, *expected})
        if repr(found.get(tag)) != repr(expected.get(tag))  # NaN is itself
    ]
