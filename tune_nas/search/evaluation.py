"""What the valid accuracy of a search is the accuracy of."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

import torch

from tune_nas.search.objective import keeping_statistics
from tune_nas.search.stepping import channels_last
from tune_nas.search.view import SearchView
from tune_nas.seeds import derive_seed
from tune_nas.spaces import MixingWeights
from tune_nas.training import evaluate


def valid_metrics(search: SearchView, expected: MixingWeights) -> dict[str, float]:
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


def on_valid_half(
    search: SearchView,
    weights: MixingWeights | Iterator[MixingWeights],
    batches: int | None = None,
    batch_statistics: bool = False,
) -> tuple[float, float]:
    """Return loss and accuracy in percent of the supernet on the valid half; it stays as it is.

    Args:
        search: The search.
        weights: Mixing weights, or an iterator that has those of each batch.
        batches: How many batches; None for the whole half.
        batch_statistics: Whether batch normalisation uses those of the batch (train mode, as
            DARTS-PT's code does), and not the running ones.
    """
    supernet = search.supernet
    supernet.train(batch_statistics)
    images, size = search.data.valid, search.trial.schedule.batch_size
    if batches is not None:  # from the whole half: it may be in the order of the classes
        images = images[:: max(1, len(images) // (batches * size))]
    stream = search.data.evaluation_batches(images, size)
    chosen = map(channels_last, itertools.islice(stream, batches))
    # Operations that draw (noise) draw the same in every evaluation.
    supernet.seed_draws(derive_seed(search.trial.seed, "evaluation"))
    each = itertools.repeat(weights) if isinstance(weights, Mapping) else weights
    with keeping_statistics(supernet):
        return evaluate(lambda images: search.predict(images, next(each)), chosen, search.device)


@torch.no_grad()
def drawn_weights(search: SearchView) -> Iterator[MixingWeights]:
    """Yield the weights of one batch after the other: the same draws in each evaluation.

    Nothing comes from the search's own generator, so evaluation changes nothing of the training.
    """
    seed = derive_seed(search.trial.seed, "evaluation")
    for batch in itertools.count():
        of_batch = derive_seed(seed, f"batch {batch}")
        yield search.relaxation.weights(search.alphas, search.betas, of_batch)
