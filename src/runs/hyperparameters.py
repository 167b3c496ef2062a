"""The hyperparameters of a run as a flat list that a table of many runs can have as columns."""

from collections.abc import Mapping
from typing import Any


def flat(values: Mapping[str, Any]) -> dict[str, bool | int | float | str]:
    """Return hyperparameters, nested as a config has them, by short names; the optimizer's first.

    A class counts by its name, its settings beside it; what is null, off or private is left out.

    Args:
        values: as `LightningModule.hparams` keeps them.

    >>> lr = {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.1, "nesterov": False}}
    >>> flat({"features": None, "optimizer": lr, "_class_path": "x.Y", "start": 2.0})
    {'optimizer': 'SGD', 'lr': 0.1, 'start': 2.0}
    """
    found: dict[str, bool | int | float | str] = {}
    for name in sorted(values, key=lambda name: name != "optimizer"):
        if not name.startswith("_"):
            _put(found, name, values[name])
    return found


def _put(found: dict[str, bool | int | float | str], name: str, value: Any) -> None:
    if isinstance(value, Mapping):
        given = value
        if "class_path" in value:
            found[name] = str(value["class_path"]).rpartition(".")[2]
            given = value.get("init_args") or {}
        for key, each in given.items():
            _put(found, f"{name}.{key}" if key in found else str(key), each)
    elif value is not None and value is not False:
        found[name] = value if isinstance(value, bool | int | float | str) else str(value)
