"""The metrics of a genotype: operation counts, size, and true accuracies from a table."""

from __future__ import annotations

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
        self._final_space = load_space(trial.space.name, trial.final_skeleton)
        self._benchmark = _load_benchmark(trial, space)
        self._sizes: dict[Genotype, ModelSize] = {}

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
        if genotype not in self._sizes:
            self._sizes[genotype] = model_size(
                genotype,
                self._final_space,
                image_size=self._data.image_size,
                n_classes=self._data.n_classes,
                in_channels=self._data.in_channels,
                init_channels=self._trial.retrain.init_channels,
                cells=self._trial.retrain.cells,
            )
        return self._sizes[genotype]


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
