"""What was compiled is kept where the user's caches are, and is not needed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import wasmtime

from descentlab.internals import graphviz as door

DRAW = """
from descentlab.internals.graphviz import graphviz
svg = graphviz().render("digraph { slope -> loss }", format="svg").decode()
assert svg.count('class="node"') == 2, svg
"""


def draw(folder, **variables):
    """Draw in a process of its own, with a folder for caches."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder), "HOME": str(folder), **variables}
    done = subprocess.run([sys.executable, "-c", DRAW], env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return [
        path for path in Path(folder).rglob("*") if path.is_file() and path.stat().st_size > 1e5
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="the folder has another place")
def test_what_was_compiled_is_kept_and_compiled_anew_where_it_is_damaged(tmp_path):
    (kept,) = draw(tmp_path)
    whole = kept.read_bytes()
    assert draw(tmp_path) == [kept]
    assert kept.read_bytes() == whole
    kept.write_bytes(whole[:1000] + bytes(len(whole) - 1000))
    draw(tmp_path)


def test_nothing_is_kept_without_tricks_or_without_a_folder(tmp_path):
    assert draw(tmp_path, DESCENTLAB_PLAIN="1") == []
    (tmp_path / "file").touch()
    assert draw(tmp_path / "file") == []


def test_the_engine_of_others_is_left_as_it_is(monkeypatch):
    plain = wasmtime.Engine
    door.graphviz()
    assert wasmtime.Engine is plain

    def fails():
        assert wasmtime.Engine is not plain
        raise RuntimeError

    monkeypatch.setattr(door, "SPEED_TRICKS", True)
    monkeypatch.setattr(door, "WasmtimeBackend", fails)
    with pytest.raises(RuntimeError):
        door.graphviz()
    assert wasmtime.Engine is plain
