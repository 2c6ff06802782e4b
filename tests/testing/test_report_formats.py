"""The shipped formats of a report, and the example of a user's own, keep the contract."""

from __future__ import annotations

import csv

import pytest

from tune_nas import manifest
from tune_nas.errors import ConfigError
from tune_nas.report import Comparison, ReportFormat, find_report_format
from tune_nas.testing import ReportFormatContract
from tune_nas.testing.report_format_contract import KEY, comparison, finished


class TestTerminal(ReportFormatContract):
    format = "terminal"


class TestMarkdown(ReportFormatContract):
    format = "markdown"


class TestJson(ReportFormatContract):
    format = "json"


class TestHtml(ReportFormatContract):
    format = "html"


class TestCsv(ReportFormatContract):
    format = "own_report:Csv"


def test_every_shipped_format_is_here() -> None:
    contracts = ReportFormatContract.__subclasses__()
    assert set(manifest.names("report_formats")) <= {
        getattr(contract, "format", "") for contract in contracts
    }


def test_the_example_has_a_line_for_each_configuration_and_metric() -> None:
    text = find_report_format("own_report:Csv").render(comparison(finished()))
    lines = [line for line in csv.DictReader(text.splitlines()) if line["metric"] != "seconds"]
    assert [(line[KEY], line["metric"], line["mean"], line["n"]) for line in lines] == [
        ("0.0625", "valid_accuracy", "91.5", "2"),
        ("0.0625", "gap", "2.0", "2"),
        ("0.125", "valid_accuracy", "81.5", "2"),
        ("0.125", "gap", "2.0", "2"),
    ]


class Forgetful(ReportFormat):
    """Shows the best configuration alone."""

    def render(self, comparison: Comparison) -> str:
        return "\n".join(
            f"{row.label} {row.statistics['valid_accuracy'].mean}"
            for row in comparison.ranking()[:1]
        )


class Counting(ReportFormat):
    """Counts how often it is used."""

    used = 0

    def render(self, comparison: Comparison) -> str:
        Counting.used += 1
        return str(Counting.used)


class Raw(ReportFormat):
    """Passes on whatever a message has."""

    def render(self, comparison: Comparison) -> str:
        return "\n".join(f"{result.error}" for result in comparison.results)


class Hopeful(ReportFormat):
    """Assumes that there is a best trial."""

    def render(self, comparison: Comparison) -> str:
        return comparison.ranking()[0].label


@pytest.mark.parametrize(
    ("broken", "test"),
    [
        (Forgetful, "test_every_configuration_is_in_it"),
        (Counting, "test_the_same_trials_give_the_same_text"),
        (Raw, "test_the_text_has_no_control_characters"),
        (Hopeful, "test_trials_that_cannot_be_ranked_are_rendered"),
    ],
)
def test_a_broken_format_is_caught(broken: type[ReportFormat], test: str) -> None:
    class Contract(ReportFormatContract):
        def make_format(self) -> ReportFormat:
            return broken()

    with pytest.raises((AssertionError, IndexError)):
        getattr(Contract(), test)()


def test_an_unknown_format_lists_those_that_there_are() -> None:
    with pytest.raises(ConfigError) as caught:
        find_report_format("csv")
    assert str(caught.value) == (
        "`format` is 'csv', but must be one of terminal, markdown, json, html, or module:Class"
    )
    with pytest.raises(ConfigError, match="importing it fails: No module named 'nowhere'"):
        find_report_format("nowhere:Csv")
    with pytest.raises(ConfigError, match="must be a class derived from ReportFormat"):
        find_report_format("own_report:printable")
