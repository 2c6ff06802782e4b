"""The metrics of a genotype: operation counts, size, and true accuracies from a table."""

from __future__ import annotations

import json
from functools import lru_cache

from tune_nas.benchmark import AUTO, SPACE, BenchmarkTable, find_table, load_benchmark
from tune_nas.config import TrialConfig
from tune_nas.data.data_source import DataFacts
from tune_nas.errors import ConfigError
from tune_nas.search.statistics import genotype_counts
from tune_nas.spaces import Genotype, ModelSize, Space, load_space, model_size


class GenotypeNumbers:
    """The metrics of a trial's genotypes.

    Parameters and multiply-adds (of one image) are those of the network of the trial's ``retrain``
    section.

    Args:
        trial: The trial.
        space: Its space.
        data: Its images.

    Raises:
        ConfigError: If the table does not belong to the space or cannot be read.
    """

    def __init__(self, trial: TrialConfig, space: Space, data: DataFacts) -> None:
        self._trial, self._data = trial, data
        self._description = json.dumps(
            load_space(trial.space.name, trial.final_skeleton).to_dict(), sort_keys=True
        )
        self._benchmark = _load_benchmark(trial, space)

    def of(self, genotype: Genotype) -> dict[str, float]:
        """Return the metrics of a genotype."""
        metrics = genotype_counts(genotype)
        size = self._size(genotype)
        metrics["genotype/parameters"] = size.parameters
        metrics["genotype/multiply_adds"] = size.multiply_adds
        if self._benchmark is not None:
            metrics |= self._benchmark.metrics(genotype.to_nasbench201())
        return metrics

    def _size(self, genotype: Genotype) -> ModelSize:
        trial, data = self._trial, self._data
        return _size_of(
            *(genotype, trial.space.name, trial.final_skeleton, self._description),
            *(data.image_size, data.n_classes, data.in_channels),
            *(trial.retrain.init_channels, trial.retrain.cells),
        )


@lru_cache(maxsize=4096)
def _size_of(
    genotype: Genotype,
    space: str,
    skeleton: str | None,
    description: str,
    image_size: int | tuple[int, int],
    n_classes: int,
    in_channels: int,
    init_channels: int | None,
    cells: int | None,
) -> ModelSize:
    """Return the size of a genotype's final network; searches of one process find many again.

    Args:
        genotype: The genotype.
        space: Name or file of its space.
        skeleton: Skeleton of the final network; None for that of the space.
        description: The content of the space, which a user may change.
        image_size: Side of the images in pixels, or (height, width).
        n_classes: Number of classes.
        in_channels: Channels of the images.
        init_channels: Channels of the first cell; None for the space's usual size.
        cells: Number of cells; None likewise.
    """
    return model_size(
        genotype,
        load_space(space, skeleton),
        image_size=image_size,
        n_classes=n_classes,
        in_channels=in_channels,
        init_channels=init_channels,
        cells=cells,
    )


def _load_benchmark(trial: TrialConfig, space: Space) -> BenchmarkTable | None:
    table = trial.benchmark.table
    if space.name != SPACE:
        if table in (None, AUTO):
            return None
        raise ConfigError(
            f"benchmark.table is given, but holds no cell of space '{space.name}'; "
            f"it is for space '{SPACE}'"
        )
    path = find_table(table)
    return None if path is None else load_benchmark(path)
