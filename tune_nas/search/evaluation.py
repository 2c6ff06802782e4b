"""What the valid accuracy of a search is the accuracy of."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch

from tune_nas.seeds import derive_seed
from tune_nas.spaces import MixingWeights

if TYPE_CHECKING:
    from tune_nas.search.search import Search


def valid_metrics(search: Search, expected: MixingWeights) -> dict[str, float]:
    """Return loss and accuracy in percent on the valid half.

    They are those of the supernet at the expected weights or, where the relaxation says so, at
    weights that are drawn for each batch. Batch normalisation then uses the statistics of the
    batch, as GDAS's code does (D-X-Y/AutoDL-Projects, `search_func`): the running ones are of all
    draws, not of this one.
    """
    if search.relaxation.evaluates_draws:
        loss, accuracy = search.evaluate(drawn_weights(search), batch_statistics=True)
    else:
        loss, accuracy = search.evaluate(expected)
    return {"valid_loss": loss, "valid_accuracy": accuracy}


@torch.no_grad()
def drawn_weights(search: Search) -> Iterator[MixingWeights]:
    """Yield the weights of one batch after the other: the same draws in each evaluation.

    Nothing comes from the search's own generator, so evaluation changes nothing of the training.
    """
    seed = derive_seed(search.trial.seed, "evaluation")
    for batch in itertools.count():
        of_batch = derive_seed(seed, f"batch {batch}")
        yield search.relaxation.weights(search.alphas, search.betas, of_batch)
