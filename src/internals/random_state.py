"""The state of the global random generators, as plain values for a checkpoint.

Private interfaces of Lightning: `_collect_rng_states` and `_set_rng_states`, by which `isolate_rng`
keeps and puts back the states of Python, NumPy, torch and CUDA; without them a run that goes on
draws other batches of a shuffled DataLoader, and another dropout, than one that was never stopped.
"""

from collections.abc import Mapping
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
