"""Many updates of a sweep in one turn of the training loop."""

from functools import partial
from typing import Any, Literal

from ..internals.lightning import epoch_share
from ..modules.chunks import ChunkDescent, Context, Update
from ..modules.one_by_one import why_heard


class SweepTurns(ChunkDescent):
    """Makes the updates of a turn as a sweep's training step makes them.

    An epoch's first update is left to Lightning: with it a group of members may begin.

    Args:
        sweep: in a fit.
        base: the class that has the training step.
        chunk: how many updates a turn has at most; `auto` for as many as take 0.2 s.
    """

    def __init__(self, sweep: Any, base: type, chunk: int | Literal["auto"]) -> None:
        super().__init__(sweep, base, chunk)
        self.sweep = sweep

    def updates(self, most: int) -> int:
        """Return how many updates to make in the next turn; below 2 leaves it to Lightning."""
        return super().updates(most if epoch_share(self.sweep.trainer) else 1)

    def reason(self) -> str | None:
        """Return why something might listen within an update, or None."""
        return why_heard(self.sweep, self.base)

    def update(self, of_loss: Context) -> Update:
        """Return what makes an update of all members, and returns the least of their losses."""
        return partial(self.sweep.update, step=self.optimizer.step)

    def step_schedulers(self) -> None:
        """Step none: a sweep has none."""
