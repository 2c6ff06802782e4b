"""The task of searching for an architecture with a supernet."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from tune_nas.config import TrialConfig
from tune_nas.config.decides import Decides
from tune_nas.search import Search, total_epochs
from tune_nas.search.search_memory import check_search_memory, estimate_search_memory
from tune_nas.search.selection import most_search_epochs
from tune_nas.search.so_far import Course
from tune_nas.search.together import Together
from tune_nas.tasks.task import Inputs, Task, on_cpu


class SearchTask(Task):
    """A differentiable architecture search; its result is the selected genotype."""

    name = "search"
    section = "schedule"
    starts = Decides.SEARCH_STARTS
    shares_process = True

    def epochs(self, trial: TrialConfig) -> int:
        """Return the epochs of the search, at most, and of its selection."""
        return total_epochs(trial)

    def starts_after(self, trial: TrialConfig) -> int:
        """Return the epochs of the search whose checkpoint it starts from; 0 without one."""
        return 0 if trial.start_from is None else most_search_epochs(trial)

    def course(self, trial: TrialConfig) -> Sequence[str]:
        """Return what decides each epoch, and the whole search for those of its selection."""
        own, epochs = Course(trial), self.epochs(trial)
        return [*own.prefixes[:epochs], *[own.whole] * epochs][:epochs]

    def must_be_watched(self, trial: TrialConfig) -> bool:
        """Return whether the genotypes of its epochs depend on w, which no later epoch has."""
        return Course(trial).reads_w

    def check(self, trial: TrialConfig, inputs: Inputs) -> None:
        """Build the search once, on the CPU, to check that the space, data and all parts fit."""
        Search(on_cpu(trial))

    def check_memory(self, trial: TrialConfig, inputs: Inputs) -> None:
        """Estimate the memory of the search without building it."""
        check_search_memory(trial)

    def memory(self, trial: TrialConfig, inputs: Inputs) -> int:
        """Return the estimate of `estimate_search_memory`."""
        return estimate_search_memory(trial)

    def build(self, trial: TrialConfig, inputs: Inputs, together: Together | None = None) -> Search:
        """Return the search, with the trial's number of CPU threads unless it shares a process."""
        if together is None:
            torch.set_num_threads(trial.runtime.threads)
        return Search(trial, together, inputs.watched)
