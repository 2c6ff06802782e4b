"""A comparison by several objectives and under constraints, against fronts worked out by hand."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from tune_nas.report import Report, TrialResult, find_report_format
from tune_nas.report.front import front_of, infeasible_of
from tune_nas.report.objectives import Constraint, Objective
from tune_nas.report.ranking import Ranked, best_first, rank_key

MakeResult = Callable[..., TrialResult]
LAMBDA = ["update.lambda"]
PARAMETERS = "genotype/parameters"
ACCURATE, SMALL = Objective("valid_accuracy", "max"), Objective(PARAMETERS, "min")
# λ → accuracy and parameters; 0, 0.1 and inf are on the front, 1 and 10 behind it
POINTS = {0: (90.0, 3e6), 0.1: (92.0, 5e6), 1: (91.0, 5.5e6), 10: (89.0, 3.2e6)}
POINTS[float("inf")] = (93.0, 9e6)
UNDER = Constraint(PARAMETERS, True, 5.2e6)


@pytest.fixture
def results(make_result: MakeResult) -> list[TrialResult]:
    return [
        make_result(value, accuracy, metrics={PARAMETERS: size}, genotype=f"of {value}")
        for value, (accuracy, size) in POINTS.items()
    ]


def report_of(results: list[TrialResult], *constraints: Constraint, **changes: object) -> Report:
    objectives = changes.pop("objectives", (ACCURATE, SMALL))
    assert isinstance(objectives, tuple)
    first = objectives[0]
    return Report(
        *("s", LAMBDA, results, first.key, first.mode),
        objectives=objectives,
        constraints=constraints,
    )


def values(rows: list[object]) -> list[object]:
    return [row.values["update.lambda"] for row in rows]  # type: ignore[attr-defined]


def test_the_front_is_first_and_then_the_next_rank(results: list[TrialResult]) -> None:
    report = report_of(results)
    assert values([*front_of(report)]) == [float("inf"), 0.1, 0]
    # Behind the front, λ = 1 is more accurate, and neither dominates the other.
    assert values([*report.ranking()]) == [float("inf"), 0.1, 0, 1, 10]
    assert report.best_genotype == "of inf"


def test_sentence_table_json_and_markdown_have_the_front_and_its_volume(
    results: list[TrialResult],
) -> None:
    report = report_of(results)
    sentence = report.sentence()
    assert sentence.startswith(
        "3 of 5 values are on the Pareto front of supernet valid accuracy (max) and number of "
        "parameters (min); best by supernet valid accuracy: λ = inf (93.00 %, 9.00 M; n = 1); best "
        "by number of parameters: λ = 0 (90.00 %, 3.00 M; n = 1); with one seed each, "
    )
    # A tenth of the range beyond the worst is (88.6, 9.6e6); boxes of 1.4 · 6.6, 3.4 · 4.6 and
    # 4.4 · 0.6 million, whose union is 4.4 · 0.6 + 3.4 · 4 + 1.4 · 2 = 19.04 million.
    volume = (
        "hypervolume 1.904e+07 from the reference point supernet valid accuracy 88.60 % and number "
        "of parameters 9.60 M, which depends on this sweep's worst values"
    )
    assert volume in sentence and volume in report.markdown()
    assert "nothing was retrained, so this compares supernets" in sentence
    front = report.to_dict()["front"]
    assert isinstance(front, dict)
    assert front["hypervolume"] == pytest.approx(19.04e6)
    assert front["reference"] == pytest.approx({"valid_accuracy": 88.6, PARAMETERS: 9.6e6})
    assert front["values"] == [{"update.lambda": value} for value in ("inf", 0.1, 0)]
    assert front["objectives"][1] == {"metric": PARAMETERS, "mode": "min"}
    marks = [line.split("|")[-2].strip() for line in report.markdown().splitlines() if "|" in line]
    assert marks == ["front", "---:", "**yes**", "**yes**", "no", "no", "**yes**"]


def test_the_page_says_by_what_it_is_ranked(results: list[TrialResult]) -> None:
    page = find_report_format("html").render(report_of(results))
    wanted = "the Pareto front of supernet valid accuracy (max) and number of parameters (min)"
    assert wanted in page.partition("Ranked by")[2].partition("</dd>")[0]


def test_a_given_reference_point_makes_volumes_comparable(results: list[TrialResult]) -> None:
    objectives = (Objective("valid_accuracy", "max", 89.0), Objective(PARAMETERS, "min", 6e6))
    report = report_of(results, objectives=objectives)
    front = report.to_dict()["front"]
    assert isinstance(front, dict)
    # λ = inf is larger than the reference: 1 · 3 and 3 · 1 million, which overlap in 1 · 1.
    assert front["hypervolume"] == pytest.approx(5e6)
    assert "hypervolume 5e+06 from the reference point" in report.sentence()
    assert "depends" not in report.sentence()


def test_three_objectives(make_result: MakeResult) -> None:
    points = {1: (1, 2, 3), 2: (2, 1, 3), 3: (3, 3, 1), 4: (1, 1, 1)}
    results = [
        make_result(k, None, metrics=dict(zip("abc", p, strict=True))) for k, p in points.items()
    ]
    objectives = tuple(Objective(key, "max", 0.0) for key in "abc")
    front = report_of(results, objectives=objectives).to_dict()["front"]
    assert isinstance(front, dict)
    assert front["hypervolume"] == pytest.approx(15)  # as in tests/test_pareto.py
    assert front["values"] == [{"update.lambda": k} for k in (3, 2, 1)]


def test_means_over_seeds_decide(make_result: MakeResult) -> None:
    """Each seed alone would put 2 on the front, with 95 % or with 1e6 parameters."""
    seeds = {1: [(92, 2e6), (92, 2e6)], 2: [(95, 9e6), (85, 1e6)]}
    results = [
        make_result(value, accuracy, seed=seed, metrics={PARAMETERS: size})
        for value, points in seeds.items()
        for seed, (accuracy, size) in enumerate(points)
    ]
    assert values([*front_of(report_of(results))]) == [1]
    assert "1 of 2 values is on the Pareto front" in report_of(results).sentence()
    assert "n = 2" in report_of(results).sentence()


def test_what_violates_a_constraint_is_not_ranked(results: list[TrialResult]) -> None:
    for report in (
        report_of(results, UNDER),
        report_of(results, UNDER, objectives=(ACCURATE,)),
    ):
        assert values([*infeasible_of(report)]) == [1, float("inf")]
        assert values([*report.ranking()]) == [0.1, 0, 10]
        assert report.best_genotype == "of 0.1"
        assert report.to_dict()["infeasible"] == [{"update.lambda": 1}, {"update.lambda": "inf"}]
        told = (
            "λ = 1 and λ = inf do not meet number of parameters <= 5,200,000, so they are not "
            "ranked"
        )
        assert told in report.sentence()
        lines = report.markdown().splitlines()
        assert sum("| infeasible |" in line for line in lines) == 2


def test_nothing_is_best_if_nothing_is_feasible(results: list[TrialResult]) -> None:
    report = report_of(results, Constraint(PARAMETERS, True, 10.0))
    assert report.best() is None and front_of(report) == []
    assert report.sentence() == (
        "Nothing can be ranked: 5 values do not meet number of parameters <= 10, so they are not "
        "ranked."
    )


def test_a_constraint_is_met_at_its_bound_and_unknown_values_violate_it() -> None:
    assert UNDER.excess(5.2e6) == 0 and UNDER.excess(5.3e6) == pytest.approx(1e5)
    at_least = Constraint("valid_accuracy", False, 50.0)
    assert at_least.excess(40.0) == 10 and at_least.excess(60.0) == -10
    assert at_least.excess(None) == at_least.excess(float("nan")) == float("inf")
    assert at_least.words == "supernet valid accuracy >= 50 %"


def test_a_seed_that_violates_a_constraint_gives_no_genotype(make_result: MakeResult) -> None:
    results = [
        make_result(1, accuracy, seed=seed, metrics={PARAMETERS: size}, genotype=f"{size:g}")
        for seed, (accuracy, size) in enumerate([(95, 6e6), (90, 3e6)])
    ]
    report = report_of(results, UNDER, objectives=(ACCURATE,))
    assert values([*report.ranking()]) == [1]  # 4.5 million on average
    assert report.best_genotype == "3e+06"
    strict = report_of(results, Constraint(PARAMETERS, True, 4e6), objectives=(ACCURATE,))
    assert strict.ranking() == [] and strict.best() is None


def test_a_diverged_row_is_not_on_the_front(make_result: MakeResult) -> None:
    results = [
        make_result(0, 80.0, metrics={PARAMETERS: 3e6}),
        make_result(1, 99.0, metrics={PARAMETERS: 1e6}),
        make_result(1, None, seed=1, metrics={"train_loss": float("nan")}),
    ]
    report = report_of(results)
    assert values([*front_of(report)]) == [0]
    assert values([*report.ranking()]) == [0, 1]


def test_one_objective_has_the_order_of_its_key() -> None:
    generator = random.Random(0)
    own = [
        Ranked(
            (float(generator.randrange(4)),), (generator.randrange(9),), generator.random() < 0.2
        )
        for _ in range(60)
    ]
    for mode in ("max", "min"):
        keys = [rank_key(r.means[0], r.values, mode=mode, diverged=r.diverged) for r in own]
        expected = sorted(range(len(own)), key=keys.__getitem__)
        assert best_first(own, [Objective("a", mode)]) == expected


def test_a_row_without_an_objective_is_not_ranked(results: list[TrialResult]) -> None:
    report = report_of(results, objectives=(ACCURATE, Objective("skips", "min")))
    assert report.sentence() == (
        "No trial has a value of supernet valid accuracy and skips, so nothing can be ranked."
    )


def test_retraining_runs_of_model_sizes_have_a_table(make_result: MakeResult) -> None:
    def retrained(convolutions: int, value: float, accuracy: float, seed: int) -> TrialResult:
        return make_result(
            value,
            phase="retrain",
            trial_id=f"retrain-{convolutions}-{seed}",
            parent=f"{value}-0",
            seed=seed,
            parameters={"update.lambda": value, "retrain.convolutions": convolutions},
            metrics={"test_accuracy": accuracy},
        )

    searches = [make_result(value, 90.0) for value in (0, 1)]
    runs = [retrained(12, 1, 95.0, 0), retrained(3, 0, 90.0, 0), retrained(3, 0, 92.0, 1)]
    report = Report("s", LAMBDA, [*searches, *runs], "valid_accuracy")
    assert (
        "## Retraining by model size\n\n"
        "| convolutions | λ | n | test % |\n|---|---|---:|---:|\n"
        "| 3 | 0 | 2 | 91.00 ± 1.41 |\n| 12 | 1 | 1 | 95.00 ± – |\n"
    ) in report.markdown()
    titles = [table.title for table in report.tables()]
    assert titles == ["Sweep s", "Retraining by model size"]
    assert "model size" not in Report("s", LAMBDA, searches, "valid_accuracy").markdown()
