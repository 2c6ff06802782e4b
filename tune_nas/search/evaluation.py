"""Evaluation of the supernet of a search on the validation half."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

import torch

from tune_nas.data.images import Images
from tune_nas.search.objective import Batch, keeping_statistics
from tune_nas.search.stepping import channels_last
from tune_nas.search.view import SearchView
from tune_nas.seeds import derive_seed
from tune_nas.spaces import MixingWeights
from tune_nas.training import evaluate


def valid_metrics(search: SearchView, expected: MixingWeights) -> dict[str, float]:
    """Return loss and accuracy in percent on the validation half.

    They are those of the supernet at the expected weights or, if the relaxation requires it, at
    weights sampled for each batch. Batch normalization then uses batch statistics, as in GDAS's
    code (D-X-Y/AutoDL-Projects, `search_func`), since the running ones are over all samples. The
    same holds if w has another relaxation than α: the running ones are then over both.
    """
    relaxation = search.relaxation
    if relaxation.evaluates_draws:
        loss, accuracy = search.evaluate(drawn_weights(search), batch_statistics=True)
    else:
        apart = relaxation.for_weights() is not relaxation
        loss, accuracy = search.evaluate(expected, batch_statistics=apart)
    return {"valid_loss": loss, "valid_accuracy": accuracy}


def on_valid_half(
    search: SearchView,
    weights: MixingWeights | Iterator[MixingWeights],
    batches: int | None = None,
    batch_statistics: bool = False,
) -> tuple[float, float]:
    """Return loss and accuracy in percent of the supernet, unchanged, on the validation half.

    Args:
        search: The search.
        weights: Mixing weights, or an iterator over those of each batch.
        batches: Number of batches; None for the whole half.
        batch_statistics: Whether batch normalization uses batch statistics (train mode, as in
            DARTS-PT's code) instead of the running ones.
    """
    supernet = search.supernet
    supernet.train(batch_statistics)
    chosen = unaugmented_batches(search, search.data.valid, batches)
    # Random operations (noise) give the same samples in every evaluation.
    supernet.seed_draws(derive_seed(search.trial.seed, "evaluation"))
    each = itertools.repeat(weights) if isinstance(weights, Mapping) else weights
    with keeping_statistics(supernet):
        return evaluate(lambda images: search.predict(images, next(each)), chosen, search.device)


def unaugmented_batches(
    search: SearchView, images: Images, batches: int | None = None
) -> Iterator[Batch]:
    """Yield batches without augmentation, the same in each call, for evaluations and probes.

    They have the size of the trial's first training batches. The streams of the search are not
    used.

    Args:
        search: The search.
        images: Images of its data, e.g. ``search.data.train`` or ``search.data.valid``.
        batches: Number of batches, spread over the images; None for all images.
    """
    size = search.trial.schedule.batch_size
    if batches is not None:  # from all of them: they may be ordered by class
        images = images[:: max(1, len(images) // (batches * size))]
    stream = search.data.evaluation_batches(images, size)
    yield from map(channels_last, itertools.islice(stream, batches))


@torch.no_grad()
def drawn_weights(search: SearchView) -> Iterator[MixingWeights]:
    """Yield the weights of each batch: the same samples in each evaluation.

    They are those of the relaxation of α, in the form that trains w unless another one does.
    The generator of the search is not used, so that evaluation does not affect the training.
    """
    relaxation = search.relaxation
    if relaxation.config.weights in (None, relaxation.config.kind):
        relaxation = relaxation.for_weights()
    seed = derive_seed(search.trial.seed, "evaluation")
    for batch in itertools.count():
        of_batch = derive_seed(seed, f"batch {batch}")
        yield relaxation.weights(search.alphas, search.betas, of_batch)
