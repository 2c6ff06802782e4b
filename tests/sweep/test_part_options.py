"""The options of shipped parts as keys of a sweep, in either spelling."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tune_nas.config.decides import Decides
from tune_nas.config.deciding import decides
from tune_nas.errors import ConfigError
from tune_nas.sweep.resolve import load_sweep, resolve_trials

Content = dict[str, Any]


def sweep_of(folder: Path, parameters: Content, **more: Any) -> Path:
    content = {"trial": "darts-1st", "parameters": parameters, "retrain": 0, "set": {}, **more}
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def test_a_sweep_samples_options(tmp_path: Path) -> None:
    only = {"when": {"relaxation.kind": "gumbel"}}
    ends: list[Any] = []
    for key in ("relaxation.temperature.end", "relaxation.options.temperature.end"):
        parameters = {
            "relaxation.kind": {"grid": ["softmax", "gumbel"]},
            key: {"grid": [0.5, "1e-3"], **only},
        }
        trials = resolve_trials(load_sweep(sweep_of(tmp_path, parameters)))
        ends.append([trial for _, _, trial in trials])
        assert [values.get(key) for values, _, _ in trials] == [None, 0.5, 0.001]
    assert ends[0] == ends[1]
    drawn = {"relaxation.options.temperature.end": {"loguniform": [0.1, 1]}}
    sweep = load_sweep(
        sweep_of(tmp_path, drawn, searcher="random", set={"relaxation.kind": "gumbel"})
    )
    assert len(resolve_trials(sweep)) == 1


def test_a_key_without_its_condition_has_its_default_beside_an_option(tmp_path: Path) -> None:
    """λ of the trial does not fit where the level is swept to bilevel; the option is not set."""
    parameters = {
        "update.level": {"grid": ["bilevel", "mixed"]},
        "update.lambda": {"grid": [0.1, 0.5], "when": {"update.level": "mixed"}},
        "relaxation.kind": {"grid": ["softmax", "gumbel"]},
        "relaxation.options.temperature.end": {
            "grid": [0.5],
            "when": {"relaxation.kind": "gumbel"},
        },
    }
    trials = resolve_trials(load_sweep(sweep_of(tmp_path, parameters, trial="milenas")))
    assert [trial.update.lambda_ for _, _, trial in trials] == [None, 0.1, 0.5] * 2
    ends = [trial.relaxation.temperature.end for _, _, trial in trials]
    assert ends == [0.1, 0.1, 0.1, 0.5, 0.5, 0.5]


def test_a_sweep_varies_all_options_together(tmp_path: Path) -> None:
    grid = [{"temperature": {"end": end}} for end in (0.5, 1.0)]
    path = sweep_of(
        tmp_path, {"relaxation.options": {"grid": grid}}, set={"relaxation.kind": "gumbel"}
    )
    trials = resolve_trials(load_sweep(path))
    assert [trial.relaxation.temperature.end for _, _, trial in trials] == [0.5, 1.0]
    assert [values["relaxation.options"] for values, _, _ in trials] == grid


def test_a_sweep_with_tuning_epochs_of_different_length_is_refused(tmp_path: Path) -> None:
    """The interval decides the length, in either spelling."""
    for key in ("selection.perturbation.interval", "selection.options.interval"):
        assert decides(key, Decides.LENGTH)
        path = sweep_of(
            tmp_path,
            {key: {"choice": [1, 2]}},
            searcher="random",
            scheduler="asha",
            set={"selection.kind": "perturbation", "data.name": "fake"},
        )
        with pytest.raises(ConfigError, match="'asha' compares trials of one length"):
            load_sweep(path)
    assert not decides("relaxation.options.temperature.end", Decides.LENGTH)


@pytest.mark.parametrize(
    ("parameters", "settings", "message"),
    [
        (
            {"relaxation.options.temperature.end": {"grid": [0.5, 1.0]}},
            {"relaxation.kind": "gumbel", "relaxation.temperature.end": 1.0},
            "relaxation.options.temperature.end and relaxation.temperature.end are the same key",
        ),
        (
            {
                "relaxation.options.temperature.end": {"grid": [0.5, 1.0]},
                "relaxation.temperature.end": {"grid": [0.5, 1.0]},
            },
            {"relaxation.kind": "gumbel"},
            "relaxation.options.temperature.end and relaxation.temperature.end are the same key",
        ),
        (
            {
                "optimizer.weights.clip": {
                    "grid": [1.0, 2.0],
                    "when": {"relaxation.options.temperature.end": 1.0},
                }
            },
            {"relaxation.kind": "gumbel"},
            "an option that is not swept; name its key, relaxation.temperature.end",
        ),
        (
            {
                "relaxation.kind": {"grid": ["softmax", "gumbel"]},
                "relaxation.options.temperature.end": {"grid": [0.5, 1.0]},
            },
            {},
            "is not an option of 'softmax', but of 'gumbel', 'concrete'",
        ),
        (
            {"relaxation.options.temperature.end": {"grid": [0.5, 1.0]}},
            {"relaxation.kind": "gumbel", "schedule.epochs": 1},
            "relaxation.options.temperature.end is swept, but has no effect where schedule.epochs",
        ),
    ],
)
def test_a_sweep_refuses(
    parameters: Content, settings: Content, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as error:
        load_sweep(sweep_of(tmp_path, parameters, set=settings))
    assert message in str(error.value) and "\n" not in str(error.value)
