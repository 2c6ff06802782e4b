"""A strategy is restored by its recorded calls, or refused in one line."""

from __future__ import annotations

import copy
import io
import math
from collections.abc import Callable

import pytest
import torch

from tune_nas.errors import CheckpointError
from tune_nas.strategies import History, Request, Strategy

Build = Callable[..., Strategy]


def ask(strategy: Strategy, history: History) -> Request | None:
    request = strategy.ask()
    history.record_ask(request)
    return request


def small(build: Build, seed: int = 0) -> tuple[Strategy, History]:
    """Return a search with a failed training and a pending one."""
    keys = {"levels": (1, 3), "halving": {"candidates": 3}}
    strategy, history = build("successive-halving", seed=seed, **keys), History()
    first, second, third = (ask(strategy, history) for _ in range(3))
    assert first is not None and second is not None and third is not None
    assert ask(strategy, history) is None and ask(strategy, history) is None
    for request, accuracy in ((second, math.nan), (first, 0.5)):
        strategy.tell(request, accuracy)
        history.record_tell(request, accuracy)
    return strategy, history


def test_the_events_are_plain(build: Build) -> None:
    strategy, history = small(build)
    genotypes = [str(standing.genotype) for standing in strategy.standings]
    assert history.to_state() == {
        "events": [
            ["ask", [0, 0, genotypes[0], 0, 1]],
            ["ask", [1, 1, genotypes[1], 0, 1]],
            ["ask", [2, 2, genotypes[2], 0, 1]],
            ["ask", None],  # asked twice, without a result in between
            ["tell", 1, None],
            ["tell", 0, 0.5],
        ]
    }
    assert len(history) == 6


def test_pending_requests_are_restored_and_not_asked_for_again(build: Build) -> None:
    strategy, history = small(build)
    file = io.BytesIO()
    torch.save(history.to_state(), file)
    file.seek(0)
    restored = build("successive-halving", levels=(1, 3), halving={"candidates": 3})
    again = History.restore(restored, torch.load(file, weights_only=True))
    assert again.to_state() == history.to_state()
    assert restored.standings == strategy.standings and restored.spent == 3
    assert restored.pending == strategy.pending and len(restored.pending) == 1
    for each in (strategy, restored):
        each.tell(each.pending[0], 0.7)
    after, same = strategy.ask(), restored.ask()
    assert after == same and after is not None
    assert (after.candidate, after.start, after.epochs) == (2, 1, 3)  # 0.7 > 0.5


def test_other_decisions_are_refused(build: Build) -> None:
    _, history = small(build)
    keys = {"levels": (1, 3), "halving": {"candidates": 3}}
    others = [
        build("successive-halving", seed=1, **keys),  # another genotype
        build("successive-halving", levels=(2, 3), halving={"candidates": 3}),  # other epochs
        build("successive-halving", levels=(1, 3), halving={"candidates": 2}),  # one job less
        build("successive-halving", levels=(1, 3), halving={"candidates": 4}),  # one more
    ]
    for other in others:
        with pytest.raises(CheckpointError) as error:
            History.restore(other, history.to_state())
        text = str(error.value)
        assert text.startswith("the checkpoint's decisions are not those of this version: call ")
        assert "\n" not in text


def test_damaged_states_are_refused(build: Build) -> None:
    _, history = small(build)
    good = history.to_state()
    damaged: list[object] = [None, {}, {"events": 3}, {"events": [["ask"]]}, {"events": [[]]}]
    for event in (["tell", 2, "much"], ["tell", 9, 0.5], ["tell", 0, 0.5], ["told", 2, 0.5], 3):
        damaged.append({"events": [*copy.deepcopy(good["events"]), event]})
    for state in damaged:
        fresh = build("successive-halving", levels=(1, 3), halving={"candidates": 3})
        with pytest.raises(CheckpointError, match=r"^the search's history is damaged: .*$"):
            History.restore(fresh, state)  # type: ignore[arg-type]
