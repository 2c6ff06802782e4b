"""The jobs of a black-box search: requests, running jobs in slots, and reported results."""

from __future__ import annotations

import math
from typing import NamedTuple

from tune_nas.candidates.processes import Processes
from tune_nas.candidates.running_job import EpochResult, RunningJob
from tune_nas.checkpoint import State
from tune_nas.spaces import Genotype
from tune_nas.strategies import History, Request, StrategyInputs, make_strategy


class Incumbent(NamedTuple):
    """The best candidate so far.

    Args:
        candidate: Its number.
        genotype: Its genotype.
        accuracy: Its validation accuracy in percent.
    """

    candidate: int
    genotype: Genotype
    accuracy: float


class EndedJob(NamedTuple):
    """A job that has ended.

    Args:
        candidate: Its candidate.
        start: Epochs for which the candidate had been trained before.
        epoch: Epochs of the search when it ended.
    """

    candidate: int
    start: int
    epoch: int


class CandidateJobs:
    """A strategy, and the jobs that it has asked for.

    Args:
        inputs: The inputs of the strategy.
        size: Number of jobs at a time.

    Attributes:
        strategy: The strategy.
        slots: The running jobs, each at a fixed position until it ends; None where there is none.
        ended: The jobs that have ended, in order.
        remarks: What was decided since `remarks` was last cleared.
    """

    def __init__(self, inputs: StrategyInputs, size: int) -> None:
        self.strategy = make_strategy(inputs)
        self.slots: list[RunningJob | None] = [None] * size
        self.ended: list[EndedJob] = []
        self.remarks: list[str] = []
        self._size = size
        self._history = History()
        self._superseded: list[EndedJob] = []  # whose first state is not removed yet

    @property
    def running(self) -> list[RunningJob]:
        """The jobs in training, in the order of requests."""
        jobs = [job for job in self.slots if job is not None]
        return sorted(jobs, key=lambda job: job.request.number)

    @property
    def incumbent(self) -> Incumbent | None:
        """The first candidate of the ranking; while there is none, the best one in training."""
        for standing in self.strategy.ranking():
            if math.isfinite(standing.accuracy):
                return Incumbent(standing.candidate, standing.genotype, standing.accuracy)
        known = [
            Incumbent(job.request.candidate, job.request.genotype, job.accuracy)
            for job in self.running
            if job.accuracy is not None
        ]
        return max(known, key=lambda each: each.accuracy, default=None)

    def fill(self) -> None:
        """Ask for jobs until every slot has one, or there is none for now.

        Raises:
            ConfigError: If the strategy asks for a job that breaks the rules.
        """
        while len(self.slots) > self._size and self.slots[-1] is None:
            self.slots.pop()  # of a session with more processes
        for slot in range(self._size):
            if self.slots[slot] is not None:
                continue
            request = self._ask()
            if request is None:
                return
            if request.start:
                self.remarks.append(f"candidate {request.candidate} → {request.epochs} epochs")
            self.slots[slot] = RunningJob(request, request.start)

    def _ask(self) -> Request | None:
        request = self.strategy.ask()
        self._history.record_ask(request)
        return request

    def note(self, job: RunningJob, result: EpochResult, epoch: int) -> None:
        """Note an epoch of a job; tell the strategy if it was the last.

        Args:
            job: The job.
            result: The result of the epoch.
            epoch: Epochs of the search.
        """
        request = job.request
        job.trained += result.epochs
        if result.metrics is None:
            self.remarks.append(f"candidate {request.candidate} failed: {result.error}")
            job.accuracy = None
        else:
            job.accuracy = result.metrics["valid_accuracy"]
            if job.trained < request.epochs:
                return
        self.strategy.tell(request, job.accuracy)
        self._history.record_tell(request, job.accuracy)
        ended = EndedJob(request.candidate, request.start, epoch)
        self.ended.append(ended)
        self._superseded += [ended] if request.start else []
        self.slots[self.slots.index(job)] = None

    def superseded(self, until: int) -> list[EndedJob]:
        """Return, once, the jobs whose first state has become superfluous.

        Args:
            until: Last epoch of the search at which they ended.
        """
        found = [job for job in self._superseded if job.epoch <= until]
        self._superseded = [job for job in self._superseded if job.epoch > until]
        return found

    def gather(self, processes: Processes) -> None:
        """Give the first process, which writes checkpoints, the states of jobs in the others."""
        if processes.size == 1:
            return
        own = {
            str(slot): job.training.state_dict()
            for slot, job in enumerate(self.slots)
            if job is not None and job.training is not None
        }
        for slot, state in processes.gathered(own).items():
            job = self.slots[int(slot)]
            assert job is not None  # the slots of all processes are the same
            job.state = state

    def state_dict(self) -> State:
        """Return the complete state as containers and tensors."""
        return {
            "history": self._history.to_state(),
            "slots": [None if job is None else job.to_state() for job in self.slots],
            "ended": [list(job) for job in self.ended],
            "superseded": [list(job) for job in self._superseded],
        }

    @classmethod
    def restored(cls, inputs: StrategyInputs, size: int, state: State) -> CandidateJobs:
        """Return the jobs that `state_dict` described, for any number of jobs at a time.

        Raises:
            CheckpointError: If the strategy decides otherwise now.
        """
        jobs = cls(inputs, size)
        jobs._history = History.restore(jobs.strategy, state["history"])
        requests = {request.number: request for request in jobs.strategy.pending}
        jobs.slots = [
            None if each is None else RunningJob.restored(each, requests[each["request"]])
            for each in state["slots"]
        ]
        jobs.slots += [None] * (size - len(jobs.slots))
        jobs.ended = [EndedJob(*job) for job in state["ended"]]
        jobs._superseded = [EndedJob(*job) for job in state["superseded"]]
        return jobs
