"""The hook after a step of α: once per step, with α before and after, and the seeds of its passes.

The truth for the seeds is what the objective gave to the passes that computed ∇α.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from searching import tiny_trial
from torch import Tensor

from tune_nas.search import Search
from tune_nas.search.objective import SeededBatch
from tune_nas.search.relaxation import AlphaStep

SEQUENCES = ["simultaneous", "weights-first", "alphas-first"]
# level, λ, order, and the number of passes whose gradients move α
LEVELS: list[tuple[str, float | None, int, int]] = [
    ("single", None, 1, 1),
    *(("bilevel", None, order, 1) for order in (1, 2)),
    *(("mixed", 0.0, order, 1) for order in (1, 2)),
    *(("mixed", 1.0, order, 2) for order in (1, 2)),
]


def recording_search(**changes: Any) -> tuple[Search, list[Any]]:
    """Return a search of two steps, and the events of its steps: passes, steps of α, hooks."""
    trial = tiny_trial(
        **{"relaxation.kind": "gumbel", "schedule.epochs": 1, "schedule.steps_per_epoch": 2},
        **changes,
    )
    search = Search(trial)
    events: list[Any] = []
    search.relaxation.adjusts_alphas = True
    objective_type = type(search.objective)
    mixing = objective_type.mixing

    def seen_mixing(self: Any, batch: Any, *, for_alphas: bool = True) -> Any:
        assert isinstance(batch, SeededBatch)
        events.append(("pass", batch.seed, for_alphas))
        return mixing(self, batch, for_alphas=for_alphas)

    def hook(step: AlphaStep) -> None:
        assert not torch.is_grad_enabled()
        events.append(("hook", step, {n: a.detach().clone() for n, a in step.alphas.items()}))

    move = search.optimizers.step_alphas

    def step_alphas(gradients: Any) -> None:
        before = {n: a.detach().clone() for n, a in search.alphas.items()}
        move(gradients)
        events.append(("step", before))

    object.__setattr__(search.objective, "mixing", seen_mixing.__get__(search.objective))
    search.relaxation.adjust_alphas = hook  # type: ignore[method-assign]
    search.optimizers.step_alphas = step_alphas  # type: ignore[method-assign]
    return search, events


@pytest.mark.parametrize(("level", "lam", "order", "wanted"), LEVELS)
@pytest.mark.parametrize("sequence", SEQUENCES)
def test_the_hook_is_called_once_per_step_with_the_seeds_of_its_passes(
    sequence: str, level: str, lam: float | None, order: int, wanted: int
) -> None:
    update = {"level": level, "lambda": lam, "order": order, "sequence": sequence}
    search, events = recording_search(update=update)
    search.run_epoch()
    kinds = [event[0] for event in events]
    hooks = [at for at, kind in enumerate(kinds) if kind == "hook"]
    assert len(hooks) == 2
    start = 0
    for at in hooks:
        assert kinds[at - 1] == "step"  # right after the step of α, and only then
        step, after = events[at][1], events[at][2]
        before = events[at - 1][1]
        for name in search.alphas:
            assert torch.equal(step.before[name], before[name])
            assert not torch.equal(before[name], after[name])
            assert step.alphas[name] is search.alphas[name]
        assert step.betas == {}
        passes = [event[1:] for event in events[start:at] if event[0] == "pass"]
        of_alphas = {seed for seed, for_alphas in passes if for_alphas}
        assert len(step.seeds) == len(set(step.seeds)) == wanted
        assert set(step.seeds) <= of_alphas
        if order == 1:
            assert set(step.seeds) == of_alphas
        start = at + 1


def test_a_sample_can_be_redrawn_from_the_seeds() -> None:
    """With α before the step, seed and generators give the path that the pass ran."""
    update = {"level": "bilevel", "sequence": "alphas-first"}
    search, events = recording_search(update=update)
    ran: list[Tensor] = []
    forward = search.supernet.forward

    def seen(images: Tensor, mixing: Any) -> Tensor:
        ran.append(mixing["normal"].operations.detach().clone())
        found: Tensor = forward(images, mixing)
        return found

    search.supernet.forward = seen  # type: ignore[method-assign]
    search.run_epoch()
    hooks = [event[1] for event in events if event[0] == "hook"]
    # per step: the pass of α, then that of w; after the epoch, those of the validation
    for step, path in zip(hooks, (ran[0], ran[2]), strict=True):
        again = search.relaxation.weights(step.before, None, step.seeds[0], step.generators)
        assert torch.equal(again["normal"].operations, path)


def test_what_the_hook_writes_is_the_alpha_of_the_next_pass_and_of_the_checkpoint() -> None:
    search, _ = recording_search(update={"level": "bilevel", "sequence": "alphas-first"})

    def halve(step: AlphaStep) -> None:
        for name, alpha in step.alphas.items():
            alpha.copy_(step.before[name] + 1.0)

    start = search.alphas["normal"].detach().clone()
    search.relaxation.adjust_alphas = halve  # type: ignore[method-assign]
    search.run_epoch()
    assert torch.equal(search.alphas["normal"].detach(), start + 1.0 + 1.0)
    assert search.alphas["normal"].requires_grad


def test_without_the_flag_the_hook_is_not_called() -> None:
    search, events = recording_search(update={"level": "bilevel"})
    search.relaxation.adjusts_alphas = False
    search.run_epoch()
    assert [kind for kind, *_ in events].count("step") == 2
    assert not any(kind == "hook" for kind, *_ in events)


def test_steps_of_w_alone_call_no_hook() -> None:
    search, events = recording_search(**{"update.weight_steps": 2})
    search.run_epoch()
    assert sum(kind == "hook" for kind, *_ in events) == 1
