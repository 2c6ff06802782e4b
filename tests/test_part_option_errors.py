"""Options that a part does not have, or that have no effect, are refused in one line."""

from __future__ import annotations

from typing import Any

import pytest

from tune_nas.errors import ConfigError
from tune_nas.library import load_trial

Content = dict[str, Any]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"relaxation.kind": "gumbel", "relaxation.options.temprature": 1},
            "relaxation.options.temprature is not an option of 'gumbel'; did you mean "
            "'relaxation.options.temperature'?",
        ),
        (
            {"relaxation.kind": "gumbel", "relaxation.options.penalty.kind": "kl"},
            "relaxation.options.penalty.kind is not an option of 'gumbel', but of 'sigmoid', "
            "'dirichlet'; 'gumbel' has alphas, temperature, unsampled",
        ),
        (
            {"relaxation.options.temperature.end": 1},
            "is not an option of 'softmax', but of 'gumbel', 'concrete'; 'softmax' has no options",
        ),
        (
            {"relaxation.smoothing.kind": "random", "relaxation.smoothing.options": {"steps": 2}},
            "relaxation.smoothing.options.steps is not an option of 'random', but of "
            "'adversarial'; 'random' has start, end",
        ),
        (
            {"relaxation.smoothing.options.end": 0.1},
            "is not an option of 'none', but of 'random', 'adversarial'; 'none' has no options",
        ),
        (
            {"selection.options.interval": 2},
            "selection.options.interval is not an option of 'magnitude', but of 'perturbation'",
        ),
        (
            {"optimizer.alphas.options.momentum": 0.5},
            "is not an option of 'adam', but of 'sgd'; 'adam' has learning_rate, weight_decay, b",
        ),
        ({"data.options.dir": "/images"}, "'digits' has no options"),
        (
            {"data.name": "cifar10", "data.options.fit": "pad"},
            "but of 'folder'; 'cifar10' has dir,",
        ),
        ({"data": "folder", "data.options": 3}, "data.options is 3, but must be a mapping of opt"),
        (
            {"schedule.rules": [{"kind": "greedy", "options": {"criteron": 2}}]},
            "schedule.rules.0.options.criteron is not an option of 'greedy'; did you mean "
            "'schedule.rules.0.options.criterion'?",
        ),
        (
            {"schedule.rules": [{"kind": "mine:Rule", "options": {"a": 2}}]},
            "schedule.rules.0 is a mapping with kind 'mine:Rule', but only shipped rules (stages, ",
        ),
        (
            {"schedule.rules": [{"name": "greedy"}]},
            "schedule.rules.0 is {'name': 'greedy'}, but must be kind: NAME, options: {…}",
        ),
        (
            {"relaxation.smoothing": {"kind": "mine:Smoothing", "options": {"end": 1}}},
            "relaxation.smoothing.options is given, but relaxation.smoothing.kind "
            "'mine:Smoothing' has no options; a custom one reads the keys of relaxation.smoothing",
        ),
        (
            {"relaxation.kind": "gumbel", "relaxation.options.temperature.end": -1},
            "relaxation.temperature.end is -1, but must be > 0",
        ),
        (
            {"relaxation.kind": "gumbel", "relaxation.options.temperature.last": 1},
            "unknown key 'relaxation.temperature.last'",
        ),
    ],
)
def test_an_option_that_a_part_does_not_have_is_one_line(settings: Content, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_trial("darts-1st", settings)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_an_option_without_effect_is_refused_as_its_key_is() -> None:
    settings = {"relaxation.kind": "gumbel", "schedule.epochs": 1}
    with pytest.raises(ConfigError, match=r"options\.temperature\.end is 1\.0, but has no effect"):
        load_trial("darts-1st", {**settings, "relaxation.options.temperature.end": 1.0})
