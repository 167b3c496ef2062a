"""What the step of an optimizer wants of its closure, told by its signature."""

import inspect
from typing import Any


def takes_closure(optimizer: Any) -> bool:
    """Return whether `step` of an optimizer, or of its class, takes a closure, as Lightning's do.

    >>> import torch
    >>> takes_closure(torch.optim.SGD)
    True
    """
    parameters = inspect.signature(optimizer.step).parameters.values()
    return any(one.name == "closure" or one.kind == one.VAR_KEYWORD for one in parameters)


def needs_closure(optimizer: Any) -> bool:
    """Return whether `step` cannot do without its closure, as it measures the loss anew within.

    >>> import torch
    >>> needs_closure(torch.optim.SGD), needs_closure(torch.optim.LBFGS)
    (False, True)
    """
    closure = inspect.signature(optimizer.step).parameters.get("closure")
    return closure is not None and closure.default is closure.empty
