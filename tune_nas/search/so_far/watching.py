"""The genotypes that other selections would have, recorded while a search runs.

A selection that evaluates genotypes with w (``sampled``) has another one in every epoch, and no
later epoch has the w of that one. A search that others branch from therefore records them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import cast

from tune_nas.checkpoint import State
from tune_nas.config import TrialConfig
from tune_nas.search.metrics import Metrics
from tune_nas.search.selection import Selection, make_selection
from tune_nas.search.so_far.course import Course
from tune_nas.search.view import SearchControl

Seen = tuple[str, Metrics]
"""The genotype of an epoch as YAML, and the metrics of the selection."""


class Watching:
    """Records what the selections of other trials give after each epoch.

    Args:
        search: The search.
    """

    def __init__(self, search: SearchControl) -> None:
        self._search = search
        self._selections: dict[str, Selection] = {}
        self._seen: dict[str, list[Seen]] = {}

    def watch(self, trials: Iterable[TrialConfig]) -> None:
        """Watch for trials, from the first epoch on; those whose genotypes follow from α need none.

        Raises:
            ConfigError: If a selection does not fit the search.
        """
        own = Course(self._search.trial)
        for trial in trials:
            course = Course(trial)
            if not (course.reads_w and course.selection_differs(own)):
                continue
            key = key_of(course)
            if key not in self._selections:
                view = cast(SearchControl, _AsTrial(self._search, trial))
                self._selections[key] = make_selection(view)
                self._seen.setdefault(key, [])

    def after_epoch(self) -> None:
        """Record what the selections give now, in a search epoch."""
        for key, selection in self._selections.items():
            if len(self._seen[key]) == self._search.epoch - 1:  # else not seen from the start
                genotype = selection.genotype().to_yaml()
                self._seen[key].append((genotype, selection.metrics()))

    def state_dict(self) -> State:
        """Return the records as plain containers."""
        return {
            key: [[text, dict(found)] for text, found in own] for key, own in self._seen.items()
        }

    def load_state_dict(self, state: State) -> None:
        """Restore the records; a selection that was not watched from the start stays without."""
        empty: dict[str, list[Seen]] = {key: [] for key in self._selections}
        self._seen = {**empty, **seen_in(state)}


class _AsTrial:
    """A search as the search of another trial, which differs in its selection."""

    def __init__(self, search: SearchControl, trial: TrialConfig) -> None:
        self._search, self.trial = search, trial

    def __getattr__(self, name: str) -> object:
        return getattr(self._search, name)


def seen_in(state: State) -> dict[str, list[Seen]]:
    """Return the records of `Watching.state_dict`."""
    return {key: [(text, dict(found)) for text, found in own] for key, own in state.items()}


def key_of(course: Course) -> str:
    """Return what decides a selection, as text."""
    return json.dumps(course.selection, sort_keys=True)
