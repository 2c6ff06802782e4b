"""The swept keys as an Optuna search space, defined while it is sampled."""

from __future__ import annotations

import optuna

from tune_nas.sweep.equal_values import equal
from tune_nas.sweep.parameters import Fixed, Parameter, ordered


class DefineByRun:
    """Asks an Optuna trial for each parameter whose conditions are met.

    Args:
        parameters: The swept keys.
        fixed: Returns the values of the other keys, which conditions may name, given the chosen.
    """

    def __init__(self, parameters: dict[str, Parameter], fixed: Fixed) -> None:
        self._parameters = {key: parameters[key] for key in ordered(parameters)}
        self._fixed = fixed

    def __call__(self, trial: optuna.Trial) -> dict[str, object]:
        """Return the chosen value of every parameter that is active."""
        chosen: dict[str, object] = {}
        for key, parameter in self._parameters.items():
            if parameter.active({**self._fixed(chosen), **chosen}):
                chosen[key] = self._suggest(trial, key, parameter)
        return chosen

    def drawn(self, chosen: dict[str, object]) -> dict[str, object]:
        """Return the values that Optuna sampled for these parameters."""
        return {
            key: value if self._parameters[key].is_range else self._label(key, value)
            for key, value in chosen.items()
        }

    def _suggest(self, trial: optuna.Trial, key: str, parameter: Parameter) -> object:
        if parameter.kind == "int":
            return trial.suggest_int(key, *parameter.values)
        if parameter.is_range:
            return trial.suggest_float(key, *parameter.values, log=parameter.kind == "loguniform")
        # Optuna's categories are scalars, and its JSON has no inf: categories are text.
        labels = _labels(parameter)
        return labels[trial.suggest_categorical(key, list(labels))]

    def _label(self, key: str, value: object) -> str:
        labels = _labels(self._parameters[key])
        text = str(value)
        return text if text in labels else next(k for k, v in labels.items() if equal(v, value))


def _labels(parameter: Parameter) -> dict[str, object]:
    """Return the listed values by their texts, which Optuna records."""
    labels: dict[str, object] = {}
    for value in parameter.values:
        labels[str(value) if str(value) not in labels else repr(value)] = value
    return labels
