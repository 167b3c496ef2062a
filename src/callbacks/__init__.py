"""Callbacks: what watches, keeps, times and draws a run, on any LightningModule."""

from .accelerator_timer import AcceleratorTimer
from .batch_loss import BatchLoss
from .best_parameters import BestParameters
from .fit_picture import FitPicture
from .gradient_audit import GradientAudit
from .gradient_statistics import GradientStatistics
from .graph_export import GraphExport
from .instrument import Instrument
from .learning_curves import LearningCurves
from .parity import Parity
from .progress import Progress
from .stability import Stability
from .summary import Summary
from .trajectory import Trajectory

__all__ = [
    "AcceleratorTimer",
    "BatchLoss",
    "BestParameters",
    "FitPicture",
    "GradientAudit",
    "GradientStatistics",
    "GraphExport",
    "Instrument",
    "LearningCurves",
    "Parity",
    "Progress",
    "Stability",
    "Summary",
    "Trajectory",
]
