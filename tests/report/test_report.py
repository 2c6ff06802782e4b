"""The report against numbers worked out by hand."""

import io
import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from tune_nas.config import TrialConfig, dotted_keys
from tune_nas.report import Report, TrialResult
from tune_nas.report.labels import axis_label, normalize, order_key, value_label

Make = Callable[..., TrialResult]
LAMBDA = ["update.lambda"]


def text_of(report: Report) -> str:
    text = io.StringIO()
    Console(width=160, file=text).print(report.table())
    return text.getvalue()


@pytest.fixture
def lambda_sweep(make_result: Make) -> list[TrialResult]:
    """Two values, three seeds; λ = inf as YAML gives it, in the wrong order."""
    return [
        make_result(
            value,
            accuracy,
            seed=seed,
            metrics={"gap": gap, "genotype/skips": skips, "genotype/parameters": 1_500_000},
            history=[{"seconds": 1.5}, {"seconds": 2.5}],
            genotype=f"{value} {seed}",
        )
        for value, seed, accuracy, gap, skips in (
            ("inf", 0, 80.0, 1.0, 4),
            ("inf", 1, 82.0, 2.0, 5),
            ("inf", 2, 87.0, 3.0, 6),
            (1, 0, 90.0, 4.0, 1),
            (1, 1, 91.0, 4.0, 1),
            (1, 2, 92.0, 4.0, 2),
        )
    ]


def test_means_and_sample_deviations(lambda_sweep: list[TrialResult]) -> None:
    one, infinite = Report("s", LAMBDA, lambda_sweep, "valid_accuracy").rows()
    assert (one.values, infinite.values) == ({LAMBDA[0]: 1}, {LAMBDA[0]: math.inf})
    assert (one.n, infinite.n) == (3, 3)
    accuracy = infinite.statistics["valid_accuracy"]
    assert accuracy.mean == 83.0
    # Deviations −3, −1, 4: the sum of squares is 26, divided by n − 1 = 2.
    assert accuracy.std == pytest.approx(math.sqrt(13.0))
    assert one.statistics["valid_accuracy"].std == pytest.approx(1.0)
    assert one.statistics["gap"].std == 0.0
    assert infinite.statistics["genotype/skips"].mean == 5.0
    assert one.statistics["seconds"].mean == 4.0


def test_the_table_shows_them(lambda_sweep: list[TrialResult]) -> None:
    report = Report("s", LAMBDA, lambda_sweep, "valid_accuracy")
    lines = [line.split("│")[1:-1] for line in text_of(report).splitlines() if "│" in line]
    cells = [[cell.strip() for cell in line] for line in lines]
    assert cells == [
        ["1", "3", "91.00 ± 1.00", "4.00 ± 0.00", "1.3", "1.50 M", "4.0"],
        ["inf", "3", "83.00 ± 3.61", "2.00 ± 1.00", "5.0", "1.50 M", "4.0"],
    ]
    assert "| λ | n | valid % | gap | skips | parameters | search s |" in report.markdown()
    assert "| **1** | **3** | **91.00 ± 1.00** |" in report.markdown()


def test_the_best_genotype_is_the_best_rows_best(lambda_sweep: list[TrialResult]) -> None:
    assert Report("s", LAMBDA, lambda_sweep, "valid_accuracy").best_genotype == "1 2"
    assert Report("s", LAMBDA, lambda_sweep, "valid_accuracy", "min").best_genotype == "inf 0"
    assert Report("s", LAMBDA, [], "valid_accuracy").best_genotype is None


def test_strict_json(lambda_sweep: list[TrialResult]) -> None:
    report = Report("s", LAMBDA, lambda_sweep, "valid_accuracy")
    content = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert content["best"] == "1-2"
    assert content["sentence"] == report.sentence()
    assert content["rows"][1]["values"] == {"update.lambda": "inf"}
    statistic = content["rows"][1]["statistics"]["valid_accuracy"]
    assert statistic == {
        "mean": 83.0,
        "std": pytest.approx(math.sqrt(13.0)),
        "n": 3,
        "interval": [pytest.approx(80.67, abs=0.01), 87.0],
    }


