"""The effective values of a trial: trials with different values may be equivalent."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from tune_nas.config import AugmentConfig, DataConfig, TrialConfig
from tune_nas.config.conditions import value_of
from tune_nas.config.options.option_keys import key_in_trial
from tune_nas.data import DataShape, fitted, known_shapes
from tune_nas.search.relaxation import initialization
from tune_nas.spaces import Space, load_space


class EffectiveValues:
    """Replaces values by effective ones: ``auto`` by the chosen value, null by the default.

    Spaces and data sets are read once, and only if a key needs them.

    Args:
        keys: The keys whose values are replaced; the others are unchanged.
    """

    def __init__(self, keys: Collection[str]) -> None:
        self._keys = keys
        self._spaces: dict[tuple[str, str | None], Space] = {}
        self._shapes = known_shapes()

    def of(self, trial: TrialConfig) -> dict[str, object]:
        """Return the content of a trial with its effective values.

        Raises:
            ConfigError: If its space cannot be loaded, or its augmentation does not fit.
            DataError: If its images cannot be read.
        """
        content = trial.to_dict()
        for key in self._keys:
            section = _section(key_in_trial(key, content))
            if section not in _EFFECTIVE:
                continue
            parent, _, name = section.rpartition(".")
            value_of(content, parent)[name] = _EFFECTIVE[section](trial, self)
        return content

    def space(self, trial: TrialConfig) -> Space:
        """Return the space of a trial, in the skeleton of its supernet."""
        return self._space(trial.space.name, trial.space.skeleton)

    def final_space(self, trial: TrialConfig) -> Space:
        """Return the space of a trial, in the skeleton of its retraining runs."""
        return self._space(trial.space.name, trial.final_skeleton)

    def _space(self, name: str, skeleton: str | None) -> Space:
        key = (name, skeleton)
        if key not in self._spaces:
            self._spaces[key] = load_space(*key)
        return self._spaces[key]

    def shape(self, data: DataConfig) -> DataShape:
        """Return the shape of the images of a data set."""
        return self._shapes.of(data)


def _section(key: str) -> str:
    """Return a key, or the section for a key of an augmentation, whose keys belong together."""
    section = key.rpartition(".")[0]
    return section if section in ("data.augment", "retrain.augment") else key


def _unsampled(trial: TrialConfig, values: EffectiveValues) -> str:
    if trial.relaxation.unsampled != "auto":
        return trial.relaxation.unsampled
    outputs = {cell.output for cell in values.space(trial).cells.values()}
    usual = {"last": "as-numbers", "concat": "left-out"}
    return usual[outputs.pop()] if len(outputs) == 1 else "auto"


def _augment(
    config: AugmentConfig, key: str, trial: TrialConfig, values: EffectiveValues
) -> object:
    shape = values.shape(trial.data)
    streams = shape.streams and key == "retrain.augment"
    side, mirrors = shape.image_size, shape.mirrors
    return fitted(config, side, mirrors=mirrors, key=key, streams=streams).to_dict()


_EFFECTIVE: Mapping[str, Callable[[TrialConfig, EffectiveValues], object]] = {
    "space.init_channels": lambda trial, values: (
        trial.space.init_channels or values.space(trial).skeleton.init_channels
    ),
    "space.skeleton": lambda trial, values: values.space(trial).skeleton.layout,
    "space.cells": lambda trial, values: trial.space.cells or values.space(trial).skeleton.cells,
    "data.train_images": lambda trial, values: values.shape(trial.data).n_train,
    "data.resolution": lambda trial, values: values.shape(trial.data).image_size,
    "data.augment": lambda trial, values: _augment(
        trial.data.augment, "data.augment", trial, values
    ),
    "relaxation.init": lambda trial, values: initialization(trial.relaxation)[0],
    "relaxation.init_std": lambda trial, values: initialization(trial.relaxation)[1],
    "relaxation.weights": lambda trial, values: trial.relaxation.weights or trial.relaxation.kind,
    "relaxation.unsampled": _unsampled,
    "retrain.skeleton": lambda trial, values: values.final_space(trial).skeleton.layout,
    "retrain.init_channels": lambda trial, values: (
        trial.retrain.init_channels or values.final_space(trial).final_size[0]
    ),
    "retrain.cells": lambda trial, values: (
        trial.retrain.cells or values.final_space(trial).final_size[1]
    ),
    "retrain.augment": lambda trial, values: _augment(
        trial.retrain.augment, "retrain.augment", trial, values
    ),
}
"""By key or section: takes a trial and returns the effective value."""
