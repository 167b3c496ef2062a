"""`constraints.txt` pins all that the set-up installs."""

import re
import sys
from importlib.metadata import distribution, version

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from pages import ROOT

#: which torch pins itself, by its own metadata, where it is one for GPUs
PINNED_BY_TORCH = re.compile(r"nvidia-|cuda-|triton")


def constraints():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = (line.split("==") for line in lines if not line.startswith("#"))
    return {canonicalize_name(name): Version(number) for name, number in pairs}


def needed_by(name, extras, found):
    """Add a distribution, and all that it needs here, to those found with their extras."""
    key = canonicalize_name(name)
    if key in found and extras <= found[key]:
        return
    found[key] = found.get(key, set()) | extras
    for line in distribution(name).requires or ():
        requirement = Requirement(line)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": each}) for each in {"", *extras}):
            needed_by(requirement.name, requirement.extras, found)


def unpinned(pins):
    """What the set-up needs and has here in no version, or another one, than these."""
    needed = {}
    needed_by("descentlab", {"dev"}, needed)
    return {
        name
        for name in needed.keys() - {"descentlab"}
        if not PINNED_BY_TORCH.match(name)
        and (name not in pins or pins[name].public != Version(version(name)).public)
    }


in_venv = pytest.mark.skipif(
    sys.prefix != str(ROOT / ".venv"), reason="only `make setup` installs by constraints.txt"
)


@in_venv
def test_the_set_up_installs_nothing_that_is_not_pinned():
    assert unpinned(constraints()) == set()


@in_venv
def test_a_missing_pin_and_another_version_are_seen():
    pins = constraints()
    del pins["aiohttp"]
    pins["torch"] = Version("2.12.0")
    assert unpinned(pins) == {"aiohttp", "torch"}


def test_torch_is_pinned_for_every_kind_of_machine():
    assert "torch==2.13.0" in (ROOT / "constraints.txt").read_text().splitlines()
