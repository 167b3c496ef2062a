"""Loaders and DataModules: where batches come from."""

from .built_in_data import Line, diabetes, noisy_line
from .csv_layout import CsvFlags
from .files import read_tensor
from .initial_states import InitialStates
from .points import Grid, Points
from .random_batch import RandomBatch
from .regression_data import RegressionData
from .resumable import ResumableData, ResumableLoader
from .splits import split_rows
from .steps import StepLoader, Steps
from .tensor_loader import Batches, TensorLoader, permutation

__all__ = [
    "Batches",
    "CsvFlags",
    "Grid",
    "InitialStates",
    "Line",
    "Points",
    "RandomBatch",
    "RegressionData",
    "ResumableData",
    "ResumableLoader",
    "StepLoader",
    "Steps",
    "TensorLoader",
    "diabetes",
    "noisy_line",
    "permutation",
    "read_tensor",
    "split_rows",
]
