"""Seeds of passes: a step that was recorded is played again with the seeds that come next."""

from __future__ import annotations

import pytest
import torch

from tune_nas.search.rng import Draws, RngReplay

CPU = torch.device("cpu")


def step(draws: Draws) -> list[float]:
    """Two passes: the first has two purposes, and is run twice with the same seed."""
    first, second = draws.seed(), draws.seed()
    asked = [(first, "a"), (first, "b"), (second, "a"), (first, "a")]
    return [float(torch.rand((), generator=draws.generator(*each, CPU))) for each in asked]


def new_draws() -> Draws:
    return Draws(torch.Generator().manual_seed(5))


def test_a_seed_and_a_purpose_decide_what_is_drawn() -> None:
    found = step(new_draws())
    assert found[0] == found[3] and len(set(found)) == 3
    draws = new_draws()
    step(draws)
    assert not set(found) & set(step(draws))


def test_a_played_step_draws_what_a_step_as_written_would() -> None:
    draws, other = new_draws(), new_draws()
    truth = [step(draws) for _ in range(4)]
    with other.recording() as tape:
        assert step(other) == truth[0]
    player = RngReplay(tape)
    for expected in truth[1:]:
        player.seed_all(other.host)
        with other.playing(player):
            assert step(other) == expected
    assert torch.equal(draws.host.get_state(), other.host.get_state())
    assert step(draws) == step(other)  # neither records nor plays any more


def test_a_step_that_asks_for_something_else_is_no_step_to_play() -> None:
    draws = new_draws()
    with draws.recording() as tape:
        step(draws)
    player = RngReplay(tape)
    player.seed_all(draws.host)
    with draws.playing(player), pytest.raises(RuntimeError, match="not the same in each step"):
        draws.generator(draws.seed(), "b", CPU)
