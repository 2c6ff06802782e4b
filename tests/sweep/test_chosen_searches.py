"""Which searches are ranked, repeated and retrained: objectives, constraints, frontiers."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from objective_records import BOTH, LAMBDA, PARAMETERS, add, options
from standin import GENOTYPE_FILE, TASKS, MakeSweep, crash_after

from tune_nas.checkpoint_folder import MANIFEST
from tune_nas.errors import ConfigError
from tune_nas.sweep import resume_sweep, run_sweep
from tune_nas.sweep.config import SweepConfig
from tune_nas.sweep.cost import Estimate
from tune_nas.sweep.frontier import BEST_BY_SIZE
from tune_nas.sweep.jobs import Job
from tune_nas.sweep.phases import jobs_of, ranked, read_records, repeat_jobs
from tune_nas.sweep.resolve import base_trials
from tune_nas.sweep.runs.plan import Plan, State, read_plan
from tune_nas.sweep.runs.storage import Storage

INF = float("inf")
# λ → accuracy and parameters; 0, 0.1 and inf are on the front, 1 and 10 behind it
POINTS = {0: (90.0, 3e6), 0.1: (92.0, 5e6), 1: (91.0, 5.5e6), 10: (89.0, 3.2e6), INF: (93.0, 9e6)}
GRID = {"parameters": {LAMBDA: {"grid": list(POINTS)}}}


def with_searches(sweep: SweepConfig, folder: Path, genotype: str = "") -> Plan:
    """Write the plan of a grid over λ whose searches have ended with the values of `POINTS`."""
    plan = Plan(Storage(folder), sweep, base_trials(sweep), State())
    plan.write()
    records = read_records(plan)["search"]
    for job in jobs_of(plan, "search", read_records(plan)):
        value = job.parameters[LAMBDA]
        assert isinstance(value, int | float)
        add(records, job, *POINTS[value], genotype)
    return read_plan(Storage(folder))


def lambdas(jobs: list[Job]) -> list[object]:
    return [job.parameters[LAMBDA] for job in jobs]


def retrained(plan: Plan) -> list[Job]:
    return jobs_of(plan, "retrain", read_records(plan))


def order(sweep: SweepConfig, plan: Plan) -> list[object]:
    return [
        group[0].job.parameters[LAMBDA] for group in ranked(sweep, read_records(plan)["search"])
    ]


def test_repeats_and_retrains_take_the_front_first(make_sweep: MakeSweep, tmp_path: Path) -> None:
    sweep = make_sweep(metrics=BOTH, repeat={"best": 4, "seeds": 1}, retrain=2, **GRID)
    plan = with_searches(sweep, tmp_path)
    assert order(sweep, plan) == [INF, 0.1, 0, 1, 10]
    searched = read_records(plan)["search"]
    assert lambdas(repeat_jobs(sweep, plan.bases, searched)) == [INF, 0.1, 0, 1]
    alone = make_sweep(retrain=2, **GRID)
    assert order(alone, with_searches(alone, tmp_path / "one")) == [INF, 0.1, 1, 0, 10]


@pytest.mark.parametrize("metrics", [{}, {"metrics": BOTH}])
def test_infeasible_searches_are_neither_ranked_nor_repeated_nor_retrained(
    make_sweep: MakeSweep, tmp_path: Path, metrics: dict[str, Any]
) -> None:
    bound = {"constraints": ["parameters <= 5.2e6"], "retrain": "each"}
    sweep = make_sweep(**metrics, **bound, repeat={"best": 5, "seeds": 1}, **GRID)
    plan = with_searches(sweep, tmp_path)
    assert order(sweep, plan) == [0.1, 0, 10]
    searched = read_records(plan)["search"]
    assert lambdas(repeat_jobs(sweep, plan.bases, searched)) == [0.1, 0, 10]
    assert lambdas(retrained(plan)) == [0.1, 0, 10]
    none = make_sweep(**{**bound, "constraints": ["parameters <= 5"]}, **metrics, **GRID)
    assert retrained(with_searches(none, tmp_path / "none")) == []


def test_a_seed_that_violates_a_constraint_is_not_retrained(
    make_sweep: MakeSweep, tmp_path: Path
) -> None:
    one = {"parameters": {LAMBDA: {"grid": [1]}}, "seeds": 2, "retrain": "each"}
    sweep = make_sweep(constraints=["parameters <= 5.2e6"], **one)
    plan = Plan(Storage(tmp_path), sweep, base_trials(sweep), State())
    plan.write()
    records = read_records(plan)["search"]
    for job, size in zip(jobs_of(plan, "search", read_records(plan)), (6e6, 4e6), strict=True):
        add(records, job, 95.0 if size == 6e6 else 90.0, size)
    (job,) = retrained(read_plan(Storage(tmp_path)))
    assert job.inputs.parent == "search-00001"  # less accurate, but small enough


def test_the_frontier_is_retrained(make_sweep: MakeSweep, tmp_path: Path) -> None:
    for name, metrics in (("several", {"metrics": BOTH}), ("one", {})):
        sweep = make_sweep(**metrics, retrain="frontier", **GRID)
        plan = with_searches(sweep, tmp_path / name)
        jobs = retrained(plan)
        assert lambdas(jobs) == [INF, 0.1, 0]
        assert [job.inputs.genotype for job in jobs] == [f"of {j.inputs.parent}" for j in jobs]
    bounded = make_sweep(constraints=["parameters <= 5e6"], retrain="frontier", **GRID)
    assert lambdas(retrained(with_searches(bounded, tmp_path / "bounded"))) == [0.1, 0]
    grid = {"genotypes": "frontier", "recipes": [{"name": "short", "epochs": 5}], "seeds": 2}
    repeated = retrained(with_searches(make_sweep(retrain=grid, **GRID), tmp_path / "settings"))
    assert lambdas(repeated) == [INF, 0.1, 0] * 2


def test_equal_searches_of_the_frontier_are_retrained_once(
    make_sweep: MakeSweep, tmp_path: Path
) -> None:
    sweep = make_sweep(retrain="frontier", parameters={LAMBDA: {"grid": [0, 1, 10]}})
    plan = Plan(Storage(tmp_path), sweep, base_trials(sweep), State())
    plan.write()
    records = read_records(plan)["search"]
    jobs = jobs_of(plan, "search", read_records(plan))
    for job, genotype in zip(jobs, ("a", "a", "b"), strict=True):
        add(records, job, 90.0, 3e6, genotype)
    found = retrained(read_plan(Storage(tmp_path)))
    assert [job.inputs.genotype for job in found] == ["a", "b"]


def write_sizes(plan: Plan, job_id: str, entries: dict[int, tuple[int, float]]) -> None:
    """Write a checkpoint of a search with the best genotype of some sizes: epoch and accuracy."""
    genotype = str(yaml.safe_load(GENOTYPE_FILE.read_text()))
    folder = Path(plan.storage.root, "search", job_id)
    checkpoint = folder / "checkpoint_000003"
    checkpoint.mkdir(parents=True)
    content = yaml.safe_dump(
        {
            size: {"epoch": e, "valid_accuracy": a, "space": "darts", "genotype": genotype}
            for size, (e, a) in entries.items()
        }
    )
    (checkpoint / BEST_BY_SIZE).write_text(content)
    sums = {BEST_BY_SIZE: hashlib.sha256(content.encode()).hexdigest()}
    (checkpoint / MANIFEST).write_text(json.dumps(sums))
    with read_records(plan)["search"].changing(job_id) as record:
        record.folders.append(str(folder))


def test_the_best_genotype_of_each_model_size_is_retrained(
    make_sweep: MakeSweep, tmp_path: Path
) -> None:
    sweep = make_sweep(retrain="model-sizes", **GRID)
    plan = with_searches(sweep, tmp_path)
    write_sizes(plan, "search-00000", {3: (4, 60.0), 5: (4, 70.0)})
    write_sizes(plan, "search-00001", {3: (4, 65.0), 5: (4, 70.0), 8: (4, 50.0)})
    jobs = retrained(read_plan(Storage(tmp_path)))
    chosen = [(job.parameters["retrain.convolutions"], job.inputs.parent) for job in jobs]
    assert chosen == [(3, "search-00001"), (5, "search-00000"), (8, "search-00001")]
    assert jobs[0].label == "λ=0.1 convolutions=3 seed=0"
    read = yaml.safe_load(str(jobs[0].inputs.genotype))
    assert read == {**yaml.safe_load(GENOTYPE_FILE.read_text()), "space": "darts"}
    # a resume after a kill in the phase finds the same runs
    records = read_records(plan)["retrain"]
    records.start(jobs[1])
    again = retrained(read_plan(Storage(tmp_path)))
    assert {job.id: job.parameters for job in again} == {job.id: job.parameters for job in jobs}


def test_a_genotype_of_a_size_must_meet_the_constraints_in_its_epoch(
    make_sweep: MakeSweep, tmp_path: Path
) -> None:
    sweep = make_sweep(retrain="model-sizes", constraints=["parameters <= 4e6"], **GRID)
    plan = with_searches(sweep, tmp_path)
    write_sizes(plan, "search-00000", {3: (4, 60.0)})  # of 3 million parameters
    write_sizes(plan, "search-00001", {3: (4, 65.0), 5: (4, 70.0)})  # of 5 million
    jobs = retrained(read_plan(Storage(tmp_path)))
    assert [job.inputs.parent for job in jobs] == ["search-00000"]


def test_black_box_searches_have_no_model_sizes(make_sweep: MakeSweep) -> None:
    with pytest.raises(ConfigError, match="keeps no genotype of each size; take 'frontier'"):
        make_sweep(
            **{"trial": "random-search", "retrain": "model-sizes"},
            parameters={"strategy.budget": {"grid": [200, 300]}},
        )


def test_a_dry_run_says_at_most(make_sweep: MakeSweep) -> None:
    counts: dict[str, object] = {
        "searches": 5,
        "retrains": 5,
        "search_epochs": 20,
        "minutes": 1.0,
        "race": False,
    }
    counts |= {"at_once": 2, "based_on": "3 steps"}
    assert "and at most 5 retraining runs" in str(Estimate(counts, retrains_at_most=True))
    assert "searches and 5 retraining runs" in str(Estimate(counts, retrains_at_most=False))


@pytest.mark.sweep
def test_a_sweep_killed_while_it_retrains_the_frontier_ends_as_if_it_had_not_been(
    make_sweep: MakeSweep, tmp_path: Path, ray_session: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = {"parameters": {LAMBDA: {"grid": [0, 1, INF]}}, "retrain": "frontier"}
    sweep = make_sweep({"parameters": 1e6}, metrics=BOTH, **grid)
    whole = run_sweep(sweep, options(tmp_path), "whole", tasks=TASKS)
    assert [r.phase for r in whole.results] == ["search"] * 3 + ["retrain"] * 3
    assert [r.metrics.get(PARAMETERS) for r in whole.results[:3]] == [1e6, 2e6, 1e7]
    sentence = whole.report.sentence()
    assert sentence.startswith("3 of 3 values are on the Pareto front of supernet valid accuracy")
    assert "hypervolume" in (tmp_path / "runs" / "whole" / "report.md").read_text()
    with crash_after(monkeypatch, 15):  # 12 epochs of searches, 6 of retraining
        run_sweep(sweep, options(tmp_path), "cut", tasks=TASKS)
    resumed = resume_sweep("cut", options(tmp_path), tasks=TASKS)
    assert resumed.results == whole.results
    assert resumed.report.to_dict()["front"] == whole.report.to_dict()["front"]
