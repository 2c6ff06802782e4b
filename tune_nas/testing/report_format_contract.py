"""Tests that every format of a report must pass: it has all values, and renders any sweep."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from tune_nas.report import Comparison, ReportFormat, TrialResult, find_report_format
from tune_nas.text import printable

KEY = "optimizer.weights.learning_rate"
RATES = (0.0625, 0.125)


class ReportFormatContract:
    """The tests of a format of a report.

    Attributes:
        format: The name given to ``tune-nas report --format``: a shipped one, or ``module:Class``.
    """

    format: str

    def make_format(self) -> ReportFormat:
        """Return the format, as the command does."""
        return find_report_format(self.format)

    def test_every_configuration_is_in_it(self) -> None:
        """The text has the swept values, and the mean of the ranked metric of each."""
        text = self.make_format().render(comparison(finished()))
        for rate in RATES:
            assert f"{rate:g}" in text
        assert "91.5" in text and "81.5" in text

    def test_the_same_trials_give_the_same_text(self) -> None:
        """Rendering has no side effect on the format or the comparison."""
        report_format, given = self.make_format(), comparison(finished())
        before = copy.deepcopy(given.results)
        first = report_format.render(given)
        assert given.results == before
        assert report_format.render(given) == first
        assert self.make_format().render(comparison(finished())) == first

    def test_trials_that_cannot_be_ranked_are_rendered(self) -> None:
        """No trial, none that ran to its end, and one without the ranked metric give a text."""
        lost = [
            trial(0, rate, status=status, error="ValueError: no", metrics={})
            for rate, status in zip(RATES, ("failed", "stopped early"), strict=True)
        ]
        without = trial(0, RATES[0], metrics={"train_loss": 1.0})
        for results in ([], lost, [without], [*lost, *finished()]):
            assert isinstance(self.make_format().render(comparison(results)), str)

    def test_a_single_trial_is_rendered(self) -> None:
        """Without swept keys and with one seed there is no deviation."""
        alone = Comparison("alone", [], [trial(0, metrics={"valid_accuracy": 91.5})], RANK_BY)
        assert "91.5" in self.make_format().render(alone)

    def test_the_text_has_no_control_characters(self) -> None:
        """A terminal would execute those of an error's message or of a swept value."""
        odd = trial(0, "a\x1b[2Jb\x9b", status="failed", error="ValueError: \x1b]0;x\x07")
        text = self.make_format().render(comparison([odd, *finished()]))
        assert printable(text) == text


RANK_BY = "valid_accuracy"


def comparison(results: Sequence[TrialResult]) -> Comparison:
    """Return the comparison of trials with a swept learning rate."""
    return Comparison("rates", [KEY], results, RANK_BY)


def finished() -> list[TrialResult]:
    """Return two trials for each of two values, with means 91.5 and 81.5."""
    return [
        trial(seed, rate, metrics={"valid_accuracy": best + seed, "gap": 2.0})
        for rate, best in zip(RATES, (91.0, 81.0), strict=True)
        for seed in (0, 1)
    ]


def trial(
    seed: int,
    rate: float | str | None = None,
    *,
    status: str = "finished",
    metrics: dict[str, float] | None = None,
    error: str | None = None,
) -> TrialResult:
    """Return the result of a search."""
    return TrialResult(
        trial_id=f"search-{rate}-{seed}",
        phase="search",
        parameters={} if rate is None else {KEY: rate},
        seed=seed,
        status=status,
        metrics=metrics or {},
        history=[metrics or {}],
        error=error,
    )
