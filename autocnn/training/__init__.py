"""Training: from parameters and data to parameters and a history, all values, nothing changed in
place.
"""

from autocnn.training.evaluation import evaluate, predict
from autocnn.training.loop import Diverged, Moment, Run, train, waited

__all__ = ["Diverged", "Moment", "Run", "evaluate", "predict", "train", "waited"]