def test_a_single_trial_has_no_deviation(make_result: Make) -> None:
    report = Report("s", LAMBDA, [make_result(1, 90.0)], "valid_accuracy")
    assert report.rows()[0].statistics["valid_accuracy"].std is None
    assert "90.00 ± –" in text_of(report)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_has_diverged(make_result: Make, bad: float) -> None:
    """λ = 10 has the best value of all, in the one seed of three that did not diverge."""
    results = [make_result(10, value, seed=s) for s, value in enumerate((95.0, bad, bad))]
    results += [make_result(1, value, seed=s) for s, value in enumerate((90.0, 91.0, 92.0))]
    report = Report("s", LAMBDA, results, "valid_accuracy")
    one, ten = report.rows()
    assert (ten.n, ten.diverged, ten.failed, ten.statistics["valid_accuracy"].n) == (1, 2, 0, 1)
    assert report.ranking() == [one, ten]
    assert report.best() == results[5]
    lines = [line.split("│")[1:-1] for line in text_of(report).splitlines() if "│" in line]
    assert [[cell.strip() for cell in line] for line in lines] == [
        ["1", "3", "0", "91.00 ± 1.00"],
        ["10", "1", "2", "95.00 ± –"],
    ]
    assert "| λ | n | diverged | valid % |" in report.markdown()
    assert "| **1** | **3** | **0** | **91.00 ± 1.00** |" in report.markdown()
    assert report.to_dict()["rows"][1]["diverged"] == 2
    assert report.notes() == [
        f"search 10-{seed} (λ = 10, seed {seed}) diverged: its loss or metric is not finite"
        for seed in (1, 2)
    ]


def test_divergence_is_known_by_its_error_and_by_a_loss(make_result: Make) -> None:
    message = "DivergedError: the train loss is nan in epoch 2; a lower … may help"
    results = [
        make_result(1, 90.0, seed=0),
        make_result(1, 80.0, seed=1, status="failed", error=message),
        make_result(1, 80.0, seed=2, metrics={"valid_loss": math.nan}),
        make_result(1, 80.0, seed=3, status="failed", error="ValueError: no"),
        make_result(1, 80.0, seed=4, metrics={"entropy/mean": math.nan}),
    ]
    (row,) = Report("s", LAMBDA, results, "valid_accuracy").rows()
    assert [trial.seed for trial in row.trials] == [0, 4]
    assert (row.diverged, row.failed) == (2, 1)


def test_a_metric_that_some_trials_lack_has_its_own_n(make_result: Make) -> None:
    results = [make_result(1, 90.0 + s, seed=s) for s in range(3)]
    results[0].metrics["gap"] = 2.0
    assert "2.00 ± –, n=1" in text_of(Report("s", LAMBDA, results, "valid_accuracy"))


def test_the_same_search_counts_once(make_result: Make) -> None:
    """Sweeps of earlier versions contain it several times, with the same result each time."""
    results = [make_result(1, 90.0, trial_id=f"same{i}") for i in range(4)]
    results += [make_result(1, 92.0, seed=1), make_result(1, seed=1, status="failed", trial_id="x")]
    report = Report("s", LAMBDA, results, "valid_accuracy")
    (row,) = report.rows()
    accuracy = row.statistics["valid_accuracy"]
    assert (row.n, row.failed, accuracy.n, accuracy.mean) == (2, 0, 2, 91.0)
    assert accuracy.std == pytest.approx(math.sqrt(2))


