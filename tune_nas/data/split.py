"""Stratified split of images."""

from __future__ import annotations

import torch
from torch import Tensor


def stratified(labels: Tensor, n_first: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Split images into two random parts with the same class proportions.

    A class of n_c out of n images contributes n_c · n_first / n to the first part, rounded so that
    the first part has exactly `n_first` (largest remainders first).

    Args:
        labels: Classes of the images, int64, (n,), on the CPU.
        n_first: Size of the first part, in [0, n].
        generator: CPU generator; one permutation is sampled from it.

    Returns:
        The indices of the first and the second part, each ascending.

    Raises:
        ValueError: If `n_first` is out of range.
    """
    n = labels.shape[0]
    if not 0 <= n_first <= n:
        raise ValueError(f"n_first is {n_first}, but must be in [0, {n}]")
    order = torch.randperm(n, generator=generator)
    counts = torch.bincount(labels)
    # Integers, so that rounding cannot depend on the machine: quota = floor(n_c * n_first / n).
    quotas = counts * n_first // max(n, 1)
    remainders = counts * n_first - quotas * n
    missing = n_first - int(quotas.sum())
    quotas[remainders.argsort(descending=True, stable=True)[:missing]] += 1
    # Group the shuffled images by class and count each one's position within its class.
    grouped = order[labels[order].argsort(stable=True)]
    starts = counts.cumsum(0) - counts
    place = torch.arange(n) - starts[labels[grouped]]
    is_first = place < quotas[labels[grouped]]
    return grouped[is_first].sort().values, grouped[~is_first].sort().values
