"""Metrics of each epoch's genotype: size and true accuracy; the best one of each size."""

from __future__ import annotations

from tune_nas.benchmark import AUTO, SPACE, BenchmarkTable, find_table, load_benchmark
from tune_nas.checkpoint import State
from tune_nas.config import TrialConfig
from tune_nas.errors import ConfigError
from tune_nas.search.metrics import Metrics
from tune_nas.search.model_size import BEST_BY_SIZE, BestBySize
from tune_nas.search.probes.probe import Probe
from tune_nas.search.statistics import genotype_counts
from tune_nas.search.view import SearchView
from tune_nas.spaces import Genotype, Space, load_space, model_size


class GenotypeMetrics(Probe):
    """Reports metrics of the genotype of each epoch.

    Parameters are counted at the size given by the trial's ``retrain`` section.

    Raises:
        ConfigError: If the table does not belong to the space or cannot be read.
    """

    def __init__(self, search: SearchView) -> None:
        super().__init__(search)
        self.trial, self.space, self.data = search.trial, search.space, search.data
        self._final_space = load_space(self.trial.space.name, self.trial.final_skeleton)
        self.benchmark = _load_benchmark(self.trial, self.space)
        self.best_by_size = BestBySize()
        self._parameters: dict[Genotype, int] = {}

    def after_epoch(self, search: SearchView) -> Metrics:
        """Return the metrics of the epoch's genotype."""
        return self.see(search.genotype, search.epoch, search.metrics["valid_accuracy"])

    def artifacts(self) -> dict[str, str]:
        """Return the best genotype of each size."""
        return {BEST_BY_SIZE: self.best_by_size.to_yaml()}

    def see(self, genotype: Genotype, epoch: int, valid_accuracy: float) -> dict[str, float]:
        """Record an epoch's genotype and return its metrics."""
        self.best_by_size.see(genotype, epoch, valid_accuracy)
        metrics = genotype_counts(genotype)
        metrics["genotype/parameters"] = self._count_parameters(genotype)
        if self.benchmark is not None:
            metrics |= self.benchmark.metrics(genotype.to_nasbench201())
        return metrics

    def _count_parameters(self, genotype: Genotype) -> int:
        if genotype not in self._parameters:
            self._parameters[genotype] = model_size(
                genotype,
                self._final_space,
                image_size=self.data.image_size,
                n_classes=self.data.n_classes,
                in_channels=self.data.in_channels,
                init_channels=self.trial.retrain.init_channels,
                cells=self.trial.retrain.cells,
            ).parameters
        return self._parameters[genotype]

    def state_dict(self) -> State:
        """Return the best genotype of each size."""
        return self.best_by_size.state_dict()

    def load_state_dict(self, state: State) -> None:
        """Restore them; older checkpoints do not name the space."""
        self.best_by_size.load_state_dict(state)
        for entry in self.best_by_size.entries.values():
            entry.setdefault("space", self.space.name)


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
