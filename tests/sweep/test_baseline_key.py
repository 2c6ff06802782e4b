"""The key `baseline` of a sweep: one of its combinations, and what else is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tune_nas.errors import ConfigError
from tune_nas.sweep.baseline_key import baseline_of
from tune_nas.sweep.parameters import Parameter
from tune_nas.sweep.resolve import load_sweep

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
        ({"update.lambda": {"a": 1}}, "but must be one of 0, 0.1"),
        ("rsps", "baseline is 'rsps', but must be"),
    ],
)
def test_others_are_refused_in_one_line(baseline: object, says: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_sweep("lambda", baseline=baseline)
    assert says in str(error.value) and "\n" not in str(error.value)


def test_a_range_has_no_values() -> None:
    parameters = {"update.lambda": Parameter(uniform=(0, 1))}
    with pytest.raises(ValueError, match="a range; it needs listed values"):
        baseline_of(parameters, {"update.lambda": 0.5})


def test_a_key_that_is_set_is_not_in_the_baseline(tmp_path: Path) -> None:
    assert load_sweep("methods").baseline == {"trial": "rsps"}
    path = tmp_path / "rates.yaml"
    path.write_text(
        "trial: darts-1st\nbaseline: {update.level: bilevel, update.order: 1}\nparameters:\n"
        "  update.level: {grid: [bilevel, single]}\n  update.order: {grid: [1, 2]}\n"
    )
    assert load_sweep(path, set={"update.order": 1}).baseline == {"update.level": "bilevel"}
