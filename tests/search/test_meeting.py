"""Where threads wait for one another: groups, turns, errors, and those who leave."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from tune_nas.search.together.rendezvous import Rendezvous

Groups = list[list[int]]


def doubling(groups: Groups) -> Rendezvous[int, int]:
    """Return a meeting that doubles numbers and notes the groups that it was asked for."""

    def answer(group: Sequence[int]) -> list[int]:
        if 13 in group:
            raise ValueError("not thirteen")
        groups.append(sorted(group))
        return [2 * each for each in group]

    return Rendezvous(answer)


def at_once(
    meeting: Rendezvous[int, int], works: Sequence[Callable[[], list[int]]]
) -> list[object]:
    """Run works in threads, all present from the beginning; return what they give or raise."""
    begin = threading.Barrier(len(works))

    def attend(work: Callable[[], list[int]]) -> list[int]:
        with meeting.attended():
            begin.wait(timeout=10)
            return work()

    with ThreadPoolExecutor(len(works)) as pool:
        futures = [pool.submit(attend, work) for work in works]
        return [future.exception(timeout=10) or future.result() for future in futures]


def test_questions_of_a_kind_are_answered_together_each_by_its_own_answer() -> None:
    groups: Groups = []
    meeting = doubling(groups)
    asked = [[1, 2, 3], [10, 20, 30], [100, 200, 300]]
    works = [lambda own=own: [meeting.ask("a", each) for each in own] for own in asked]
    assert at_once(meeting, works) == [[2, 4, 6], [20, 40, 60], [200, 400, 600]]
    assert groups == [[1, 10, 100], [2, 20, 200], [3, 30, 300]]


def test_one_that_is_a_question_ahead_is_caught_up_with() -> None:
    groups: Groups = []
    meeting = doubling(groups)
    kinds = "abababab"

    def work(own: int, first: int) -> list[int]:
        return [meeting.ask(kind, own) for kind in kinds[first:]]

    works = [
        lambda own=own, first=first: work(own, first) for own, first in ((1, 0), (2, 0), (3, 1))
    ]
    at_once(meeting, works)
    assert groups == [[1, 2]] + [[1, 2, 3]] * 7


def test_a_group_that_never_meets_the_others_gets_its_turn() -> None:
    groups: Groups = []
    meeting = doubling(groups)
    works = [
        *(lambda own=own: [meeting.ask("many", own) for _ in range(40)] for own in (1, 2, 3)),
        lambda: [meeting.ask("single", 9) for _ in range(8)],
    ]
    at_once(meeting, works)
    ends = max(place for place, group in enumerate(groups) if group == [9])
    assert ends < 40  # of 48; as the last of all it would be 47
    assert groups.count([1, 2, 3]) == 40 and groups.count([9]) == 8


def test_an_error_reaches_those_who_asked_and_nobody_else() -> None:
    groups: Groups = []
    meeting = doubling(groups)
    works = [
        lambda: [meeting.ask("a", 13)],
        lambda: [meeting.ask("a", 1)],
        lambda: [meeting.ask("b", 2), meeting.ask("b", 3)],
    ]
    first, second, third = at_once(meeting, works)
    assert isinstance(first, ValueError) and isinstance(second, ValueError)
    assert third == [4, 6]


def test_nobody_waits_for_one_who_has_left_or_is_alone() -> None:
    groups: Groups = []
    meeting = doubling(groups)
    works = [
        lambda: [meeting.ask("a", 1)],
        lambda: [meeting.ask("a", each) for each in (2, 3, 4)],
    ]
    assert at_once(meeting, works) == [[2], [4, 6, 8]]
    assert groups == [[1, 2], [3], [4]]
    with pytest.raises(ValueError, match="thirteen"), meeting.attended():
        meeting.ask("a", 13)
