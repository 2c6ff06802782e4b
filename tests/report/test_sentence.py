"""The sentence of every situation, word for word, with numbers worked out by hand."""

import math
from collections.abc import Callable, Sequence

from tune_nas.report import Report, TrialResult

Make = Callable[..., TrialResult]
SUPERNETS = "nothing was retrained, so this compares supernets, not the networks found"


def searches(make: Make, values: dict[object, Sequence[float]]) -> list[TrialResult]:
    return [
        make(value, accuracy, seed=seed)
        for value, accuracies in values.items()
        for seed, accuracy in enumerate(accuracies)
    ]


def retrains(make: Make, values: dict[object, float]) -> list[TrialResult]:
    return [
        make(value, None, phase="retrain", trial_id=f"r{value}", parent=f"{value}-0")
        if accuracy is None
        else make(
            value,
            None,
            phase="retrain",
            trial_id=f"r{value}",
            parent=f"{value}-0",
            metrics={"test_accuracy": accuracy},
        )
        for value, accuracy in values.items()
    ]


def sentence(results: list[TrialResult], rank_by: str = "valid_accuracy", mode: str = "max") -> str:
    return Report("lambda", ["update.lambda"], results, rank_by, mode).sentence()


def test_a_clear_winner(make_result: Make) -> None:
    results = searches(make_result, {0: (80.0, 81.0, 82.0), 1: (90.0, 91.0, 92.0)})
    assert sentence(results) == (
        "λ = 1 best by supernet valid accuracy (91.00 ± 1.00 %, n = 3); "
        "the difference to λ = 0 (81.00 ± 1.00 %, n = 3), 10.00, is more than one standard "
        "deviation (1.00; 10.0 times it); n = 3 pairs of seeds cannot show a difference at 5 %; "
        f"{SUPERNETS}."
    )


def test_within_one_standard_deviation_of_the_wider_row(make_result: Make) -> None:
    # λ = 0: mean 90.5, deviations −2.5, 0, 2.5, so s = 2.5; λ = 1: s = 1; difference 0.5.
    results = searches(make_result, {0: (88.0, 90.5, 93.0), 1: (90.0, 91.0, 92.0)})
    assert sentence(results) == (
        "λ = 1 best by supernet valid accuracy (91.00 ± 1.00 %, n = 3); "
        "the difference to λ = 0 (90.50 ± 2.50 %, n = 3), 0.50, is within one standard deviation "
        "(2.50); n = 3 pairs of seeds cannot show a difference at 5 %; λ = 1 remains first in only "
        f"75 % of resamples of the seeds; {SUPERNETS}."
    )


def test_everything_within_a_deviation_is_named(make_result: Make) -> None:
    values = {0: (90.0, 91.0, 92.0), 1: (89.5, 90.5, 91.5), "inf": (89.0, 90.2, 91.4), 9: (1, 2, 3)}
    text = sentence(searches(make_result, values))
    assert "is within one standard deviation (1.00), and so are those to λ = inf;" in text


def test_a_wide_row_behind_a_clear_runner_up_is_named(make_result: Make) -> None:
    values = {0: (90.0, 91.0, 92.0), 1: (88.0, 89.0, 90.0), 9: (70.0, 80.0, 90.0)}
    # λ = 9: mean 80, s = 10, and 11 away; made wider below.
    assert "but that to" not in sentence(searches(make_result, values))
    values[9] = (60.0, 85.0, 110.0)
    text = sentence(searches(make_result, values))
    assert "2.00, is more than one standard deviation (1.00; 2.0 times it)" in text
    assert "but that to λ = 9 is within one" in text


def test_single_seeds_say_nothing_about_chance(make_result: Make) -> None:
    assert sentence(searches(make_result, {0: (80.0,), 1: (90.0,)})) == (
        "λ = 1 best by supernet valid accuracy (90.00 %, n = 1); 10.00 from λ = 0 "
        "(80.00 %, n = 1); with one seed each, nothing says that the difference is more than "
        f"chance; {SUPERNETS}."
    )


def test_two_seeds_are_called_rough(make_result: Make) -> None:
    found = searches(make_result, {0: (80.0, 80.0), 1: (90.0, 90.0)})
    assert "(0.00); n = 2 pairs of seeds cannot show a difference at 5 %; " in sentence(found)
    apart = [*found[:2], *(make_result(1, 90.0, seed=seed) for seed in (2, 3))]
    text = sentence(apart)
    assert "(0.00); with so few seeds, the deviation is a rough estimate" in text
    assert "pairs of seeds" not in text


