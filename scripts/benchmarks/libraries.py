"""What a user would take in place of a loop: scikit-learn and Keras, on the same batches."""

import importlib.util
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import SGDRegressor

from descentlab.datamodules import permutation

from .loops import LEARNING_RATE, SEED, Outputs, Problem

SCIKIT, KERAS = "scikit-learn, SGDRegressor", "Keras on JAX"
#: they keep no loss of single updates
OF_EPOCHS = (SCIKIT, KERAS)

Arrays = dict[str, list[NDArray[np.float32]]]


def _arrays(problem: Problem) -> Arrays:
    return {name: [part.numpy() for part in problem.rows(name)] for name in ("train", "val")}


def scikit(problem: Problem, epochs: int) -> Outputs:
    """Fit by `SGDRegressor`, whose batches are of one row each; it takes half the squared error.

    Raises:
        ValueError: if the problem has other batches.
    """
    if problem.batch_size != 1:
        raise ValueError(f"SGDRegressor has batches of one row, not of {problem.batch_size}")
    arrays, kept = _arrays(problem), Outputs()
    line = SGDRegressor(
        penalty=None, learning_rate="constant", eta0=2 * LEARNING_RATE, shuffle=False
    )
    for epoch in range(epochs):
        order = permutation(SEED, epoch, len(arrays["train"][0])).numpy()
        line.partial_fit(*(part[order] for part in arrays["train"]))
        errors = (line.predict(x) - y for x, y in arrays.values())
        train, val = (float((each**2).mean()) for each in errors)
        kept.epoch_losses.append((train, val))
        kept.parameters.append([torch.tensor(line.coef_), torch.tensor(line.intercept_[0])])
    return kept


def has_keras() -> bool:
    """Return whether Keras and JAX are installed."""
    return all(importlib.util.find_spec(name) is not None for name in ("keras", "jax"))


def keras_fit(problem: Problem) -> Callable[[int], Outputs]:
    """Return a fit by Keras, with JAX: `model.fit` over a dataset, in the order of each epoch."""
    os.environ["KERAS_BACKEND"] = "jax"
    import keras

    arrays = _arrays(problem)

    class Batches(keras.utils.PyDataset):  # type: ignore[misc]  # has no types
        """The batches of one epoch after the other."""

        def order(self, epoch: int) -> None:
            """Put the rows in the order of an epoch; Keras ends one before it begins the first."""
            rows = permutation(SEED, epoch, len(arrays["train"][0])).numpy()
            self.x, self.y = (part[rows] for part in arrays["train"])

        def __len__(self) -> int:
            return len(self.x) // problem.batch_size

        def __getitem__(self, number: int) -> tuple[Any, Any]:
            rows = slice(number * problem.batch_size, (number + 1) * problem.batch_size)
            return self.x[rows], self.y[rows]

    class Keeping(keras.callbacks.Callback):  # type: ignore[misc]
        """Keep what the others keep at an epoch's end."""

        def __init__(self, kept: Outputs, batches: Batches) -> None:
            super().__init__()
            self.kept, self.batches = kept, batches

        def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            self.batches.order(epoch)

        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            sets = ((x, y, len(x)) for x, y in arrays.values())
            train, val = (float(self.model.evaluate(*each, verbose=0)) for each in sets)
            self.kept.epoch_losses.append((train, val))
            line = [torch.tensor(each.value.tolist()) for each in self.model.weights]
            self.kept.parameters.append([line[0].reshape(1), line[1].reshape(())])

    def run(epochs: int) -> Outputs:
        kept, batches = Outputs(), Batches()
        batches.order(0)
        model = keras.Sequential([keras.layers.Dense(1, kernel_initializer="zeros")])
        model.compile(keras.optimizers.SGD(LEARNING_RATE), "mean_squared_error")
        keeping = Keeping(kept, batches)
        model.fit(batches, epochs=epochs, verbose=0, shuffle=False, callbacks=[keeping])
        return kept

    return run
