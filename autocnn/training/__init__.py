"""Training: from parameters and data to trained parameters and a history.

Pure functions: nothing that is passed in is changed.
"""

from autocnn.deprecation import renamed_names
from autocnn.inspection.diagnose import Diverged
from autocnn.training.convergence import ConvergenceWarning, Diagnosis
from autocnn.training.evaluation import evaluate, predict
from autocnn.training.loop import train
from autocnn.training.range_test import RateSearch, lr_find
from autocnn.training.state import Run, TrainState, epochs_since_best

__all__ = [
    "ConvergenceWarning",
    "Diagnosis",
    "Diverged",
    "RateSearch",
    "Run",
    "TrainState",
    "epochs_since_best",
    "evaluate",
    "lr_find",
    "predict",
    "train",
]

__getattr__ = renamed_names(
    __name__,
    {
        "Moment": "autocnn.training.TrainState",
        "waited": "autocnn.training.epochs_since_best",
    },
)