def test_six_seeds_without_a_difference(make_result: Make) -> None:
    # Differences 1, 2, 3, 4, −5 and 6, so W⁻ = 5. Of the 64 sets of ranks, 1 + 1 + 1 + 2 + 2 + 3
    # have a sum of at most 5, so p = 2 · 10/64.
    lower = (90.0, 89.0, 88.0, 87.0, 96.0, 85.0)
    assert (
        "; n = 6 pairs of seeds show no difference at 5 % by Wilcoxon's signed-rank test with "
        "Holm's correction (least p = 0.31); λ = 1 remains first in only "
    ) in sentence(searches(make_result, {0: lower, 1: (91.0,) * 6}))


def test_a_tie(make_result: Make) -> None:
    text = sentence(searches(make_result, {0: (90.0, 91.0, 92.0), 1: (90.0, 91.0, 92.0)}))
    assert "; tied with λ = 1 (91.00 ± 1.00 %, n = 3);" in text


def test_a_tie_of_equal_searches_says_so(make_result: Make) -> None:
    """A value without effect gives the same search; only a tie may be chance."""

    def text(*losses: float, genotype: str = "a") -> str:
        results = [
            make_result(value, 90.0, history=[{"train_loss": loss}], genotype=found)
            for value, loss, found in ((0, 0.5, "a"), (1, losses[0], genotype))
        ]
        return sentence(results)

    equal = "tied with λ = 1 (90.00 %, n = 1), whose searches are the same to the last digit;"
    assert equal in text(0.5)
    for other in (text(math.nextafter(0.5, 1)), text(0.5, genotype="b")):
        assert "tied with λ = 1 (90.00 %, n = 1);" in other


def test_a_tie_claims_no_more_of_the_others_than_the_seeds_show(make_result: Make) -> None:
    tied = {0: (90.0, 92.0), 1: (90.0, 92.0)}
    text = sentence(searches(make_result, {**tied, 2: (89.5, 91.5), 3: (70.0, 72.0)}))
    assert "; tied with λ = 1 (91.00 ± 1.41 %, n = 2); the difference to λ = 2 is within" in text
    assert "; n = 2 pairs of seeds cannot show a difference at 5 %" in text
    assert "remains first" not in text
    text = sentence(searches(make_result, {**tied, 2: (90.0, 92.0), 3: (89.5, 91.5)}))
    assert "(91.00 ± 1.41 %, n = 2), and with λ = 2; the difference to λ = 3 is within" in text
    text = sentence(searches(make_result, {**tied, 2: (90.0, 92.0)}))
    assert "pairs of seeds" not in text, "there is nothing but ties"
    text = sentence(searches(make_result, {0: (90.0,), 1: (90.0,), 2: (80.0,)}))
    assert "; with one seed each, nothing says that the others differ by more than" in text


def test_a_tie_above_a_difference_that_is_shown(make_result: Make) -> None:
    best = tuple(90.0 + seed for seed in range(9))
    text = sentence(searches(make_result, {0: best, 1: best, 2: tuple(v - 9 for v in best)}))
    # All 9 differences are 9, so p = 2 / 2^9, three times that of three comparisons.
    assert "; n = 9 pairs of seeds show the difference to λ = 2 at 5 % by" in text
    assert "(p = 0.012)" in text and "but not that to" not in text


def test_one_value_alone(make_result: Make) -> None:
    assert sentence(searches(make_result, {1: (90.0, 92.0)})) == (
        "λ = 1: supernet valid accuracy 91.00 ± 1.41 %, n = 2; there is nothing to compare it to; "
        f"{SUPERNETS}."
    )


def test_nothing_finished(make_result: Make) -> None:
    results = [
        make_result(0, None, status="failed", error="x"),
        make_result(1, 20.0, status="stopped early", reason="y"),
    ]
    assert sentence(results) == (
        "Nothing can be ranked: no trial ran to its end (1 failed, 1 stopped early)."
    )
    known = searches(make_result, {0: (1.0,)})
    assert sentence(known, "benchmark/cifar10_test") == (
        "No trial has a value of benchmark test accuracy, so nothing can be ranked."
    )


def test_what_is_left_out_is_said(make_result: Make) -> None:
    results = searches(make_result, {0: (80.0, 81.0, 82.0), 1: (90.0, 91.0, 92.0)})
    results += [
        make_result(1, 3.0, seed=7, status="stopped early", reason="y"),
        make_result(0, 3.0, seed=8, status="failed", error="x"),
        make_result(0, 3.0, seed=9, status="failed", error="x"),
    ]
    assert sentence(results).endswith(
        "; 2 trials failed and 1 trial was stopped early and count in no mean, "
        "so some means are of the survivors alone."
    )


