"""The task of analyzing the operations on edges of a finished search."""

from __future__ import annotations

import torch

from tune_nas.config import TrialConfig
from tune_nas.config.decides import Decides
from tune_nas.operation_strength import ANALYSIS_METRIC
from tune_nas.search.analysis import Analysis
from tune_nas.search.edge_operations import count_operations
from tune_nas.search.search_memory import check_search_memory
from tune_nas.tasks.task import Inputs, Task, on_cpu


class AnalysisTask(Task):
    """The strength of each operation on some edges; an epoch analyzes one operation.

    Its trial is that of the search, with ``start_from`` and the section ``analysis`` set.
    """

    name = "analysis"
    section = "analysis"
    starts = Decides.ANALYSIS
    metric = ANALYSIS_METRIC
    finds_genotypes = False

    def epochs(self, trial: TrialConfig) -> int:
        """Return the number of operations; fewer are analyzed if the search has removed some."""
        return count_operations(trial)

    def check(self, trial: TrialConfig, inputs: Inputs) -> None:
        """Load the search once, on the CPU, to check the checkpoint and all edges."""
        Analysis(on_cpu(trial))

    def check_memory(self, trial: TrialConfig, inputs: Inputs) -> None:
        """Estimate the memory of the search without building it."""
        check_search_memory(trial)

    def build(self, trial: TrialConfig, inputs: Inputs, together: object = None) -> Analysis:
        """Return the analysis, with the trial's number of CPU threads.

        Raises:
            ConfigError: If an edge does not exist, or is already decided or pruned.
            CheckpointError: If ``start_from`` is not the end of the search.
        """
        torch.set_num_threads(trial.runtime.threads)
        return Analysis(trial)
