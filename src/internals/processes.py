"""What the project relies on in Lightning where several processes train one model.

- `_signal_connector._sigterm_notifier_fn` and `epoch_loop._broadcast_sigterm_tensor`
  (`stop_together`): what a SIGTERM does, and the exchange at each batch that tells the others;
  without it the handler waits for the other processes while one of them waits for this one;
- `_ChildProcessObserver._terminate_all` (`when_one_dies`): what happens when a process that
  Lightning started has died; without it all are killed without a word;
- `strategy.configure_ddp`, `_start_method` (`leave_unwrapped`): what wraps a module in
  DistributedDataParallel, which gives all processes the parameters of the first; without it a sweep
  is trained in one process.
"""

import subprocess
from collections.abc import Callable
from types import FrameType

import torch
from lightning.fabric.strategies.launchers import subprocess_script
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import distributed


class _Asked:
    """Whether a process was asked to stop: noted when it is, and told to all before a batch.

    It can be pickled, as a trainer whose processes are spawned is.
    """

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.here = False

    def note(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        self.here = True

    def exchange(self) -> None:
        """End this process if any of them was asked."""
        device = self.trainer.strategy.root_device
        flag = torch.tensor([self.here], dtype=torch.int32, device=device)
        distributed.all_reduce(flag, distributed.ReduceOp.MAX)
        if flag.item():
            raise SIGTERMException


def stop_together(trainer: Trainer) -> None:
    """Have all processes of a fit end before the same batch, when any of them gets a SIGTERM.

    A handler only notes the signal; whether there was one is asked of all where a batch begins.
    """
    asked = _Asked(trainer)
    trainer._signal_connector._sigterm_notifier_fn = asked.note  # type: ignore[method-assign,assignment]  # how Lightning takes it
    trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = asked.exchange  # type: ignore[method-assign]  # the same


def when_one_dies(leave: Callable[[int, int], None]) -> None:
    """Have something done when a process that Lightning started has ended with an error.

    Args:
        leave: is given the number of the process and its status, negative for a signal, after the
            others are killed; in a thread of the process that started them.
    """

    def end_all(observer: subprocess_script._ChildProcessObserver) -> None:
        children: list[subprocess.Popen[bytes]] = observer._child_processes
        number, status = next(
            (number, child.returncode)
            for number, child in enumerate(children, start=1)
            if child.returncode
        )
        for child in children:
            child.kill()
        leave(number, status)

    subprocess_script._ChildProcessObserver._terminate_all = end_all  # type: ignore[method-assign,assignment]  # there is no other place


def leave_unwrapped(strategy: DDPStrategy) -> bool:
    """Have a strategy leave the parameters and gradients of each process to that process.

    Returns:
        Whether it does: not where its processes are spawned, and end with the parameters of one.
    """
    if strategy._start_method != "popen":
        return False
    strategy.configure_ddp = lambda: None  # type: ignore[method-assign]  # there is no setting
    return True