def test_retraining_that_agrees(make_result: Make) -> None:
    results = searches(make_result, {0: (80.0, 82.0), 1: (90.0, 92.0), 9: (70.0, 72.0)})
    results += retrains(make_result, {0: 94.0, 1: 95.0, 9: 93.0})
    assert sentence(results).endswith(
        "; retrain test accuracy puts it first too (95.00 %, n = 1), 3 of 3 pairs in the same "
        "order."
    )


def test_a_tie_is_no_order_to_agree_with(make_result: Make) -> None:
    found = searches(make_result, {0: (90.0, 91.0), 1: (90.0, 91.0)})
    text = sentence([*found, *retrains(make_result, {0: 95.0, 1: 93.0})])
    assert "in the same order" not in text and "puts it first too (95.00 %" in text
    text = sentence([*found, *retrains(make_result, {0: 93.0, 1: 95.0})])
    assert "disagrees" not in text and "puts λ = 1 first of the tied (95.00 %" in text


def test_single_seeds_can_tie(make_result: Make) -> None:
    assert "(90.00 %, n = 1); tied with λ = 1 (90.00 %, n = 1);" in sentence(
        searches(make_result, {0: (90.0,), 1: (90.0,)})
    )


def test_retrains_that_tie_are_named(make_result: Make) -> None:
    found = searches(make_result, {0: (90.0, 91.0), 1: (80.0, 81.0), 9: (70.0, 71.0)})
    text = sentence([*found, *retrains(make_result, {0: 95.0, 1: 95.0, 9: 90.0})])
    assert "puts it first too, tied with λ = 1 (95.00 %, n = 1), 2 of 2 pairs" in text


def test_retraining_that_disagrees(make_result: Make) -> None:
    results = searches(make_result, {0: (80.0, 82.0), 1: (90.0, 92.0), 9: (70.0, 72.0)})
    results += retrains(make_result, {0: 94.0, 1: 93.0, 9: 95.0})
    # By supernet 1 > 0 > 9, by retraining 9 > 0 > 1: every pair is reversed.
    assert sentence(results).endswith(
        "; retrain test accuracy disagrees: best for λ = 9 (95.00 %, n = 1, against 93.00 %, "
        "n = 1), 0 of 3 pairs in the same order."
    )


def test_the_loss_is_better_when_it_is_smaller(make_result: Make) -> None:
    results = [make_result(v, metrics={"valid_loss": loss}) for v, loss in ((0, 0.5), (1, 0.25))]
    results += retrains(make_result, {0: 90.0, 1: 95.0})
    text = sentence(results, "valid_loss", "min")
    assert text.startswith("λ = 1 best by valid_loss (0.2500, n = 1); 0.2500 from λ = 0 (0.5000")
    assert "puts it first too (95.00 %, n = 1), 1 of 1 pair in the same order" in text


def test_a_benchmark_is_compared_too(make_result: Make) -> None:
    results = [
        make_result(v, a, metrics={"benchmark/cifar10_test": b})
        for v, a, b in ((0, 90.0, 93.0), (1, 91.0, 10.0))
    ]
    text = sentence(results)
    assert "; benchmark test accuracy disagrees: best for λ = 0 (93.00 %, n = 1" in text
    by_benchmark = sentence(results, "benchmark/cifar10_test")
    assert by_benchmark.startswith("λ = 0 best by benchmark test accuracy (93.00 %, n = 1)")
    assert "; supernet valid accuracy disagrees: best for λ = 1 (" in by_benchmark


def test_one_retrain_cannot_rank(make_result: Make) -> None:
    results = searches(make_result, {0: (80.0, 82.0), 1: (90.0, 92.0)})
    results += retrains(make_result, {1: 95.0})
    assert sentence(results).endswith(
        "; retrain test accuracy is known for λ = 1 alone (95.00 %, n = 1)."
    )


def repeated(make: Make, values: dict[object, Sequence[float]]) -> list[TrialResult]:
    return [
        make(value, accuracy, seed=seed, phase="repeat", trial_id=f"repeat-{value}-{seed}")
        for value, accuracies in values.items()
        for seed, accuracy in enumerate(accuracies, start=1)
    ]


def test_one_repeated_configuration_is_compared_with_the_searches(make_result: Make) -> None:
    found = searches(make_result, {value: (80.0 + value,) for value in range(8)})
    # λ = 7: mean 83, s = √2; λ = 6 was searched once, with 86.
    assert sentence([*found, *repeated(make_result, {7: (82.0, 84.0)})]) == (
        "λ = 7: supernet valid accuracy 83.00 ± 1.41 %, n = 2 repeats; the best of 7 not repeated "
        "is λ = 6 (86.00 %, n = 1), 3.00 better and more than one standard deviation (1.41); "
        f"{SUPERNETS}."
    )


