"""What a process has once, that a function may leave changed behind it."""

import logging
import os
import random
import signal
import sys
import warnings

import matplotlib
import numpy as np
import torch


def state():
    """All of it, to be compared with what it is later."""
    loggers = {
        name: logger.level
        for name, logger in logging.root.manager.loggerDict.items()
        if isinstance(logger, logging.Logger)
    }
    return {
        "python": random.getstate(),
        "numpy": [np.array(part).tolist() for part in np.random.get_state()],  # noqa: NPY002
        "torch": torch.get_rng_state().tolist(),
        "dtype": torch.get_default_dtype(),
        "threads": torch.get_num_threads(),
        "gradients": torch.is_grad_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "benchmark": torch.backends.cudnn.benchmark,
        "warnings": (list(warnings.filters), warnings.showwarning, warnings.formatwarning),
        "loggers": {"root": logging.root.level, **loggers},
        "handlers": list(logging.root.handlers),
        "signals": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "matplotlib": dict(matplotlib.rcParams),
        "folder": os.getcwd(),
        "environment": dict(os.environ),
        "imports": (list(sys.path), list(sys.meta_path)),
        "streams": (sys.stdout, sys.stderr, sys.excepthook),
    }


def changed(before, after):
    """The names of what is another."""
    return [name for name in before if before[name] != after[name]]


def differing_files(ours, theirs):
    """The files that two runs have not alike; of what holds times the rest is compared."""
    names = [
        {
            path.relative_to(folder).as_posix()
            for path in folder.rglob("*")
            if path.is_file() and "tfevents" not in path.name
        }
        for folder in (ours, theirs)
    ]
    timed = {"timing.json", "summary.json", "report.html", "test.json"}
    found = names[0] ^ names[1]
    for name in (names[0] & names[1]) - timed:
        same = (
            _same_state(ours / name, theirs / name)
            if name.endswith(".ckpt")
            else (ours / name).read_bytes() == (theirs / name).read_bytes()
        )
        found |= set() if same else {name}
    return found


def _same_state(*paths):
    first, second = (torch.load(path, weights_only=True) for path in paths)
    parts = ("state_dict", "optimizer_states", "epoch", "global_step")
    return all(repr(first[part]) == repr(second[part]) for part in parts) and all(
        torch.equal(first["state_dict"][name], second["state_dict"][name])
        for name in first["state_dict"]
    )
