"""`tune-nas select`, from a checkpoint in a folder."""

from __future__ import annotations

from typing import Any

import pytest

from tune_nas.config import TrialConfig
from tune_nas.search import Search


@pytest.fixture
def tiny(tiny: dict[str, Any]) -> dict[str, Any]:
    return {**tiny, "selection": {"max_skips": {"normal": 2}, "rank_by": "softmax"}}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[TrialConfig, str]]:
    """Record the searches that commands request; none is run."""
    import tune_nas.sweep

    found: list[tuple[TrialConfig, str]] = []

    def record(trial: TrialConfig, options: object, name: str) -> None:
        found.append((trial, name))
        raise SystemExit(0)

    monkeypatch.setattr(tune_nas.sweep, "run_search", record, raising=False)
    return found


def test_select_asks_for_a_search_that_starts_there(
    command_line, checkpoint: str, asked: list[tuple[TrialConfig, str]]
) -> None:
    interval = ("--set", "selection.perturbation.interval=2")
    command_line.run("select", checkpoint, "--selection", "perturbation", *interval)
    command_line.run("select", checkpoint, "--selection", "magnitude", "--name", "again")
    (first, first_name), (second, second_name) = asked
    assert (first_name, second_name) == ("tiny-perturbation", "again")
    assert first.start_from == second.start_from == str(command_line.folder / checkpoint)
    assert (first.selection.kind, first.selection.perturbation.interval) == ("perturbation", 2)
    assert (first.selection.max_skips, second.selection.max_skips) == ({}, {"normal": 2})
    assert (first.selection.rank_by, second.selection.rank_by) == ("weights", "softmax")
    assert first.selection.perturbation.edges == "alone"
    assert Search(first).epochs == 1 + 2 * 5 + 1


def test_a_data_directory_that_is_not_used_is_refused(command_line, checkpoint: str) -> None:
    select = ("select", "end", "--selection", "perturbation")
    message = command_line.refused(*select, "--data-dir", "images")
    assert "images', but data set 'fake' does not use it" in message


BAD = [
    (("select", "nothing", "--selection", "magnitude"), "'nothing' is neither a checkpoint nor"),
    (("select", "end", "--selection", "best"), "selection.kind is 'best', but must be one of"),
    (("select", "end", "--selection", "greedy"), "give schedule.greedy"),
    (("select", "end", "--selection", "magnitude", "--set", "seed=1"), "seed differ"),
    (
        ("select", "end", "--selection", "sampled", "--set", "selection.kind=magnitude"),
        "--set has selection.kind, but --selection says which",
    ),
    (
        ("select", "end", "--selection", "magnitude", "--set", "selection.sampled.batches=2"),
        "the trial of 'end': selection.sampled.batches is 2, but has no effect where "
        "selection.kind is 'magnitude'; it needs selection.kind 'sampled'",
    ),
]


@pytest.mark.parametrize(("arguments", "says"), BAD)
def test_bad_input_gets_one_line(
    command_line, checkpoint: str, arguments: tuple[str, ...], says: str
) -> None:
    assert says in command_line.refused(*arguments)
