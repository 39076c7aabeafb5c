"""Scores of codebooks whose units lie on a grid (self-organizing maps), and what lies between neighbours."""

import torch
from torch import Tensor

from deepunsup_helpers.metrics._arrays import features
from deepunsup_helpers.metrics.neighbours import nearest


def quantisation_error(x, units) -> float:
    """Mean Euclidean distance from each example to its nearest unit, in the units of x: `quantisation_error(x, som.units)`.

    It falls as units are added, so compare codebooks of equal size.

    Args:
        x: (N, ...), flattened to one row an example.
        units: (K, D), of the same size an example.
    Raises:
        ValueError: sizes differ, or a value is not finite.
    """
    return float(nearest(x, units)[0].mean())


def topographic_error(x, units, places) -> float:
    """Share of examples whose nearest and second nearest unit are no neighbours on the grid: 0 is a map without tears.

    Neighbours lie one step apart along a row or a column; diagonal ones count as torn, where some programs let them pass.

    Args:
        x: (N, ...), flattened to one row an example.
        units: (K, D), K at least 2.
        places: (K, 2), where each unit lies on the grid.
    Raises:
        ValueError: sizes differ, fewer than two units, or a value is not finite.
    Source: Kiviluoto 1996, doi:10.1109/ICNN.1996.548907.

    topographic_error(x, som.units, som.places)
    """
    places = features(places, name="places")
    if len(places) != len(units) or len(places) < 2:
        raise ValueError(f"{len(units)} units and {len(places)} places; expected as many of each, at least two")
    which = nearest(x, units, k=2)[1].to(places.device)
    apart = (places[which[:, 0]] - places[which[:, 1]]).norm(dim=1)
    return float((apart > 1.001).double().mean())


def u_matrix(units, places) -> Tensor:
    """Mean distance from each unit to its neighbours on the grid, (K,): high along the borders between groups.

    Args:
        units: (K, D). places: (K, 2), where each unit lies on the grid; neighbours lie one step apart.
    Raises:
        ValueError: sizes differ, or a value is not finite.
    Source: Ultsch & Siemon 1990, "Kohonen's self organizing feature maps for exploratory data analysis".

    u_matrix(som.units, som.places).reshape(10, 10)
    """
    units, places = features(units, name="units"), features(places, name="places")
    if len(units) != len(places):
        raise ValueError(f"{len(units)} units and {len(places)} places; expected as many of each")
    apart = torch.cdist(places, places, compute_mode="donot_use_mm_for_euclid_dist")
    beside = ((apart > 0.5) & (apart < 1.001)).to(units.dtype)
    distance = torch.cdist(units, units, compute_mode="donot_use_mm_for_euclid_dist")
    return (beside * distance).sum(1) / beside.sum(1).clamp_min(1)
