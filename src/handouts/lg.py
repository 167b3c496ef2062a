"""The exercise: automatic gradient descent. Entries LG-1 and LG-2."""

from .claims import Agreement, Figures
from .entry import Entry
from .lg_runs import ROUNDINGS, TRIALS, norm, square

ENTRIES = (
    Entry(
        "LG-1",
        "θ² from any start, at any rate, for any number of steps",
        (
            *(
                Agreement(
                    f"θ_k from {start} at lr = {rate}",
                    "θ₀ (1 - 2 lr)ᵏ",
                    roundings=ROUNDINGS,
                    derived=True,
                )
                for start, rate, _ in TRIALS
            ),
            Figures("θ_20 from 1.0 at lr = 0.1", "0.0115292", derived=True),
        ),
        "toy/square.yaml",
        square,
    ),
    Entry(
        "LG-2",
        "The squared norm from [1, -1], lr = 0.2, 20 steps",
        (
            Agreement("θ_k", "[1, -1] · 0.6ᵏ", roundings=ROUNDINGS, derived=True),
            Figures("θ_20", "[3.6562e-05, -3.6562e-05]", derived=True),
        ),
        "toy/norm.yaml",
        norm,
    ),
)