def test_retrains_that_diverged_rank_last_where_retrains_rank(make_result: Make) -> None:
    results = [make_result(v, 90.0 - v, seed=s) for v in (1, 2) for s in (0, 1)]
    for value, accuracies in ((1, (95.0, math.nan)), (2, (70.0, 72.0))):
        results += [
            make_result(
                value,
                phase="retrain",
                trial_id=f"r{value}{seed}",
                parent=f"{value}-{seed}",
                metrics={"test_accuracy": accuracy},
            )
            for seed, accuracy in enumerate(accuracies)
        ]
    report = Report("s", LAMBDA, results, "retrain/test_accuracy")
    assert [row.values["update.lambda"] for row in report.ranking()] == [2, 1]
    one, _ = report.rows()
    assert (one.retrains_diverged, one.retrains_failed, one.diverged) == (1, 0, 0)
    assert "1 retrain diverged" in report.sentence()


def test_stopped_and_failed_trials_count_but_in_no_mean(make_result: Make) -> None:
    results = [
        make_result(1, 90.0, seed=0),
        make_result(1, 10.0, seed=1, status="stopped early", reason="stopped by ASHA"),
        make_result(1, 99.0, seed=2, status="failed", error="ValueError: no"),
        make_result(0, None, seed=0, status="failed", error="ValueError: no"),
    ]
    report = Report("s", LAMBDA, results, "valid_accuracy")
    zero, one = report.rows()
    assert (one.n, one.stopped, one.failed) == (1, 1, 1)
    assert one.statistics["valid_accuracy"].mean == 90.0
    assert (zero.n, zero.failed, zero.statistics) == (0, 1, {})
    assert report.notes() == [
        "search 1-1 (λ = 1, seed 1) stopped early: stopped by ASHA",
        "search 1-2 (λ = 1, seed 2) failed: ValueError: no",
        "search 0-0 (λ = 0, seed 0) failed: ValueError: no",
    ]
    assert "- search 0-0 (λ = 0, seed 0) failed: ValueError: no" in report.markdown()


def test_retrains_belong_to_their_searches_row(make_result: Make) -> None:
    results = [make_result(v, 90.0 + v, seed=s) for v in (0, 1) for s in (0, 1)]
    results += [
        make_result(
            "?", None, phase="retrain", trial_id=f"r{i}", parent=parent, parameters={}, **more
        )
        for i, (parent, more) in enumerate(
            [
                ("0-0", {"metrics": {"test_accuracy": 70.0}}),
                ("0-1", {"metrics": {"test_accuracy": 72.0, "best_test_accuracy": 99.0}}),
                ("1-0", {"metrics": {"test_accuracy": 75.0}}),
                ("1-1", {"status": "failed", "error": "x"}),
            ]
        )
    ]
    report = Report("s", LAMBDA, results, "valid_accuracy")
    zero, one = report.rows()
    statistic = zero.statistics["retrain/test_accuracy"]
    assert (statistic.mean, statistic.std, statistic.n) == (71.0, pytest.approx(math.sqrt(2)), 2)
    assert (len(one.retrained), one.retrains_failed) == (1, 1)
    assert "75.00 ± –, n=1" in text_of(report)
    by_retrain = Report("s", LAMBDA, results, "test_accuracy")
    assert [row.values["update.lambda"] for row in by_retrain.ranking()] == [1, 0]
    best = by_retrain.best()
    assert best is not None
    assert best.trial_id == "1-0"


def test_a_retrain_alone_counts_as_one(make_result: Make) -> None:
    retrain = make_result(
        1, phase="retrain", parameters={}, metrics={"test_accuracy": 95.0}, trial_id="r"
    )
    report = Report("one", [], [retrain], "retrain/test_accuracy")
    assert "95.00" in text_of(report) and "n=1" not in text_of(report)
    assert "retrain test accuracy 95.00 %, n = 1" in report.sentence()


