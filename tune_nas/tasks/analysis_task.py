"""The task of analyzing a search."""

from __future__ import annotations

import torch

from tune_nas.config import TrialConfig
from tune_nas.config.analysis_config import BY_OPERATION
from tune_nas.config.decides import Decides
from tune_nas.operation_strength import ANALYSIS_METRIC
from tune_nas.search.analysis import Analysis
from tune_nas.search.edge_operations import count_operations
from tune_nas.search.measured_analysis import MeasuredAnalysis, check_analysis
from tune_nas.search.search_memory import check_search_memory
from tune_nas.tasks.task import Inputs, Task, on_cpu


class AnalysisTask(Task):
    """An analysis of a search: one epoch measures a checkpoint.

    In the kinds ``strength`` and ``discretization``, an epoch analyzes one operation on an edge.

    Its trial is that of the search, with ``start_from`` and the section ``analysis`` set.
    """

    name = "analysis"
    section = "analysis"
    starts = Decides.ANALYSIS
    metric = ANALYSIS_METRIC
    finds_genotypes = False

    def epochs(self, trial: TrialConfig) -> int:
        """Return the number of operations; fewer are analyzed if the search has removed some."""
        return count_operations(trial) if trial.analysis.kind in BY_OPERATION else 1

    def check(self, trial: TrialConfig, inputs: Inputs) -> None:
        """Load the search once, on the CPU, to check the checkpoint and the kind or all edges."""
        if trial.analysis.kind in BY_OPERATION:
            Analysis(on_cpu(trial))
        else:
            check_analysis(on_cpu(trial))

    def check_memory(self, trial: TrialConfig, inputs: Inputs) -> None:
        """Estimate the memory of the search without building it."""
        check_search_memory(trial)

    def build(
        self, trial: TrialConfig, inputs: Inputs, together: object = None
    ) -> Analysis | MeasuredAnalysis:
        """Return the analysis, with the trial's number of CPU threads.

        Raises:
            ConfigError: If an edge does not exist, or is already decided or pruned.
            CheckpointError: If an operation is to be analyzed, and ``start_from`` is not the end of
                the search.
        """
        torch.set_num_threads(trial.runtime.threads)
        by_operation = trial.analysis.kind in BY_OPERATION
        return Analysis(trial) if by_operation else MeasuredAnalysis(trial)
