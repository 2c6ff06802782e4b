"""A penalty on the expected multiply-adds of the supernet, as a term of α's loss.

The form is that of Cai et al., "ProxylessNAS", ICLR 2019, arXiv:1812.00332, Eq. 2 and 3: the cost
of an edge is the mean of its operations' costs under their weights, and its gradient reaches α
through the weights. FBNet (Wu et al., CVPR 2019, arXiv:1812.03443, Eq. 3) has it with latencies.
Multiply-adds instead of latencies, and the normalization, are our choice. A bound is in the code
of DSNAS (Hu et al., CVPR 2020, arXiv:2002.09128), which adds its term while the network exceeds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from tune_nas.search.supernet_size import SupernetSize
from tune_nas.spaces import MixingWeights, Space
from tune_nas.spaces.operation_costs import operation_multiply_adds


@dataclass(frozen=True)
class ExpectedCost:
    """weight · Σ p · c / Σ over edges of max c, over the operations of all edges of all cell types.

    p are the operation weights and c the multiply-adds of the operations in the supernet. The
    quotient is 1 if each edge has its most expensive operation alone, and 0 if none has a
    convolution. Edge weights (β) do not enter.

    Args:
        weight: The factor.
        shares: c / Σ max c by cell type, (edges, n_operations).
        bound: The term is 0 while the quotient is at most this.
    """

    weight: float
    shares: Mapping[str, Tensor]
    bound: float = 0.0

    def __call__(self, mixing: MixingWeights) -> Tensor:
        """Return the term for expected mixing weights, ()."""
        terms = [(mixing[name].operations * share).sum() for name, share in self.shares.items()]
        share = torch.stack(terms).sum()
        if self.bound > 0:
            share = torch.where(share > self.bound, share, 0.0)
        return self.weight * share


def expected_cost(
    weight: float,
    space: Space,
    size: SupernetSize,
    image_size: int,
    like: Tensor,
    bound: float = 0.0,
) -> ExpectedCost | None:
    """Return the term of a supernet; None if its weight is 0.

    Args:
        weight: The factor.
        space: The space.
        size: The size of the supernet.
        image_size: Side of the images, in pixels.
        like: A tensor with the type and the device of the operation weights.
        bound: The share of the multiply-adds up to which the term is 0.
    """
    if weight == 0:
        return None
    costs = operation_multiply_adds(space, image_size=image_size, **size._asdict())
    most = sum(float(cost.amax(dim=1).sum()) for cost in costs.values())
    # Without any convolution in the space, all costs are 0.
    shares = {name: (cost / (most or 1.0)).to(like) for name, cost in costs.items()}
    return ExpectedCost(weight, shares, bound)
