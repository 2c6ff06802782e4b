"""Importance of swept keys where the truth is known, and parallel coordinates."""

import math
from collections.abc import Callable

import numpy as np
import optuna
import pytest

from tune_nas.figures.palette import QUIET, sequential_color
from tune_nas.report import Report, TrialResult
from tune_nas.report.plots.parallel_coordinates import plot_parallel_coordinates
from tune_nas.report.plots.parameter_importance import (
    Importance,
    importance_of,
    plot_importance,
    trees_of,
)
from tune_nas.report.plots.value_scale import MISSING, scale_of

Make = Callable[..., TrialResult]


def report(results: list[TrialResult], *axes: str) -> Report:
    return Report("s", list(axes or ("a", "b")), results, "valid_accuracy")


def sampled(make: Make, n: int, value: Callable[[float, float], float]) -> list[TrialResult]:
    rows = np.random.default_rng(0).random((n, 2)).tolist()
    return [
        make(0, value(a, b), trial_id=f"t{number:03}", parameters={"a": a, "b": b})
        for number, (a, b) in enumerate(rows)
    ]


def importance(results: list[TrialResult], *axes: str) -> Importance:
    found = importance_of(report(results, *axes))
    assert isinstance(found, Importance), found
    return found


def test_the_shares_of_a_known_function(make_result: Make) -> None:
    """Of y = 10 a + b over the unit square, a has 100/101 of the variance and b 1/101."""
    found = importance(sampled(make_result, 200, lambda a, b: 10 * a + b))
    assert list(found.shares) == ["a", "b"]
    assert found.shares["a"] == pytest.approx(100 / 101, abs=0.03)
    assert found.shares["b"] == pytest.approx(1 / 101, abs=0.015)
    assert (found.n, found.diverged, found.epoch, found.left_out) == (200, 0, None, ())


