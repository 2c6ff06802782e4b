"""What sweeps would share, before anything runs; and the branch of a search in another process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tune_nas.config import TrialConfig
from tune_nas.errors import CheckpointError
from tune_nas.search import Search
from tune_nas.status import Status
from tune_nas.sweep.config import SweepConfig
from tune_nas.sweep.cost import estimate
from tune_nas.sweep.jobs import Job
from tune_nas.sweep.ray.remote_learner import (
    LearnerProgress,
    RemoteLearner,
    branch,
    checkpoint_files,
)
from tune_nas.sweep.reports_file import Report
from tune_nas.sweep.resolve import base_trials, load_sweep, resolve_trials
from tune_nas.sweep.runs.record import Record
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.runs.storage import Storage
from tune_nas.sweep.sharing.courses import course_of
from tune_nas.sweep.sharing.planned import taken_over
from tune_nas.sweep.sharing.shared_text import planned_line, shared_remarks
from tune_nas.sweep.sweep_report import sweep_report
from tune_nas.tasks import Inputs, RetrainTask, SearchTask, with_workers

TINY = {
    "space": {"name": "nasbench201", "init_channels": 4, "cells": 1},
    "data": {"name": "fake", "train_images": 32, "resolution": 8},
    "schedule": {"epochs": 3, "batch_size": 8},
}


def planned(sweep: SweepConfig) -> list[int]:
    return taken_over(sweep, base_trials(sweep))


def test_the_shipped_sweep_of_selections() -> None:
    """3 seeds with 30 search epochs; the 6 trials by perturbation have 6 more for tuning."""
    sweep = load_sweep("selection")
    assert planned(sweep) == [0] * 3 + [30] * 9
    assert estimate(sweep, timed=False)["search_epochs"] == 3 * 30 + 6 * 6
    said = "shared: 126 of 396 search epochs run; 9 searches start from epoch 30 of another one"
    assert str(estimate(sweep, timed=False)).endswith(f"; {said}")
    separate = load_sweep("selection", share=False)
    assert planned(separate) == [0] * 12
    assert estimate(sweep, timed=False)["taken_over"] == [0] * 3 + [30] * 9
    assert "taken_over" not in estimate(separate, timed=False)
    assert estimate(separate, timed=False)["search_epochs"] == 396


def test_repeats_run_all_of_their_epochs(tmp_path: Path) -> None:
    """2 searches with one seed; both again with a new one, which may not be the same so far."""
    content = {
        "trial": "milenas",
        "set": {"schedule.epochs": 10},
        "parameters": {"selection.kind": {"grid": ["magnitude", "sampled"]}},
        "seeds": 1,
        "repeat": {"best": 2, "seeds": 1},
    }
    (tmp_path / "x.yaml").write_text(yaml.safe_dump(content))
    sweep = load_sweep(tmp_path / "x.yaml")
    assert planned(sweep) == [0, 10]
    assert estimate(sweep, timed=False)["search_epochs"] == 10 + 2 * 10
    assert estimate(load_sweep(tmp_path / "x.yaml", retrain=9), timed=False)["retrains"] == 2
    one = load_sweep(tmp_path / "x.yaml", repeat={"best": 1, "seeds": 1})  # of 2 values
    assert estimate(one, timed=False)["retrains"] == 1
    said = "shared: 30 of 40 search epochs run; 1 search starts from epoch 10 of another one"
    assert str(estimate(sweep, timed=False)).endswith(f"; {said}")


def test_lambda_after_the_warm_up_of_pc_darts(tmp_path: Path) -> None:
    values = [0, 0.1, 1, 10, 999, float("inf")]
    content = {
        "trial": "pc-darts",
        "set": {"update.level": "mixed"},
        "parameters": {"update.lambda": {"grid": values}},
    }
    (tmp_path / "x.yaml").write_text(yaml.safe_dump(content))
    taken = planned(load_sweep(tmp_path / "x.yaml"))
    assert taken == [0] + [15] * 5
    run = 15 + 6 * 35
    said = f"shared: {run} of 300 search epochs run; 5 searches start from epoch 15 of another one"
    assert planned_line(taken, 300) == said
    assert planned_line([0, 0], 10) == ""


def test_methods() -> None:
    """Methods that differ in the selection, a later phase or decision, or a rule that acts late."""
    sweep = load_sweep("methods", seeds=1, set={"data.name": "digits"})
    names = [str(parameters["trial"]) for parameters, _, _ in resolve_trials(sweep)]
    shared = {name: n for name, n in zip(names, planned(sweep), strict=True) if n}
    assert shared == {
        "bilevel-then-milenas": 16,  # its switch, two thirds of 24 epochs
        "darts-pt": 24,
        "sdarts-pt": 24,
        "sgas-pt": 4,  # the first decision
        "r-darts-ada": 10,
        "darts-plus": 2,  # before its patience of 3 epochs can end it
        "darts-plus-ranking": 10,
    }


def test_sampled_sweeps_share_nothing() -> None:
    assert set(planned(load_sweep("learning-rate"))) == {0}


def test_a_retraining_run_has_one_course_for_all_that_decides_it() -> None:
    task = RetrainTask()
    own = TrialConfig.model_validate({**TINY, "retrain": {"epochs": 2}})
    other = own.model_copy(update={"update": own.update.model_copy(update={"warmup": 1})})
    assert len(task.course(own)) == 2
    assert task.course(own) == task.course(other)
    for key, value in (("seed", 1), ("retrain", own.retrain.model_copy(update={"epochs": 3}))):
        assert task.course(own)[0] != task.course(own.model_copy(update={key: value}))[0]


def test_the_report_says_what_was_shared() -> None:
    job = Job("search-00000", "search", "search", TrialConfig.model_validate(TINY))
    history = [{"epoch": epoch, "valid_accuracy": 50.0} for epoch in (1.0, 2.0, 3.0)]
    own = Record(job, Status.FINISHED, history=history)
    other = replace(own, taken=2, taken_from="search-00000")
    assert other.epochs_run == 1 and own.epochs_run == 3
    said = "shared: 4 of 6 epochs were run; 1 trial took over the others from trials that were the"
    assert shared_remarks([own, other]) == [f"{said} same so far"]
    assert shared_remarks([own]) == []
    sweep = load_sweep("selection")
    report = sweep_report(sweep, [own.result()], shared_remarks([own, other]))
    assert any(line.startswith(said) for line in report.lines())
    assert said in report.markdown()


def test_a_stopped_trial_that_goes_on_from_another_one_has_run_its_first_epochs(
    tmp_path: Path,
) -> None:
    """It runs 2 epochs; the other one runs 3 more, which it takes over when it is resumed."""
    job = Job("search-00000", "search", "search", TrialConfig.model_validate(TINY))
    records = Records(Storage(tmp_path), "search")
    records.start(job)
    for epoch in (1, 2):
        records.add(job.id, {"epoch": epoch})
    for epoch in (3, 4, 5):
        records.add(job.id, {"epoch": epoch, "taken": "5", "taken_from": "search-00001"})
    records.add(job.id, {"epoch": 6})
    (record,) = Records(Storage(tmp_path), "search")  # as written
    assert (record.taken, record.ran_before, record.epochs_run) == (5, 2, 3)


class OwnTask(SearchTask):
    """A task of the user's own, which may train in another way."""


