"""The computational graph of the first loss, as a picture."""

from pathlib import Path

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from ..drawing.graphs import GraphSizeError, computational_graph, nodes, to_png, to_svg
from ..errors import UsageError
from ..internals.lightning import call_again, pass_over
from ..runs.files import write_whole
from ..runs.folder import goes_on, keep_picture, run_to_write, warn_unwritten
from .instrument import Instrument

_FIRST_LOSS = "on_before_backward"


class GraphExport(Instrument):
    """Draw the graph of the first batch's loss: `graphs/loss.dot`, `.svg`, `.png`, and TensorBoard.

    At the first backward of a fit, automatic or manual, only the DOT text is made and written; then
    the hook is passed over, so that the updates after it cost nothing. The picture is painted when
    the fit ends, also by an exception. What Lightning itself adds to a loss (the division by
    `accumulate_grad_batches`, the scale of 16-bit training) is left out.

    Args:
        attributes: show what each operation recorded besides tensors.
        saved: show the tensors that each operation saved for backward.
        max_nodes: a graph with more is written as DOT, but not painted.

    Raises:
        UsageError: if max_nodes is less than 1.
    """

    def __init__(self, attributes: bool = False, saved: bool = False, max_nodes: int = 300) -> None:
        if max_nodes < 1:
            raise UsageError(f"max_nodes must be at least 1, and {max_nodes} was given")
        self.attributes = attributes
        self.saved = saved
        self.max_nodes = max_nodes
        self._folder = Path()
        self._dot: str | None = None
        self._waits = True  # for the first loss

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Wait for the first loss, in the one process that writes files."""
        self._dot = None
        run = run_to_write(trainer)
        if run is not None:
            self._folder = run.graphs
            if goes_on(trainer):  # maybe without a loss to come
                self._dot = _drawn_before(run.graphs)
        compiled = getattr(pl_module, "compiles", False)  # listening would have updates uncompiled
        self._waits = run is not None and not (compiled and self._dot)
        (call_again if self._waits else pass_over)(self, _FIRST_LOSS)

    def on_before_backward(
        self, trainer: Trainer, pl_module: LightningModule, loss: Tensor
    ) -> None:
        """Write the DOT text of the first loss."""
        if not self._waits:
            return
        self._waits = False
        pass_over(self, _FIRST_LOSS)
        try:
            self._dot = computational_graph(
                loss,
                dict(pl_module.named_parameters()),
                attributes=self.attributes,
                saved=self.saved,
                without=_added_by_lightning(trainer, pl_module),
            )
            self._folder.mkdir(parents=True, exist_ok=True)
            write_whole(self._folder / "loss.dot", self._dot)
        except Exception as error:  # a picture is never worth a run
            warn_unwritten("The graph of the loss was not written, and training goes on", error)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Paint the picture."""
        self._paint(trainer)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Paint the picture of a run that ends before its time."""
        self._paint(trainer)

    def _paint(self, trainer: Trainer) -> None:
        dot, self._dot = self._dot, None
        if dot is None:
            return
        try:
            size = sum(nodes(dot).values())
            if size > self.max_nodes:
                rank_zero_info(
                    f"The graph of the loss has {size} nodes, more than max_nodes={self.max_nodes},"
                    " so it is not drawn: raise max_nodes, or run `dot -Tsvg "
                    f"{self._folder / 'loss.dot'}`."
                )
                return
            svg = to_svg(dot)
            files = {"svg": svg.encode(), "png": to_png(svg)}
            keep_picture(trainer, self._folder / "loss", files, tag="picture/graph")
        except GraphSizeError as error:
            rank_zero_info(f"{error} It is {self._folder / 'loss.dot'}.")
        except Exception as error:  # a picture is never worth a run
            warn_unwritten("The graph of the loss was not drawn; its .dot is there", error)


def _drawn_before(folder: Path) -> str | None:
    """Return the DOT text of a run that goes on; None where there is none."""
    try:
        return (folder / "loss.dot").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _added_by_lightning(trainer: Trainer, pl_module: LightningModule) -> tuple[str, ...]:
    """Return the operations that Lightning puts after the module's own loss, outermost first."""
    scaled = getattr(trainer.precision_plugin, "scaler", None) is not None
    divided = pl_module.automatic_optimization
    return ("MulBackward0",) * scaled + ("DivBackward0",) * divided
