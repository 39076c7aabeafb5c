"""Training: the step is written in the notebook, `fit` owns the rest and knows nothing of models or losses."""

from deepunsup_helpers.saving import save_model
from deepunsup_helpers.training.accelerators.graphs import GraphedStep, graphed
from deepunsup_helpers.training.checkpoints import load_checkpoint, save_checkpoint
from deepunsup_helpers.training.devices import pick_device, seed_everything
from deepunsup_helpers.training.ema import ema_copy
from deepunsup_helpers.training.fit import evaluate, fit
from deepunsup_helpers.training.history import History, TrainingDiverged
from deepunsup_helpers.training.one_cycle import one_cycle
from deepunsup_helpers.training.predict import predict
from deepunsup_helpers.training.progress import track
from deepunsup_helpers.training.update import update

__all__ = [
    "GraphedStep",
    "History",
    "TrainingDiverged",
    "ema_copy",
    "evaluate",
    "fit",
    "graphed",
    "load_checkpoint",
    "one_cycle",
    "pick_device",
    "predict",
    "save_checkpoint",
    "save_model",
    "seed_everything",
    "track",
    "update",
]
