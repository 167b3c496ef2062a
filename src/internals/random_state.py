"""The state of the global random generators: kept in a checkpoint, and looked at.

Private interfaces of Lightning: `_collect_rng_states` and `_set_rng_states`, by which `isolate_rng`
keeps and puts back the states of Python, NumPy, torch and CUDA; without them a run that goes on
draws other batches of a shuffled DataLoader, and another dropout, than one that was never stopped
(`random_state`, `put_back`), and whether a loss draws at all is not known (`drawing`).
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from lightning.fabric.utilities.seed import _collect_rng_states, _set_rng_states
from numpy.typing import NDArray
from torch import Tensor


def random_state() -> dict[str, Any]:
    """Return the state of all generators, as tensors and plain values."""
    states = _collect_rng_states()
    version, words, gauss = states["python"]
    kind, keys, *rest = states["numpy"]
    return {
        "torch": states["torch"],
        "cuda": states["torch.cuda"],
        "python": [version, _kept(np.array(words, np.uint32)), gauss],
        "numpy": [kind, _kept(keys), *rest],
    }


def _kept(words: NDArray[np.uint32]) -> Tensor:
    """Return words of 32 bits as a tensor that any version of torch reads."""
    return torch.from_numpy(words.view(np.int32).copy())


def _words(kept: Tensor) -> NDArray[np.uint32]:
    return kept.numpy().view(np.uint32)


def put_back(state: Mapping[str, Any]) -> None:
    """Put the generators into a state that `random_state` returned.

    Those of GPUs are put back where there are as many.
    """
    version, words, gauss = state["python"]
    kind, keys, *rest = state["numpy"]
    here = torch.cuda.device_count() if torch.cuda.is_available() else 0
    gpus = {"torch.cuda": state["cuda"]} if here and len(state["cuda"]) == here else {}
    _set_rng_states(
        {
            "torch": state["torch"].cpu(),
            "python": (version, _words(words).tolist(), gauss),
            "numpy": (kind, _words(keys), *rest),
            **gpus,
        }
    )


def drawing(call: Callable[[], Any]) -> tuple[Any, bool]:
    """Call something, and leave the global random generators as they were before.

    Returns:
        What it gave, and whether it drew from one of them.
    """
    before = _collect_rng_states()
    try:
        given = call()
    finally:
        drew = _plain(_collect_rng_states()) != _plain(before)
        if drew:
            _set_rng_states(before)
    return given, drew


def _plain(states: dict[str, Any]) -> list[Any]:
    """Return the state of the random generators, to be compared with a later one."""
    kind, keys, *rest = states["numpy"]
    torchs = [states["torch"], *states["torch.cuda"]]
    return [states["python"], kind, keys.tobytes(), rest, *(s.numpy().tobytes() for s in torchs)]
