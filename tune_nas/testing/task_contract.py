"""Tests that every task must pass: known length, reproducible, resumes bit for bit, plain files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pytest
import torch

from tune_nas.config import TrialConfig, dotted_keys
from tune_nas.errors import CheckpointError
from tune_nas.learner import DECISIONS, ENDED, Learner
from tune_nas.tasks import Inputs, Task, find_task
from tune_nas.testing.search_contract import check_numbers, small_trial
from tune_nas.testing.states import UNEQUAL_BY_NATURE, differences


class TaskContract:
    """The tests of a task.

    Attributes:
        task: A name, or ``module:Class``.
        trial: The trial that is run, by name or path; its search is small.
        settings: Further dotted keys of the trial, e.g. a small number of retraining epochs.
        epochs: Epochs of the search.
        genotype: The genotype that the task is given; None for none.
    """

    task: ClassVar[str]
    trial: ClassVar[str] = "darts-1st"
    settings: ClassVar[Mapping[str, object]] = {}
    epochs: ClassVar[int] = 2
    genotype: ClassVar[str | None] = None

    def make_trial(self) -> TrialConfig:
        """Return the trial of the tests."""
        return small_trial(self.trial, self.epochs, self.settings)

    def make_inputs(self) -> Inputs:
        """Return the inputs of the tests."""
        return Inputs(genotype=self.genotype)

    def find(self) -> Task:
        """Return the task."""
        return find_task(self.task)

    def build(self) -> Learner:
        """Return a learner of the trial."""
        return self.find().build(self.make_trial(), self.make_inputs())

    def test_it_declares_itself(self) -> None:
        """The section is one of a trial, and the attributes have their types."""
        task = self.find()
        assert task.name.strip()
        sections = {key.partition(".")[0] for key in dotted_keys(TrialConfig)}
        assert task.section in sections, f"section '{task.section}' is not one of a trial"
        assert task.metric is None or task.metric.strip()
        assert isinstance(task.finds_genotypes, bool) and isinstance(task.shares_process, bool)

    def test_it_checks_a_trial_without_running_it(self) -> None:
        """A trial that can be built passes both checks, and they change nothing in the process."""
        task, trial, inputs = self.find(), self.make_trial(), self.make_inputs()
        before = torch.get_rng_state()
        task.check_memory(trial, inputs)
        task.check(trial, inputs)
        assert torch.equal(before, torch.get_rng_state())

    def test_its_length_is_known_beforehand(self) -> None:
        """It reports every epoch from that after the start to the last, and then is done.

        A learner that ends earlier gives the reason as a remark.
        """
        task, trial = self.find(), self.make_trial()
        learner = self.build()
        reported: list[int] = []
        while not learner.done:
            assert learner.run_epoch()["epoch"] == learner.epoch
            reported.append(learner.epoch)
        first = task.starts_after(trial) + 1
        assert reported == list(range(first, learner.epoch + 1))
        if learner.epoch != task.epochs(trial):
            assert learner.epoch < task.epochs(trial)
            assert learner.remarks().get(ENDED), "it ends early without a reason"

    def test_metrics_are_numbers_and_its_own_is_among_them(self) -> None:
        """Every metric is a number; the one by which its trials are shown is in every epoch."""
        metric = self.find().metric
        learner = self.build()
        while not learner.done:
            metrics = learner.run_epoch()
            check_numbers(metrics)
            assert metric is None or metric in metrics
            assert learner.remarks().keys() <= {DECISIONS, ENDED}

    def test_it_resumes_bit_for_bit(self, tmp_path: Path) -> None:
        """Resumed from the checkpoint of any epoch, it reports the same metrics and files."""
        learner = self.build()
        learner.save(tmp_path / "0")
        start, reported = learner.epoch, [dict[str, object]()]
        while not learner.done:
            reported.append(dict(learner.run_epoch()))
            learner.save(tmp_path / str(learner.epoch - start))
        for after in range(len(reported) - 1):
            resumed = self.build()
            torch.manual_seed(after)
            resumed.load(tmp_path / str(after))
            assert resumed.epoch == start + after
            for expected in reported[after + 1 :]:
                found = differences(_lasting(expected), _lasting(dict(resumed.run_epoch())))
                assert not found, f"resumed after {after}, not the same: {', '.join(found)}"
            assert resumed.done, "it ends at another epoch when it is resumed"
            assert resumed.artifacts() == learner.artifacts()
            assert _text(resumed) == _text(learner)

    def test_a_damaged_checkpoint_is_recognized(self, tmp_path: Path) -> None:
        """A checkpoint in which any file of the state is cut short is not loaded."""
        learner = self.build()
        learner.run_epoch()
        learner.save(tmp_path)
        states = [path for path in tmp_path.iterdir() if path.suffix == ".pt"]
        assert states, "its checkpoint has no state, a file that ends in .pt"
        for path in states:
            content = path.read_bytes()
            path.write_bytes(content[: len(content) // 2])
            with pytest.raises(CheckpointError):
                self.build().load(tmp_path)
            path.write_bytes(content)

    def test_a_checkpoint_has_its_files(self, tmp_path: Path) -> None:
        """The artifacts are text or bytes by plain file name, and in the checkpoint as they are."""
        learner = self.build()
        while not learner.done:
            learner.run_epoch()
        learner.save(tmp_path)
        for name, content in learner.artifacts().items():
            assert name and "/" not in name
            data = content.encode() if isinstance(content, str) else content
            assert (tmp_path / name).read_bytes() == data

    def test_its_result_is_a_genotype_or_nothing(self) -> None:
        """A task that finds genotypes, or trains one, returns it as YAML."""
        learner = self.build()
        while not learner.done:
            learner.run_epoch()
        text = _text(learner)
        if self.find().finds_genotypes:
            assert text, "it finds genotypes, but returns none"
        if text is not None:
            assert isinstance(text, str) and text.strip()


def _text(learner: Learner) -> str | None:
    found = learner.result()
    return None if found is None else found.to_yaml()


def _lasting(metrics: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in metrics.items() if key not in UNEQUAL_BY_NATURE}