def test_repeats_are_compared_with_each_other_and_with_the_rest(make_result: Make) -> None:
    found = searches(make_result, {0: (80.0,), 1: (90.0,), 9: (91.0,)})
    text = sentence([*found, *repeated(make_result, {1: (89.0, 91.0), 9: (94.0, 96.0)})])
    assert text.startswith(
        "λ = 9 best by supernet valid accuracy (95.00 ± 1.41 %, n = 2 repeats); the difference to "
        "λ = 1 (90.00 ± 1.41 %, n = 2 repeats), 5.00, is more than one standard deviation (1.41; "
        "3.5 times it); n = 2 pairs of seeds cannot show a difference at 5 %; the one not repeated "
        "is λ = 0 (80.00 %, n = 1), 15.00 worse and more than one standard deviation (1.41); "
    )


def test_the_rest_by_a_loss_and_without_a_deviation(make_result: Make) -> None:
    results = [make_result(v, metrics={"valid_loss": loss}) for v, loss in ((0, 0.5), (1, 0.25))]
    again = {"phase": "repeat", "trial_id": "r", "seed": 1, "metrics": {"valid_loss": 0.75}}
    text = sentence([*results, make_result(1, **again)], "valid_loss", "min")
    assert text.startswith(
        "λ = 1: valid_loss 0.7500, n = 1 repeat; the one not repeated is λ = 0 (0.5000, n = 1), "
        "0.2500 better."
    )


def test_diverged_seeds_are_named_and_rank_last(make_result: Make) -> None:
    values = {0: (80.0, 81.0, 82.0), 1: (90.0, 91.0, 92.0), 10: (95.0, math.nan, math.nan)}
    text = sentence(searches(make_result, values))
    assert text == (
        "λ = 1 best by supernet valid accuracy (91.00 ± 1.00 %, n = 3); the difference to λ = 0 "
        "(81.00 ± 1.00 %, n = 3), 10.00, is more than one standard deviation (1.00; 10.0 times "
        f"it); n = 3 pairs of seeds cannot show a difference at 5 %; {SUPERNETS}; 2 of 3 seeds of "
        "λ = 10 diverged, so it ranks last."
    )


def test_all_but_one_have_diverged_seeds(make_result: Make) -> None:
    values = {1: (90.0, 92.0), 10: (95.0, math.nan), 99: (96.0, math.inf)}
    assert sentence(searches(make_result, values)) == (
        "λ = 1: supernet valid accuracy 91.00 ± 1.41 %, n = 2; everything else has seeds that "
        f"diverged; {SUPERNETS}; 1 of 2 seeds of λ = 10 and 1 of 2 seeds of λ = 99 diverged, so "
        "these rank last."
    )


def test_where_all_have_diverged_seeds_they_are_compared(make_result: Make) -> None:
    values = {v: (90.0 + v, 91.0 + v, math.nan) for v in range(5)}
    text = sentence(searches(make_result, values))
    assert text.startswith("λ = 4 best by supernet valid accuracy (94.50 ± 0.71 %, n = 2); the")
    assert text.endswith("; 5 trials of 5 values diverged.")


def test_nothing_but_divergence(make_result: Make) -> None:
    assert sentence(searches(make_result, {0: (math.nan,), 1: (math.inf,)})) == (
        "Nothing can be ranked: no trial ran to its end (0 failed, 0 stopped early, 2 diverged)."
    )


def test_failed_seeds_make_a_mean_one_of_survivors(make_result: Make) -> None:
    found = searches(make_result, {0: (80.0, 82.0), 1: (90.0,)})
    found.append(make_result(1, seed=1, status="failed", error="x"))
    assert sentence(found).endswith(
        "; 1 trial failed and counts in no mean, so some means are of the survivors alone."
    )


def test_one_retrained_of_several_searches_has_nothing_beside_it(make_result: Make) -> None:
    results = searches(make_result, {0: (80.0,), 1: (90.0,)})
    text = sentence(results + retrains(make_result, {1: 95.0}), "retrain/test_accuracy")
    assert text.startswith(
        "λ = 1: retrain test accuracy 95.00 %, n = 1; nothing else was retrained to compare it to;"
    )


def test_black_box_searches_are_named_as_such(make_result: Make) -> None:
    """Their accuracy is that of a trained candidate, not of a supernet."""
    black_box = make_result(1, 50.0, metrics={"candidates": 3.0})
    text = sentence([black_box])
    assert "λ = 1: valid accuracy of the best candidate 50.00 %, n = 1" in text
    assert text.endswith("compares candidates that were trained shortly, on half of the images.")
    text = sentence([black_box, make_result(2, 40.0)])
    assert "λ = 1 best by valid accuracy (50.00 %, n = 1)" in text
    assert text.endswith("this compares supernets and candidates.")
