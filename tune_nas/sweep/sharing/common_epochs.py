"""The first epochs that trials have in common, and the fewest epochs in which all of them run."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from functools import cached_property

Course = Sequence[str]
"""A text for each epoch of a trial: those with equal texts are the same up to that epoch."""


class CommonEpochs:
    """How many first epochs each two of some trials have in common.

    "The same up to epoch e" is an equivalence for each e, so the trials form a tree. One that takes
    over the epochs of the earlier trial with which it has most in common runs no epoch that any
    other has run: no order and no choice of branches runs fewer. Trials with at least one common
    epoch are a family.

    Args:
        courses: The courses of the trials by id, in the order in which they run; empty for a trial
            that shares nothing.
    """

    def __init__(self, courses: Mapping[str, Course]) -> None:
        self._courses = courses
        self._families: dict[str, list[str]] = {}
        for name, course in courses.items():
            if course:
                self._families.setdefault(course[0], []).append(name)

    @property
    def any(self) -> bool:
        """Whether any two trials have an epoch in common."""
        return any(len(family) > 1 for family in self._families.values())

    def relatives(self, name: str) -> list[str]:
        """Return the ids of the other trials of a family, in the order in which they run."""
        course = self._courses[name]
        family = self._families[course[0]] if course else []
        return [other for other in family if other != name]

    def of(self, first: str, second: str) -> int:
        """Return the number of first epochs that two trials have in common."""
        one, other = self._courses[first], self._courses[second]
        epochs = range(min(len(one), len(other)))
        return bisect_left(epochs, True, key=lambda epoch: one[epoch] != other[epoch])

    @cached_property
    def taken_over(self) -> dict[str, int]:
        """The number of first epochs of each trial that trials before it run."""
        run: set[str] = set()
        taken: dict[str, int] = {}
        for name, course in self._courses.items():
            taken[name] = bisect_left(course, True, key=lambda text: text not in run)
            run |= set(course)
        return taken