def test_only_what_was_repeated_is_ranked(make_result: Make) -> None:
    results = [make_result(v, a) for v, a in ((0.1, 95.0), (0.2, 94.0), (0.3, 99.0))]
    results += [
        make_result(v, a, seed=s, phase="repeat", trial_id=f"r{v}{s}")
        for v, s, a in ((0.1, 1, 90.0), (0.1, 2, 92.0), (0.2, 1, 93.0), (0.2, 2, 95.0))
    ]
    report = Report("s", LAMBDA, results, "valid_accuracy")
    ranking = report.ranking()
    assert [(row.values["update.lambda"], row.n) for row in ranking] == [(0.2, 2), (0.1, 2)]
    assert ranking[0].statistics["valid_accuracy"].mean == 94.0
    assert [row.values["update.lambda"] for row in report.not_repeated()] == [0.3]
    assert [trial.metrics["valid_accuracy"] for trial in ranking[0].searched] == [94.0]
    assert "| **0.2** | **2 repeats** | **94.00 ± 1.41** |" in report.markdown()
    assert "| 0.3 | 1 | 99.00 ± – |" in report.markdown()


def test_where_all_repeats_failed_the_searches_are_ranked(make_result: Make) -> None:
    results = [make_result(v, 90.0 + v) for v in (1, 2)]
    results.append(
        make_result(2, phase="repeat", trial_id="r", status="failed", error="ValueError: no")
    )
    ranking = Report("s", LAMBDA, results, "valid_accuracy").ranking()
    assert [row.values["update.lambda"] for row in ranking] == [1]


def test_two_axes_and_conditional_values(make_result: Make) -> None:
    axes = ["update.level", "update.lambda"]
    combinations: list[dict[str, Any]] = [
        {"update.level": "single"},
        {"update.level": "mixed", "update.lambda": 1},
        {"update.level": "mixed", "update.lambda": "0.1"},
    ]
    results = [
        make_result(0, 90.0, trial_id=str(i), parameters=p) for i, p in enumerate(combinations)
    ]
    report = Report("s", axes, results, "valid_accuracy")
    assert [row.label for row in report.rows()] == [
        "level = mixed, λ = 0.1",
        "level = mixed, λ = 1",
        "level = single, λ = –",
    ]


def test_a_metric_of_the_users_own_gets_a_column(make_result: Make) -> None:
    results = [make_result(v, 90.0, metrics={"entropy/mean": v}) for v in (1, 2)]
    report = Report("s", LAMBDA, results, "entropy/mean", "min")
    assert report.ranking()[0].values == {"update.lambda": 1}
    assert "entropy/mean" in text_of(report)
    with pytest.raises(ValueError, match="mode is 'best', but must be 'max' or 'min'"):
        Report("s", LAMBDA, results, "x", "best")


def test_values_come_by_size_with_inf_last_then_texts() -> None:
    values = [normalize(v) for v in ("inf", 10, "sigmoid", 0, None, "1e-3", 0.1, "gumbel", 999)]
    ordered = sorted(values, key=order_key)
    assert ordered == [0, 0.001, 0.1, 10, 999, math.inf, "gumbel", "sigmoid", None]
    assert [value_label(value) for value in ordered] == [
        *("0", "0.001", "0.1", "10", "999", "inf", "gumbel", "sigmoid", "–")
    ]


@pytest.mark.parametrize(
    ("key", "label"),
    [
        ("update.lambda", "λ"),
        ("optimizer.alphas.learning_rate", "α learning rate"),
        ("optimizer.weights.learning_rate", "w learning rate"),
        ("relaxation.kind", "relaxation"),
        ("schedule.batch_size", "batch size"),
        ("retrain.batch_size", "retrain.batch_size"),
        ("relaxation.temperature.end", "temperature.end"),
        ("relaxation.smoothing.end", "smoothing.end"),
        ("selection.perturbation.order", "perturbation.order"),
        ("trial", "trial"),
    ],
)
def test_swept_keys_have_short_names(key: str, label: str) -> None:
    assert axis_label(key) == label


def test_no_two_keys_have_the_same_name() -> None:
    labels = [axis_label(key) for key in dotted_keys(TrialConfig)]
    assert sorted(labels) == sorted(set(labels))
