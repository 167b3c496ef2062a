"""Several processes of one command: one of them speaks, and none outlives the others for long."""

import os
import re
import signal
import threading
import time

from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch import Trainer

from ..errors import UsageError
from ..internals.processes import stop_together, when_one_dies

#: seconds that a process gets to end by itself when another has ended
GRACE = 10.0
#: what tells a process that neither torchrun nor a cluster has started of the other nodes
OF_NODES = {"MASTER_ADDR", "NODE_RANK", "GROUP_RANK"}
#: what started this process
PARENT = os.getppid()
#: what the backends of torch.distributed say when another process is gone
LOST = re.compile(r"gloo|nccl|connection (closed|reset)|broken pipe", re.IGNORECASE)


def local_rank() -> int:
    """Return the number of this process among those of one command on this machine, from 0."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def speaks() -> bool:
    """Return whether this process says what went wrong, which all of them find.

    It is the first, and the second where the first was killed.
    """
    return local_rank() == 0 or (local_rank() == 1 and os.getppid() != PARENT)


def has_lost_another(error: BaseException) -> bool:
    """Return whether an error is that another process is gone."""
    return isinstance(error, RuntimeError) and LOST.search(str(error)) is not None


def join(trainer: Trainer) -> None:
    """Have the processes of a fit, if there are several, stop together and die together.

    Raises:
        UsageError: if other nodes are to take part, and nothing says where they are.
    """
    if trainer.world_size == 1:
        return
    environment = getattr(trainer.strategy, "cluster_environment", None)
    by_hand = isinstance(environment, LightningEnvironment) and not OF_NODES & os.environ.keys()
    if trainer.num_nodes > 1 and by_hand:
        raise UsageError(
            f"--trainer.num_nodes {trainer.num_nodes}: this process was started alone, and would "
            "wait for the others: start it on each node by torchrun or SLURM"
        )
    stop_together(trainer)
    when_one_dies(_leave_for)
    if local_rank() > 0:
        threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this process a while after the one that started it has ended."""
    while os.getppid() == PARENT:
        time.sleep(1.0)
    _leave(0, "")


def _leave_for(number: int, status: int) -> None:
    """End the process that started the others, one of which has died."""
    _leave(number, f" by {signal.Signals(-status).name}" if status < 0 else f", status {status}")


def _leave(number: int, how: str) -> None:
    time.sleep(GRACE)  # where this process finds an error of its own, it ends with that
    if speaks():
        line = f"descentlab: error: process {number} of the run was ended{how}, and the others too"
        os.write(2, f"{line}: --traceback shows an error of its own\n".encode())
    os._exit(1)
