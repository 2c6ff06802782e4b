"""Retraining runs under several settings against numbers worked out by hand."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence

import pytest

from tune_nas.report import Report, TrialResult
from tune_nas.report.terminal import Terminal

Make = Callable[..., TrialResult]
LAMBDA = "update.lambda"

# Test accuracies with two seeds. Means under short: 80, 82, 84, 86; under long: 91, 90, 93, 92,
# so two of six pairs are reversed: τ = (4 − 2) / 6.
SHORT = {0.0: (79, 81), 0.1: (82, 82), 1.0: (83, 85), math.inf: (86, 86)}
LONG = {0.0: (90, 92), 0.1: (90, 90), 1.0: (93, 93), math.inf: (92, 92)}


def retraining(
    make: Make, setting: str, accuracies: Mapping[float, Sequence[float]], **changes: object
) -> list[TrialResult]:
    return [
        make(
            value,
            seed=seed,
            trial_id=f"retrain-{setting}-{value}-{seed}",
            phase="retrain",
            parent=f"{value}-0",
            parameters={LAMBDA: value, "retrain.setting": setting},
            metrics={"test_accuracy": accuracy, "test_loss": 1.0},
            **changes,
        )
        for value, of_value in accuracies.items()
        for seed, accuracy in enumerate(of_value)
    ]


@pytest.fixture
def searches(make_result: Make) -> list[TrialResult]:
    return [make_result(value, 50 + number) for number, value in enumerate(SHORT)]


def report_of(results: Sequence[TrialResult], rank_by: str = "valid_accuracy") -> Report:
    return Report("s", [LAMBDA], results, rank_by)


def test_means_ranks_and_the_agreement(make_result: Make, searches: list[TrialResult]) -> None:
    short, long = (retraining(make_result, *each) for each in (("short", SHORT), ("long", LONG)))
    report = report_of([*searches, *short, *long])
    found = report.by_setting
    assert found is not None and found.settings == ["short", "long"]
    rows = [
        (r.setting, r.values[LAMBDA], r.accuracy and r.accuracy.mean, r.rank) for r in found.rows
    ]
    assert rows == [
        *[
            ("short", 0, 80, 4),
            ("short", 0.1, 82, 3),
            ("short", 1, 84, 2),
            ("short", math.inf, 86, 1),
        ],
        *[("long", 0, 91, 3), ("long", 0.1, 90, 4), ("long", 1, 93, 1), ("long", math.inf, 92, 2)],
    ]
    first = found.rows[0].accuracy
    assert first is not None and first.n == 2
    assert first.std == pytest.approx(math.sqrt(2))  # deviations −1 and 1, n − 1 = 1
    (agreement,) = found.agreements
    assert agreement.settings == ("short", "long")
    assert (agreement.tau, agreement.n) == (pytest.approx(1 / 3), 4)


def test_the_sweeps_own_table_has_the_first_setting_alone(
    make_result: Make, searches: list[TrialResult]
) -> None:
    short, long = (retraining(make_result, *each) for each in (("short", SHORT), ("long", LONG)))
    report = report_of([*searches, *short, *long], "retrain/test_accuracy")
    means = [row.statistics["retrain/test_accuracy"].mean for row in report.rows()]
    assert means == [80, 82, 84, 86]
    assert report.ranking()[0].values == {LAMBDA: math.inf}
    assert "the first table has the retraining runs under short alone" in report.lines()


def test_every_format_has_them(make_result: Make, searches: list[TrialResult]) -> None:
    short, long = (retraining(make_result, *each) for each in (("short", SHORT), ("long", LONG)))
    report = report_of([*searches, *short, *long])
    sentence = "the order of λ under short and long: τ = 0.33 over 4 values"
    page, text = report.markdown(), Terminal().render(report)
    assert f"- {sentence}\n" in page and f"{sentence}\n" in text
    assert "| setting | λ | n | test % | rank |" in page
    assert "| short | 0 | 2 | 80.00 ± 1.41 | 4 |" in page
    assert "| long | inf | 2 | 92.00 ± 0.00 | 2 |" in page
    cells = [[c.strip() for c in line.split("│")[1:-1]] for line in text.splitlines()]
    assert ["long", "1", "2", "93.00 ± 0.00", "1"] in cells
    document = json.loads(json.dumps(report.to_dict(), allow_nan=False))["settings"]
    assert document["agreements"] == [
        {"settings": ["short", "long"], "tau": pytest.approx(1 / 3), "n": 4}
    ]
    assert document["rows"][3] == {
        "setting": "short",
        "values": {LAMBDA: "inf"},
        "failed": 0,
        "diverged": 0,
        "test_accuracy": {"mean": 86.0, "std": 0.0, "n": 2, "interval": [86.0, 86.0]},
        "rank": 1,
    }


def test_missing_failed_and_diverged_runs_are_named(
    make_result: Make, searches: list[TrialResult]
) -> None:
    """Under long: no run of λ = 0.1, a failed one of λ = 0, a diverged one of λ = 1."""
    short = retraining(make_result, "short", SHORT)
    long = retraining(make_result, "long", {0.0: (90,), 1.0: (99, math.nan), math.inf: (92,)})
    failed = retraining(make_result, "long", {0.0: (1,)}, status="failed", error="it broke")
    report = report_of([*searches, *short, *long, *failed])
    found = report.by_setting
    assert found is not None
    rows = {row.values[LAMBDA]: row for row in found.rows if row.setting == "long"}
    assert rows[0.1].accuracy is None and rows[0.1].rank is None
    assert (rows[0].failed, rows[0].diverged, rows[0].rank) == (1, 0, 2)
    # A value with a diverged run is after all others, although its mean is the highest.
    assert (rows[1].failed, rows[1].diverged, rows[1].rank) == (0, 1, 3)
    assert rows[math.inf].rank == 1
    (agreement,) = found.agreements
    assert (agreement.tau, agreement.n) == (1.0, 2)  # λ = 0 and inf
    lines = report.lines()
    assert "no mean under long: λ = 0.1" in lines
    assert "left out of τ, since a run under long diverged: λ = 1" in lines
    assert "the order of λ under short and long: τ = 1.00 over 2 values" in lines
    assert "| long | 0.1 | 0 | 0 | 0 | – | – |" in report.markdown()


def test_equal_means_share_a_rank_and_may_leave_no_order(
    make_result: Make, searches: list[TrialResult]
) -> None:
    tied = {0.0: (80,), 0.1: (80,), 1.0: (70,), math.inf: (90,)}
    level = dict.fromkeys(tied, (50,))
    results = [*retraining(make_result, "tied", tied), *retraining(make_result, "level", level)]
    report = report_of([*searches, *results])
    found = report.by_setting
    assert found is not None
    assert [row.rank for row in found.rows] == [2, 2, 4, 1, 1, 1, 1, 1]
    assert report.lines()[-1] == (
        "the order of λ under tied and level: τ is not defined, since all 4 values have the same "
        "mean under one of them"
    )


def test_the_mean_over_three_settings(make_result: Make, searches: list[TrialResult]) -> None:
    reversed_ = dict(zip(SHORT, reversed(SHORT.values()), strict=True))
    results = [
        run
        for name, accuracies in (("a", SHORT), ("b", SHORT), ("c", reversed_))
        for run in retraining(make_result, name, accuracies)
    ]
    report = report_of([*searches, *results])
    assert report.by_setting is not None
    assert [pair.tau for pair in report.by_setting.agreements] == [1.0, -1.0, -1.0]
    assert report.lines()[-1] == "mean τ of 3 pairs of settings: -0.33"


def test_runs_of_one_genotype_have_no_order(make_result: Make) -> None:
    results = [
        *retraining(make_result, "a", {1.0: (80, 82)}),
        *retraining(make_result, "b", {1.0: (70, 72)}),
    ]
    report = Report("s", [], results, "retrain/test_accuracy")
    assert report.by_setting is not None and report.by_setting.agreements == ()
    assert "| a | 2 | 81.00 ± 1.41 |" in report.markdown()
    assert "rank" not in report.markdown()


def test_without_settings_nothing_changes(make_result: Make, searches: list[TrialResult]) -> None:
    runs = [
        make_result(
            0.0, phase="retrain", trial_id="r", parent="0.0-0", metrics={"test_accuracy": 80}
        )
    ]
    report = report_of([*searches, *runs])
    assert report.by_setting is None
    assert report.to_dict()["settings"] is None
    assert "Retraining by setting" not in report.markdown()
    assert len(report.tables()) == 1
