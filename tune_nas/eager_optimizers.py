"""torch's optimizers without an import of torch's compiler."""

from __future__ import annotations

import torch

from tune_nas.without_compiler import without_compiler


@without_compiler
class EagerSgd(torch.optim.SGD):
    """torch's SGD; its steps are not differentiable."""


@without_compiler
class EagerAdam(torch.optim.Adam):
    """torch's Adam; its steps are not differentiable."""
