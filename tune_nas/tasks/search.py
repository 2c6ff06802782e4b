"""The task of searching for an architecture with a supernet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tune_nas.config.decides import Decides
from tune_nas.tasks.task import Inputs, Task

if TYPE_CHECKING:
    from tune_nas.config import TrialConfig
    from tune_nas.search import Search


class SearchTask(Task):
    """A differentiable architecture search; its result is the selected genotype."""

    name = "search"
    section = "schedule"
    starts = Decides.SEARCH_STARTS
    shares_process = True

    def epochs(self, trial: TrialConfig) -> int:
        """Return the epochs of the search and of its selection."""
        from tune_nas.search import total_epochs

        return total_epochs(trial)

    def starts_after(self, trial: TrialConfig) -> int:
        """Return the epochs of the search whose checkpoint it starts from; 0 without one."""
        return 0 if trial.start_from is None else trial.schedule.epochs

    def check(self, trial: TrialConfig, inputs: Inputs) -> None:
        """Build the search once, on the CPU, to check that the space, data and all parts fit."""
        from tune_nas.library import with_overrides
        from tune_nas.search import Search

        Search(with_overrides(trial, {"runtime.device": "cpu"}))

    def check_memory(self, trial: TrialConfig, inputs: Inputs) -> None:
        """Estimate the memory of the search without building it."""
        from tune_nas.search.search_memory import check_search_memory

        check_search_memory(trial)

    def build(self, trial: TrialConfig, inputs: Inputs, together: Any = None) -> Search:
        """Return the search, with the trial's number of CPU threads unless it shares a process."""
        import torch

        from tune_nas.search import Search

        if together is None:
            torch.set_num_threads(trial.runtime.threads)
        return Search(trial, together)
