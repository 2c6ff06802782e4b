"""Two searches that are the same for some epochs, run side by side and branched."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from searching import assert_same_state, small_trial

from tune_nas.config import TrialConfig
from tune_nas.library import with_overrides
from tune_nas.search import Search
from tune_nas.testing.states import differences

Reports = list[dict[str, Any]]

EPOCHS = 4
WARM = {"update.warmup": 2}
PT = {"selection.kind": "perturbation", "selection.perturbation.interval": 1}
SAMPLED = {"selection.kind": "sampled", "selection.sampled.genotypes": 3}
STAGES = [{"epochs": 2}, {"epochs": 2, "operations": 3}]


def pair(
    folder: Path, base: dict[str, Any], changes: dict[str, Any]
) -> tuple[TrialConfig, TrialConfig]:
    first = small_trial(folder, **{"schedule.epochs": EPOCHS, **base})
    return first, with_overrides(first, _whole_lists(first, changes))


def _whole_lists(trial: TrialConfig, changes: dict[str, Any]) -> dict[str, Any]:
    """Replace a key of one stage by all stages."""
    found: dict[str, Any] = {}
    for key, value in changes.items():
        if key.startswith("schedule.stages."):
            number, name = key.split(".")[2:]
            stages = [stage.to_dict() for stage in trial.schedule.stages]
            stages[int(number)][name] = value
            found["schedule.stages"] = stages
        else:
            found[key] = value
    if found.get("update.level") in ("bilevel", "single"):
        found["update.lambda"] = None
    return found


def run_on(search: Search, reports: Reports, until: int | None = None) -> Reports:
    """Run a search to an epoch, or to its end, and add a report of each epoch, as a sweep does."""
    while not search.done and (until is None or search.epoch < until):
        metrics = dict(search.run_epoch())
        reports.append({**metrics, **search.remarks(), "genotype": search.genotype.to_yaml()})
    return reports


def run_new(
    trial: TrialConfig, until: int | None = None, watch: Sequence[TrialConfig] = ()
) -> tuple[Search, Reports]:
    """Run a search from its start to an epoch, or to its end."""
    search = Search(trial)
    search.watch(watch)
    return search, run_on(search, [], until)


def branch(trial: TrialConfig, trunk: tuple[Search, Reports], folder: Path) -> tuple[Search, Any]:
    """Branch from another search; its reports go through a file, as in a sweep."""
    search, reports = trunk
    search.save(folder)
    own = Search(trial)
    return own, own.branch(folder, json.loads(json.dumps(reports)))


def assert_same_search(one: tuple[Search, Reports], other: tuple[Search, Reports]) -> None:
    """Compare the state, the reports with the order of their entries, and the files to the bit."""
    (first, reports), (second, others) = one, other
    assert_same_state(reports, others, "reports")
    assert [list(report) for report in reports] == [list(report) for report in others]
    states = first.state_dict(), second.state_dict()
    for state in states:
        del state["watched"]  # for others, which branch from it
    assert_same_state(states[0], states[1])
    assert_same_state(first.artifacts(), second.artifacts(), "files")
    assert (first.done, first.epochs) == (second.done, second.epochs)


def assert_branch(
    one: TrialConfig, other: TrialConfig, epochs: int, folder: Path
) -> tuple[tuple[Search, Reports], tuple[Search, Reports]]:
    """Check that each search, branched from the other one, is one that has run these epochs.

    Returns both, run to that epoch.
    """
    trials = one, other
    first, second = (run_new(trial, epochs, trials) for trial in trials)
    assert_same_search(first, branch(one, second, folder / "second"))
    assert_same_search(second, branch(other, first, folder / "first"))
    return first, second


def differ_in_w_or_alpha(one: Search, other: Search) -> bool:
    """Return whether two searches differ in w, in α or in their random state."""
    states = [search.state_dict() for search in (one, other)]
    if states[0]["supernet"].keys() != states[1]["supernet"].keys():
        return True
    keys = ("size", "alphas", "draws", "batch_size", "choices", "rate_factor", "repeated")
    found = [differences(*(state[key] for state in states)) for key in (*keys, "supernet")]
    return any(found)
