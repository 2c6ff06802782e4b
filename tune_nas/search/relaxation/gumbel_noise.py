"""Gumbel noise, with which the largest of several values is a sample of their softmax."""

from __future__ import annotations

import torch
from torch import Tensor


def gumbel_noise(like: Tensor, generator: torch.Generator) -> Tensor:
    """Sample Gumbel(0, 1) noise with the shape of a tensor.

    argmax(α + noise) is k with probability softmax(α)_k; the n largest are n samples without
    replacement.
    """
    exponential = torch.empty_like(like).exponential_(generator=generator)
    return -exponential.clamp(min=torch.finfo(like.dtype).tiny).log()
