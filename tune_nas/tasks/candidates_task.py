"""The task of searching for an architecture by training candidates."""

from __future__ import annotations

import torch

from tune_nas.candidates.candidate_search import CandidateSearch
from tune_nas.candidates.candidate_trial import candidate_trial, strategy_of
from tune_nas.config import TrialConfig
from tune_nas.config.decides import Decides
from tune_nas.retrain.retrain_checks import check_retrain_memory
from tune_nas.tasks.task import Inputs, Task, on_cpu


class CandidatesTask(Task):
    """A black-box search: all the candidates of a strategy; its result is the best one's genotype.

    An epoch trains one candidate for an epoch. With ``runtime.workers``, each process trains
    another candidate.
    """

    name = "candidates"
    section = "strategy"
    starts = Decides.SEARCH_STARTS | Decides.RETRAIN_STARTS

    def epochs(self, trial: TrialConfig) -> int:
        """Return the epochs of all candidates together; the strategy may end before."""
        return strategy_of(trial).budget

    def workers(self, trial: TrialConfig) -> int:
        """Return the number of processes, each with another candidate."""
        return trial.runtime.workers

    def check(self, trial: TrialConfig, inputs: Inputs) -> None:
        """Build the search and the first candidate once, on the CPU."""
        CandidateSearch(on_cpu(trial)).check()

    def check_memory(self, trial: TrialConfig, inputs: Inputs) -> None:
        """Estimate the memory of a candidate without building it."""
        if trial.benchmark.simulate is None:
            check_retrain_memory(candidate_trial(trial))

    def build(self, trial: TrialConfig, inputs: Inputs, together: object = None) -> CandidateSearch:
        """Return the search, with the trial's number of CPU threads."""
        torch.set_num_threads(trial.runtime.threads)
        return CandidateSearch(trial, inputs.folders)