def test_the_fewer_trees_of_many_searches_find_the_same_shares(
    make_result: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [trees_of(n) for n in (0, 10, 100, 200, 800, 10_000)] == [64, 64, 64, 32, 16, 16]
    results = sampled(make_result, 400, lambda a, b: 90 / (1 + (3 * a - 1) ** 2 + b))
    few = importance(results)
    name = "tune_nas.report.plots.parameter_importance.trees_of"
    monkeypatch.setattr(name, lambda n: 64)
    many = importance(results)
    assert few.shares != many.shares
    assert few.shares == pytest.approx(many.shares, abs=0.02)


def test_few_searches_rank_the_keys_too_and_a_seed_repeats_them(make_result: Make) -> None:
    results = sampled(make_result, 12, lambda a, b: a + 10 * b)
    first = importance(results)
    assert list(first.shares) == ["b", "a"]
    assert importance(results) == first


def test_a_logarithmic_key_counts_by_its_logarithm(make_result: Make) -> None:
    """With y = log10 a + b, a from 1e-4 to 1 has 16/17 of the variance, b 1/17."""
    results = [
        make_result(0, math.log10(a) + b, trial_id=f"t{n:03}", parameters={"a": a, "b": b})
        for n, (x, b) in enumerate(np.random.default_rng(1).random((200, 2)).tolist())
        if (a := 10 ** (-4 * x))
    ]
    found = importance(results)
    assert found.shares["a"] == pytest.approx(16 / 17, abs=0.04)


def test_diverged_searches_count_as_the_worst_finite_value(make_result: Make) -> None:
    """Where a is large, searches diverge: that makes a important, and infinity would not."""
    results = sampled(make_result, 100, lambda a, b: 50.0 + 5 * b if a < 0.7 else math.nan)
    found = importance(results)
    lost = sum(math.isnan(result.metrics["valid_accuracy"]) for result in results)
    assert found.diverged == lost > 10 and found.n == 100
    values = [result.metrics["valid_accuracy"] for result in results]
    worst = min(value for value in values if not math.isnan(value))
    told = [
        make_result(
            0,
            worst if math.isnan(value) else value,
            trial_id=result.trial_id,
            parameters=result.parameters,
        )
        for result, value in zip(results, values, strict=True)
    ]
    assert importance(told).shares == found.shares


def test_early_stopping_compares_at_an_epoch_that_all_reached(make_result: Make) -> None:
    results = [
        make_result(
            0,
            99.0 if number % 2 else 1.0,  # the last value says how long a search ran
            trial_id=f"t{number:03}",
            parameters=result.parameters,
            status="finished" if number % 2 else "stopped early",
            history=[
                {"valid_accuracy": 0.0},
                {"valid_accuracy": result.metrics["valid_accuracy"]},
                *[{"valid_accuracy": 99.0}] * (3 * (number % 2)),
            ],
        )
        for number, result in enumerate(sampled(make_result, 60, lambda a, b: 10 * a + b))
    ]
    found = importance(results)
    assert found.epoch == 2 and found.n == 60
    plain = importance(sampled(make_result, 60, lambda a, b: 10 * a + b))
    assert found.shares == plain.shares
    assert "at epoch 2, which all reached" in plot_importance(found).caption


def test_a_conditional_key_is_left_out_and_named(make_result: Make) -> None:
    results = [
        make_result(
            0,
            result.metrics["valid_accuracy"],
            trial_id=result.trial_id,
            parameters={**result.parameters, **({"update.lambda": 1.0} if n % 2 else {})},
        )
        for n, result in enumerate(sampled(make_result, 40, lambda a, b: 10 * a + b))
    ]
    found = importance(results, "a", "b", "update.lambda")
    assert found.left_out == ("update.lambda",) and set(found.shares) == {"a", "b"}
    assert "Not every search has λ" in plot_importance(found).caption


def test_categories_and_inf_are_keys_too(make_result: Make) -> None:
    values = (0, 0.1, 1, "inf")
    results = [
        make_result(
            0,
            (10.0 if value == "inf" else 0.0) + (kind == "softmax"),
            trial_id=f"{value}{kind}{n}",
            seed=n,
            parameters={"update.lambda": value, "relaxation.kind": kind},
        )
        for value in values
        for kind in ("softmax", "sigmoid")
        for n in range(3)
    ]
    found = importance(results, "update.lambda", "relaxation.kind")
    # λ = inf or not: variance 100 · 3/16; softmax or not: 1/4
    assert found.shares["update.lambda"] == pytest.approx(18.75 / 19, abs=0.02)


def test_the_reason_for_none(make_result: Make) -> None:
    few = sampled(make_result, 9, lambda a, b: a)
    assert "fewer than 10 searches; here are 9" in str(importance_of(report(few)))
    level = sampled(make_result, 20, lambda a, b: 7.0)
    assert "the same in all searches" in str(importance_of(report(level)))
    one = sampled(make_result, 20, lambda a, b: a)
    assert "needs two" in str(importance_of(report(one, "a")))
    assert "here are 0" in str(importance_of(report([])))


def test_the_caption_names_the_evaluator_and_its_version(
    make_result: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    before = optuna.logging.get_verbosity()
    plot = plot_importance(importance(sampled(make_result, 12, lambda a, b: a + 10 * b)))
    assert f"fANOVA of Optuna {optuna.__version__} (64 trees, seed 0), from n = 12" in plot.caption
    assert optuna.logging.get_verbosity() == before and capsys.readouterr().err == ""
    (panel,) = plot.figure.axes
    assert [tick.get_text() for tick in panel.get_yticklabels()] == ["b", "a"]
    longest, shortest = (bar.get_width() for bar in panel.patches)
    assert longest > shortest


def test_scales_of_values() -> None:
    few = scale_of([0.1, math.inf, 0, None])
    assert [few.position(value) for value in (0, 0.1, math.inf, None)] == [0, 0.5, 1, MISSING]
    assert few.ticks() == [(0, "0"), (0.5, "0.1"), (1, "inf")]
    rates = scale_of([10.0**-n for n in range(7)])
    assert rates.logarithmic and rates.position(1e-3) == pytest.approx(0.5)
    assert [label for _, label in rates.ticks()] == ["1e-06", "0.001", "1"]
    assert not scale_of(range(7)).logarithmic and scale_of(range(7)).position(3) == 0.5
    assert scale_of(["x"]).position("x") == 0.5


def test_parallel_coordinates_pass_through_the_values(make_result: Make) -> None:
    data = {"t0": ("x", 1, 10.0), "t1": ("y", 2, 30.0), "t2": ("y", 2, 20.0), "t3": ("x", None, 0)}
    results = [
        make_result(
            0,
            accuracy if accuracy else math.nan,
            trial_id=name,
            seed=int(name[1]),
            parameters={"a": a} | ({} if b is None else {"b": b}),
        )
        for name, (a, b, accuracy) in data.items()
    ]
    results.append(
        make_result(
            0, 25.0, trial_id="t4", seed=4, status="stopped early", parameters={"a": "x", "b": 1}
        )
    )
    plot = plot_parallel_coordinates(report(results), "A note.")
    assert plot is not None and plot.caption.endswith("A note.")
    lines = [line for line in plot.figure.axes[0].lines if len(line.get_xdata()) == 3]
    found = {
        (round(y[0], 1), round(y[1], 1), round(y[2], 2)): (line.get_color(), line.get_linestyle())
        for line in lines
        if (y := [float(height) for height in line.get_ydata()])
    }
    assert found == {
        (0, 0, 0.0): (sequential_color(1), "-"),
        (1, 1, 1.0): (sequential_color(0), "-"),
        (1, 1, 0.5): (sequential_color(0.5), "-"),
        (0, -0.1, MISSING): (QUIET, "--"),
        (0, 0, 0.75): (sequential_color(0.25), "--"),
    }
    texts = [text.get_text() for text in plot.figure.axes[0].texts]
    assert {"not set", "no value", "x", "y", "10", "30"} <= set(texts)
    assert "marked as stopped early or diverged" in plot.caption
    assert plot_parallel_coordinates(report(results, "a")) is None
    assert plot_parallel_coordinates(report(results[:2])) is None
