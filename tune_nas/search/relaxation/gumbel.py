"""One drawn operation per edge, with a gradient for all of them.

Dong and Yang, "Searching for A Robust Neural Architecture in Four GPU Hours" (GDAS), CVPR 2019,
arXiv:1910.04465, Eq. 4 to 6.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tune_nas.search.relaxation.base import Sample, register_relaxation
from tune_nas.search.relaxation.tempered import Tempered


@register_relaxation("gumbel")
class Gumbel(Tempered):
    """The hard choice of a Gumbel-softmax draw; backward, the soft one (straight-through).

    Only the drawn operation is run. The others have weight 0 and enter an edge's sum as that
    number, as in the authors' code: their α gets its gradient without their outputs.
    """

    def sample(self, alphas: Tensor, mask: Tensor, generator: torch.Generator) -> Sample:
        """Draw exactly one-hot weights, the path that they run, and the others' number."""
        soft = self.soft_choice(alphas, mask, generator)
        drawn = torch.zeros_like(mask).scatter(1, soft.argmax(dim=1, keepdim=True), True) & mask
        through = soft - soft.detach()  # 0, with the gradient of the soft choice
        return Sample(
            operations=drawn.to(soft.dtype) + through,
            active=drawn.cpu(),
            offsets=through.masked_fill(drawn, 0.0).sum(dim=1),
        )
