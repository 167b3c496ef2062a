"""Growth of the time and memory of linear dynamics with the horizon."""

import importlib.util
import math
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from descentlab.modules import LinearDynamics
from descentlab.objectives.linear_dynamics import Memory

from .measure import Row, in_turn, seconds_of

SCRIPTS = Path(__file__).parents[1]

STATES = 1024
#: more states for memory, so that what is remembered outweighs what Python takes and gives back
MANY_STATES = 2**15
HORIZONS = (10**3, 10**4, 10**5, 10**6)
#: the least horizon of which memory is measured
LONG = 10**4

#: the peak of a process's memory at each horizon, after a first backward pass that is not counted
PROBE = """
import sys, torch
from benchmarks.measure import peak_memory
from benchmarks.unroll import gradient
torch.set_num_threads(1)
memory, *horizons = sys.argv[1:]
x0 = torch.ones({states})
gradient(x0, 100, memory)
before = peak_memory()
for horizon in horizons:
    gradient(x0, int(horizon), memory)
    print(peak_memory() - before)
"""


def gradient(x0: Tensor, horizon: int, memory: Memory = "full") -> float:
    """Return the gradient of the module's loss at 0, forward and back through all time steps."""
    module = LinearDynamics(horizon, theta=0.0, memory=memory)
    module.loss((x0,)).backward()  # type: ignore[no-untyped-call]
    return float(module.theta.grad)  # type: ignore[arg-type]


def plain(x0: Tensor, horizon: int) -> float:
    """Return the same by a loop over time in the practical's way."""
    theta = torch.zeros((), requires_grad=True)
    x = x0
    for _ in range(horizon):
        x = x + theta
    ((x - 1) ** 2).mean().backward()  # type: ignore[no-untyped-call]
    return float(theta.grad)  # type: ignore[arg-type]


def lax_scan(x0: Tensor, horizon: int) -> Callable[[], float]:
    """Return the same in JAX, compiled for one horizon."""
    import jax

    start = x0.numpy()

    def loss(theta: float) -> object:
        final = jax.lax.scan(lambda x, _: (x + theta, None), start, length=horizon)[0]
        return ((final - 1) ** 2).mean()

    compiled = jax.jit(jax.grad(loss))
    return lambda: float(compiled(0.0))


def unroll(quick: bool) -> list[Row]:
    """Compare a gradient of ours with a plain loop's, at several horizons.

    Returns:
        A row for each horizon and, in the facts of the last ones, how time and memory grow: the
        slopes of log time and of log memory over log horizon.
    """
    horizons = HORIZONS[:-1] if quick else HORIZONS
    rows, full, checkpointed = [], [], []
    for horizon in horizons:
        seconds = _seconds(horizon, rounds=2 if quick else 5)
        ours, sparing = seconds.pop("full"), seconds.pop("checkpointed")
        full.append(sorted(ours)[len(ours) // 2])
        checkpointed.append(sorted(sparing)[len(sparing) // 2])
        for memory, times in (("full", ours), ("checkpointed", sparing)):
            rows.append(Row.of(f"T = {horizon:,}, memory {memory}", "s a gradient", times, seconds))
    rows[-2].facts["slope of log time over log T"] = slope(horizons, full)
    rows[-1].facts["slope of log time over log T"] = slope(horizons, checkpointed)
    for row, memory in ((rows[-2], "full"), (rows[-1], "checkpointed")):
        row.facts.update(_memory(memory, [h for h in horizons if h >= LONG]))
    return rows


def slope(horizons: Sequence[int], values: Sequence[float]) -> float:
    """Return the least-squares slope of the logarithms."""
    x, y = torch.tensor(horizons).double().log(), torch.tensor(values).double().log()
    x = x - x.mean()
    return float(x @ y / (x @ x))


def _seconds(horizon: int, rounds: int) -> dict[str, list[float]]:
    x0 = torch.full((STATES,), 2.0)  # sums of twos are exact in float32
    runs: dict[str, Callable[[], float]] = {
        "full": lambda: gradient(x0, horizon),
        "checkpointed": lambda: gradient(x0, horizon, "checkpointed"),
        "plain loop": lambda: plain(x0, horizon),
    }
    if importlib.util.find_spec("jax") is not None:
        runs["jax, lax.scan"] = lax_scan(x0, horizon)
        runs["jax, lax.scan"]()
    if horizon < HORIZONS[-1]:  # at the last one a round takes half a minute
        for name, run in runs.items():
            check(name, run(), 2.0 * horizon)
    timed = {name: lambda run=run: seconds_of(run) for name, run in runs.items()}
    return in_turn(timed, rounds, warm_up=False)


def check(name: str, found: float, expected: float) -> None:
    """Make sure that a gradient is that of the closed form, 2T for states that start at 2.

    Raises:
        RuntimeError: if it is not.
    """
    if not math.isclose(found, expected, rel_tol=1e-6):
        raise RuntimeError(f"{name} gives the gradient {found}, and the closed form is {expected}")


def _memory(memory: str, horizons: list[int]) -> dict[str, float]:
    """Return the peaks of memory in MB, and how they grow, measured in a process of its own."""
    words = [sys.executable, "-c", PROBE.format(states=MANY_STATES), memory, *map(str, horizons)]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=SCRIPTS)
    peaks = [max(int(line), 1) for line in done.stdout.split()]
    facts = {
        f"peak memory of {MANY_STATES:,} states at T = {horizon:,}, in MB,": peak / 1e6
        for horizon, peak in zip(horizons, peaks, strict=True)
    }
    start, end, low, high = *horizons[-2:], *peaks[-2:]
    facts["slope of log memory over log T"] = math.log(high / low) / math.log(end / start)
    return facts
