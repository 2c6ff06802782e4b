"""Mixed precision in the training steps of a retraining run."""

from __future__ import annotations

import torch

from tune_nas.stability import experimental


@experimental("Mixed precision in retraining runs", "not yet run on a GPU")
def bfloat16_pass(device: torch.device) -> torch.autocast:
    """Return the context of a forward pass in bfloat16 mixed precision; weights keep their type.

    Args:
        device: Device of the network.
    """
    return torch.autocast(device.type, torch.bfloat16)
