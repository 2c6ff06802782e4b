"""The tree of what trials have in common: against all distinct beginnings, and by hand."""

from __future__ import annotations

import itertools
import random

import pytest

from tune_nas.sweep.sharing.common_epochs import CommonEpochs


def common_prefix(first: str, second: str) -> int:
    pairs = zip(first, second, strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def common_of(words: list[str]) -> CommonEpochs:
    """Each letter is an epoch: words with a common start are searches that are the same so far."""
    courses = [[word[: end + 1] for end in range(len(word))] for word in words]
    return CommonEpochs({f"{n}": course for n, course in enumerate(courses)})


def test_nested_prefixes_and_twins_by_hand() -> None:
    common = common_of(["aaab", "aaac", "abcd", "xxxx", "aaac", "aaad", "x", ""])
    taken = {"0": 0, "1": 3, "2": 1, "3": 0, "4": 4, "5": 3, "6": 1, "7": 0}
    assert common.taken_over == taken
    assert common.relatives("1") == ["0", "2", "4", "5"]
    assert common.relatives("6") == ["3"] and common.relatives("7") == []
    assert common.of("1", "4") == 4 and common.of("4", "1") == 4
    assert common.of("0", "3") == 0 and common.of("2", "5") == 1 and common.of("0", "7") == 0
    assert common.any and not common_of(["a", "b", ""]).any


@pytest.mark.parametrize("seed", range(20))
def test_the_fewest_epochs(seed: int) -> None:
    """The epochs that run are the distinct beginnings: no plan can run fewer."""
    draw = random.Random(seed)
    words = ["".join(draw.choices("ab", k=draw.randint(1, 6))) for _ in range(12)]
    common = common_of(words)
    run = sum(map(len, words)) - sum(common.taken_over.values())
    assert run == len({word[:end] for word in words for end in range(1, len(word) + 1)})
    for one, other in itertools.permutations(range(12), 2):
        assert common.of(str(one), str(other)) == common_prefix(words[one], words[other])
