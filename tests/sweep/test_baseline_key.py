"""The key `baseline` of a sweep: one of its combinations, and what else is refused."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from tune_nas.errors import ConfigError
from tune_nas.report import TrialResult
from tune_nas.sweep.baseline_key import baseline_of, reported_baseline
from tune_nas.sweep.parameters import Parameter
from tune_nas.sweep.resolve import load_sweep, resolve_trials

PARAMETERS = {
    "update.level": Parameter(grid=["bilevel", "mixed"]),
    "update.lambda": Parameter(grid=["1e-1", 1], when={"update.level": "mixed"}),
}


def test_values_are_those_of_the_sweep() -> None:
    given = {"update.level": "mixed", "update.lambda": 0.1}
    assert baseline_of(PARAMETERS, given) == {"update.level": "mixed", "update.lambda": "1e-1"}
    # A key with a condition may be absent.
    assert baseline_of(PARAMETERS, {"update.level": "bilevel"}) == {"update.level": "bilevel"}


@pytest.mark.parametrize(
    ("baseline", "says"),
    [
        ({"update.lambda": 3}, "baseline: update.lambda is 3, but must be one of 0, 0.1, 1, 10"),
        ({"update.order": 1}, "baseline has 'update.order', but the sweep varies update.lambda"),
        ({}, "baseline lacks update.lambda; give the value of every swept key"),
        ({"update.lambda": {"a": 1}}, "a mapping; it needs listed numbers or texts"),
        ({"update.lambda": [{"a": 1}]}, "a mapping; it needs listed numbers or texts"),
        ("rsps", "baseline is 'rsps', but must be"),
    ],
)
def test_others_are_refused_in_one_line(baseline: object, says: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_sweep("lambda", baseline=baseline)
    assert says in str(error.value) and "\n" not in str(error.value)


def test_a_range_has_no_values() -> None:
    parameters = {"update.lambda": Parameter(uniform=(0, 1))}
    with pytest.raises(ValueError, match="a range; it needs listed numbers or texts"):
        baseline_of(parameters, {"update.lambda": 0.5})


def write(folder: Path, baseline: str) -> Path:
    path = folder / "levels.yaml"
    path.write_text(
        f"trial: darts-1st\nbaseline: {baseline}\nparameters:\n"
        "  update.level: {grid: [bilevel, mixed]}\n  update.order: {grid: [1, 2]}\n"
        "  update.lambda: {grid: [1, 10], when: {update.level: mixed}}\n"
    )
    return path


@pytest.mark.parametrize(
    ("baseline", "says"),
    [
        (
            "{update.level: bilevel, update.order: 1, update.lambda: 1}",
            "baseline has 'update.lambda', which is swept only with (when) update.level: mixed",
        ),
        ("{update.level: mixed, update.order: 1}", "baseline lacks update.lambda"),
        ("{update.level: bilevel}", "baseline lacks update.order"),
    ],
)
def test_combinations_that_the_sweep_does_not_have(
    tmp_path: Path, baseline: str, says: str
) -> None:
    with pytest.raises(ConfigError) as error:
        resolve_trials(load_sweep(write(tmp_path, baseline)))
    assert says in str(error.value) and "\n" not in str(error.value)


def test_changes_of_a_sweep_change_its_baseline(tmp_path: Path) -> None:
    assert load_sweep("methods").baseline == {"trial": "rsps"}
    assert load_sweep("methods", baseline={"trial": "enas"}).baseline == {"trial": "enas"}
    assert load_sweep("methods", baseline=None).baseline is None
    path = write(tmp_path, "{update.level: bilevel, update.order: 1}")
    assert len(resolve_trials(load_sweep(path))) == 6
    # A key that is set is not swept anymore.
    assert load_sweep(path, set={"update.order": 1}).baseline == {"update.level": "bilevel"}


@pytest.mark.parametrize(
    ("listed", "reported"),
    [("yes", True), ("1e-1", 0.1), ("inf", math.inf), (None, None), ([1, "2"], [1, 2]), (1, 1.0)],
)
def test_the_values_are_those_that_trials_report(listed: object, reported: object) -> None:
    result = TrialResult("search-00000", "search", {"key": reported}, 0, "finished", {})
    other = TrialResult("search-00001", "search", {"key": "another"}, 0, "finished", {})
    assert reported_baseline({"key": listed}, ["key"], [other, result]) == {"key": reported}
    assert reported_baseline({"key": listed}, ["key"], [other]) == {"key": listed}
