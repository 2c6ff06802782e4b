"""The course of a search: what decides it, epoch by epoch; and how long two are the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from functools import cached_property

from tune_nas.config import TrialConfig
from tune_nas.search.selection import total_epochs
from tune_nas.search.so_far.deciding_keys import (
    Values,
    has_own_parts,
    is_in,
    search_values,
    within,
)
from tune_nas.search.so_far.epoch_settings import GENOTYPES_OF_W, from_the_start, of_epoch


class Course:
    """What decides a search from its start to each of its epochs.

    Its attributes raise a ConfigError if the trial's space cannot be loaded.

    Args:
        trial: The trial.
    """

    def __init__(self, trial: TrialConfig) -> None:
        self.trial = trial
        is_search = trial.strategy is None and trial.start_from is None
        self._is_resolved = is_search and not trial.probes and not has_own_parts(trial)

    @cached_property
    def values(self) -> Values:
        """The values of all keys that may decide the search, and what its probes report."""
        return search_values(self.trial, reports=bool(self.trial.probes))

    @property
    def search_epochs(self) -> int:
        """Number of search epochs of the schedule."""
        return self.trial.schedule.epochs

    @cached_property
    def whole(self) -> str:
        """A digest of everything that decides the search to its end."""
        return _digest("", self.values)

    @cached_property
    def prefixes(self) -> tuple[str, ...]:
        """A digest of everything that decides the search up to each of its search epochs.

        Searches whose digests of epoch e are equal are the same up to the end of e.
        """
        if not self._is_resolved:
            return (self.whole,)
        found, before = [], _digest("", from_the_start(self.trial, self.values))
        for epoch in range(self.search_epochs):
            before = _digest(before, self._of(epoch))
            found.append(before)
        return tuple(found)

    def shared_with(self, other: Course, *, watched: bool = False) -> int:
        """Return the number of first epochs in which two searches are the same.

        Args:
            other: The other course.
            watched: See `shared_epochs`.
        """
        if self.whole == other.whole:
            return 0 if self.trial.strategy is not None else total_epochs(self.trial)
        if not (self._is_resolved and other._is_resolved):
            return 0
        if not watched and self.selection_differs(other) and self.reads_w | other.reads_w:
            return 0
        pairs = zip(self.prefixes, other.prefixes, strict=False)
        return next(
            (epoch for epoch, (own, its) in enumerate(pairs) if own != its),
            min(self.search_epochs, other.search_epochs),
        )

    @property
    def reads_w(self) -> bool:
        """Whether the genotypes of search epochs depend on w, which no later epoch has."""
        return self.trial.selection.kind in GENOTYPES_OF_W

    def selection_differs(self, other: Course) -> bool:
        """Return whether two searches select in different ways."""
        return self.selection != other.selection

    @property
    def selection(self) -> Values:
        """The values of the keys that decide the selection."""
        return within(self.values, ("selection",))

    def differing(self, other: Course, epoch: int) -> list[str]:
        """Return the keys that differ and matter in an epoch (0-based), the first such one."""
        keys = [key for key, value in self.values.items() if other.values.get(key) != value]
        keys += [key for key in other.values if key not in self.values]
        if not (self._is_resolved and other._is_resolved):
            return keys
        named = tuple(_labels(self._up_to(epoch), other._up_to(epoch)))
        return [key for key in keys if is_in(key, named)] or keys

    def _up_to(self, epoch: int) -> Values:
        own = self._of(epoch) if epoch < self.search_epochs else {"selection": self.selection}
        return {**from_the_start(self.trial, self.values), **own}

    def _of(self, epoch: int) -> Values:
        return of_epoch(self.trial, self.values, epoch)


def shared_epochs(first: TrialConfig, second: TrialConfig, *, watched: bool = False) -> int:
    """Return the number of first epochs in which two trials are, bit for bit, the same search.

    w, α, the states of optimizers and random generators, and the metrics of w and α are then equal.
    It is 0 if they differ from the start, at most the smaller number of search epochs, and the
    number of all epochs, with those of tuning, if nothing that decides differs. Black-box searches
    share nothing.

    Args:
        first: A trial.
        second: Another one; the order does not matter.
        watched: Whether the search to branch from watches for the other one (`Search.watch`).
            Without it, a trial whose genotypes depend on w in each epoch (``sampled``) shares
            nothing with one that selects in another way: its reports could not be made afterwards.

    Raises:
        ConfigError: If the space of a trial cannot be loaded.
    """
    return Course(first).shared_with(Course(second), watched=watched)


def _labels(one: Values, other: Values) -> Iterator[str]:
    for label in {**one, **other}:
        if one.get(label) != other.get(label):
            yield label


def _digest(before: str, values: Values) -> str:
    text = json.dumps([before, values], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