def test_a_task_that_builds_on_a_shipped_one_shares_nothing() -> None:
    job = Job("search-00000", "search", "search", TrialConfig.model_validate(TINY))
    assert len(course_of(job)) == 3
    assert not course_of(job, OwnTask())
    texts = {course_of(replace(job, trial=with_workers(job.trial, n)))[0] for n in (1, 2)}
    assert len(texts) == 2  # another runtime


class Process:
    """A search in what would be another process."""

    def __init__(self, search: Search) -> None:
        self.search = search

    def run_epoch(self) -> tuple[dict[str, object], LearnerProgress]:
        return dict(self.search.run_epoch()), LearnerProgress.of(self.search)

    def files(self) -> dict[str, bytes]:
        return checkpoint_files(self.search)

    def restore(self, files: dict[str, bytes]) -> LearnerProgress:
        raise AssertionError("it branches")

    def branch(
        self, files: dict[str, bytes], reports: Sequence[Report]
    ) -> tuple[list[Report], LearnerProgress]:
        return branch(self.search, files, reports), LearnerProgress.of(self.search)

    def release(self) -> None:
        """Nothing is to be released."""


@pytest.mark.parametrize("watched", [True, False])
def test_a_search_in_another_process(tmp_path: Path, watched: bool) -> None:
    """`sampled` needs the w of each epoch: the first search must watch for it."""
    first = TrialConfig.model_validate(TINY)
    second = TrialConfig.model_validate(
        {**TINY, "selection": {"kind": "sampled", "sampled": {"genotypes": 3}}}
    )
    task = SearchTask()
    assert task.course(first) == task.course(second)[: len(task.course(first))]
    assert task.must_be_watched(second) and not task.must_be_watched(first)
    search = task.build(first, Inputs(watched=(second,) if watched else ()))
    reports: list[Any] = []
    for _ in range(3):
        found = dict(search.run_epoch())
        reports.append({**found, **search.remarks(), "genotype": search.result().to_yaml()})
    (tmp_path / "a").mkdir()
    search.save(tmp_path / "a")
    branched = Search(second)
    remote = RemoteLearner(Process(branched), LearnerProgress.of(branched))
    if not watched:
        with pytest.raises(CheckpointError, match="not watched"):
            remote.branch(tmp_path / "a", reports)
        return
    own = remote.branch(tmp_path / "a", reports)
    assert remote.epoch == 3 and remote.done
    alone = Search(second)
    expected = [alone.run_epoch() for _ in range(3)]
    measured = ("seconds", "memory_mib")
    for mine, its in zip(own, expected, strict=True):
        numbers = {k: v for k, v in mine.items() if k not in (*measured, "genotype")}
        assert numbers == {k: v for k, v in its.items() if k not in measured}
    assert remote.result() is not None
    assert own[-1]["genotype"] == alone.result().to_yaml()
