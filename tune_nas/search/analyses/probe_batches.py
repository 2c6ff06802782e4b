"""The batches of analyses: the same in each epoch, and not from the streams of the search."""

from __future__ import annotations

from collections.abc import Iterator

from tune_nas.search.evaluation import unaugmented_batches
from tune_nas.search.objective import SeededBatch
from tune_nas.search.view import SearchView
from tune_nas.seeds import derive_seed

HALVES = ("train", "valid")
"""Halves of the training data: for w, and for α of a bilevel search."""
DEFAULT_BATCHES = 8


def probe_passes(search: SearchView, half: str, batches: int | None) -> Iterator[SeededBatch]:
    """Yield the batches of a half without augmentation, each with the seed of its pass.

    The supernet is set to training mode, so that batch normalization uses batch statistics.

    Args:
        search: The search.
        half: ``train`` or ``valid``.
        batches: Number of batches; None for all images.
    """
    search.supernet.train()
    images = search.data.train if half == "train" else search.data.valid
    for index, batch in enumerate(unaugmented_batches(search, images, batches)):
        yield SeededBatch(*batch, derive_seed(search.trial.seed, f"analysis {half} {index}"))
