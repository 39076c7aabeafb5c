"""Scores of reconstructions, clusterings and representations: arrays in, plain floats out.

Every function takes torch tensors (any device, any floating type) or NumPy arrays.
"""

from deepunsup_helpers.metrics.clustering import cluster_to_class, clustering_accuracy
from deepunsup_helpers.metrics.coverage import coverage, density, expected_coverage
from deepunsup_helpers.metrics.distributions import PrecisionRecall, frechet_distance, precision_recall
from deepunsup_helpers.metrics.extrapolation import at_infinity
from deepunsup_helpers.metrics.generation import mode_coverage
from deepunsup_helpers.metrics.kernel import kernel_distance
from deepunsup_helpers.metrics.likelihood import active_units, effective_sample_size, importance_log_likelihood
from deepunsup_helpers.metrics.maps import quantisation_error, topographic_error, u_matrix
from deepunsup_helpers.metrics.neighbours import nearest
from deepunsup_helpers.metrics.ranking import ndcg_at, recall_at
from deepunsup_helpers.metrics.reconstruction import mse, psnr, squared_error_per_example, ssim, ssim_window
from deepunsup_helpers.metrics.representation import knn_accuracy, knn_predict, linear_probe
from deepunsup_helpers.metrics.shifted import nearest_shifted

__all__ = [
    "active_units",
    "PrecisionRecall",
    "at_infinity",
    "cluster_to_class",
    "clustering_accuracy",
    "coverage",
    "density",
    "effective_sample_size",
    "expected_coverage",
    "frechet_distance",
    "importance_log_likelihood",
    "kernel_distance",
    "knn_accuracy",
    "knn_predict",
    "linear_probe",
    "mode_coverage",
    "mse",
    "ndcg_at",
    "nearest",
    "nearest_shifted",
    "precision_recall",
    "psnr",
    "quantisation_error",
    "squared_error_per_example",
    "recall_at",
    "ssim",
    "ssim_window",
    "topographic_error",
    "u_matrix",
]
