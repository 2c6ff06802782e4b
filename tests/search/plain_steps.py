"""Steps of plain gradient descent in place of an optimizer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tune_nas.search.objective import Gradients


def plain_step(parameters: Sequence[Tensor], rate: float) -> Callable[[Gradients], None]:
    """Return a function that moves parameters by −rate · gradient; None leaves one as it is."""

    def move(gradients: Gradients) -> None:
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients, strict=True):
                if gradient is not None:
                    parameter.sub_(rate * gradient)

    return move
