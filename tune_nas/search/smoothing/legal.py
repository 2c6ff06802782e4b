"""Two mappings to valid operation weights: by scaling, and by projection."""

from __future__ import annotations

import torch
from torch import Tensor


def scale_to_sum(weights: Tensor, total: Tensor) -> Tensor:
    """Clip weights (edges, operations) to [0, 1] and scale them to each edge's sum, (edges, 1).

    If all weights of an edge become 0, its largest weight gets the whole sum.
    """
    cut = weights.clamp(0.0, 1.0)
    sums = cut.sum(dim=1, keepdim=True)
    largest = torch.zeros_like(weights).scatter(1, weights.argmax(dim=1, keepdim=True), 1.0)
    return torch.where(sums > 0, cut / sums.where(sums > 0, 1.0), largest) * total


def project(weights: Tensor, low: Tensor, high: Tensor, total: Tensor) -> Tensor:
    """Return the nearest x with low ≤ x ≤ high and the sum ``total`` on each edge.

    It is x = clamp(weights − μ, low, high), with one μ per edge, found by bisection.

    Args:
        weights: (edges, operations).
        low: Lower bounds, likewise.
        high: Upper bounds, likewise.
        total: (edges, 1), between the sums of the bounds.
    """
    values, least, most = weights.double(), low.double(), high.double()
    below = (values - most).min(dim=1, keepdim=True).values  # as μ: every entry at its upper bound
    above = (values - least).max(dim=1, keepdim=True).values  # every entry at its lower bound
    for _ in range(60):
        middle = (below + above) / 2
        exceeds = (values - middle).clamp(least, most).sum(dim=1, keepdim=True) > total
        below, above = middle.where(exceeds, below), above.where(exceeds, middle)
    return (values - (below + above) / 2).clamp(least, most).to(weights.dtype)
