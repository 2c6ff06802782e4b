"""Updates by epoch: switches, warm-up, several w steps for each of α, and α's own batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from searching import assert_resumes_to_the_bit, assert_same_state, finished, small_trial
from torch import Tensor

from tune_nas.errors import ConfigError
from tune_nas.library import with_overrides
from tune_nas.search import Search
from tune_nas.search.unrolled import SgdState
from tune_nas.search.update import Update

PLAIN: dict[str, Any] = {"data.augment.flip": False, "data.augment.crop_padding": 0}
MIXED = {"update.level": "mixed", "update.lambda": 2.0, "update.sequence": "weights-first"}
BILEVEL = {"update.level": "bilevel", "update.order": 2}


def switching(folder: Path, until: int, **overrides: Any) -> Search:
    """Bilevel of order 2 for so many epochs, then mixed."""
    phase = {"until": until, "set": {"level": "bilevel", "order": 2, "sequence": "alphas-first"}}
    return Search(small_trial(folder, **{**MIXED, "update.phases": [phase], **overrides}))


def own_state(search: Search) -> dict[str, Any]:
    """What the rest of a search depends on, its trial apart."""
    return {key: value for key, value in search.state_dict().items() if key != "trial"}


def test_a_switch_at_epoch_0_is_the_second_method_alone(tmp_path: Path) -> None:
    switched = switching(tmp_path, 0)
    while not switched.done:
        switched.run_epoch()
    alone = finished(small_trial(tmp_path, **MIXED))
    assert_same_state(own_state(switched), own_state(alone))


def test_a_switch_is_the_first_method_then_the_second_from_where_it_has_come_to(
    tmp_path: Path,
) -> None:
    switched = switching(tmp_path, 1)
    first, second = (Search(small_trial(tmp_path, **keys)) for keys in (BILEVEL, MIXED))
    first.run_epoch()
    switched.run_epoch()
    assert_same_state(own_state(switched), own_state(first))
    second.load_state_dict({**first.state_dict(), "trial": second.trial.to_dict()})
    for search in (switched, second):
        while not search.done:
            search.run_epoch()
    assert_same_state(own_state(switched), own_state(second))


def test_a_kill_on_either_side_of_a_switch_changes_nothing(tmp_path: Path) -> None:
    trial = switching(tmp_path, 1, **{"update.warmup": 1}).trial
    assert_resumes_to_the_bit(trial, tmp_path)


def test_while_w_warms_up_it_is_a_search_of_w_alone(tmp_path: Path) -> None:
    warm = Search(small_trial(tmp_path, **{"update.warmup": 2}))
    alone = Search(
        small_trial(tmp_path, **{"update.level": "none", "selection.kind": "perturbation"})
    )
    drawn = {name: alpha.detach().clone() for name, alpha in warm.alphas.items()}
    for _ in range(2):
        warm.run_epoch()
        alone.run_epoch()
    for key in ("supernet", "alphas", "optimisers", "draws", "train_batches", "valid_batches"):
        assert_same_state(warm.state_dict()[key], alone.state_dict()[key], key)
    assert all(torch.equal(alpha, drawn[name]) for name, alpha in warm.alphas.items())
    warm.run_epoch()
    assert not any(torch.equal(alpha, drawn[name]) for name, alpha in warm.alphas.items())


@pytest.mark.parametrize("sequence", ["simultaneous", "weights-first", "alphas-first"])
def test_w_steps_as_often_as_it_is_told_for_each_step_of_alpha(
    sequence: str, tmp_path: Path
) -> None:
    keys = {"update.weight_steps": 3, "schedule.steps_per_epoch": 4, "update.sequence": sequence}
    search = Search(small_trial(tmp_path, **keys))
    steps = ""
    step_weights, step_alphas = search.optimizers.step_weights, search.optimizers.step_alphas

    def weights(gradients: Any) -> None:
        nonlocal steps
        steps += "w"
        step_weights(gradients)

    def alphas(gradients: Any) -> None:
        nonlocal steps
        steps += "a"
        step_alphas(gradients)

    search.optimizers.step_weights = weights  # type: ignore[method-assign]
    search.optimizers.step_alphas = alphas  # type: ignore[method-assign]
    search.run_epoch()
    assert steps == ("wawwwa" if sequence == "weights-first" else "awwwaw")


def one_step(search: Search) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Take one step without moving; return w's images, α's images and α's gradient."""
    seen: list[Any] = []
    update = Update(search.trial.update, search.objective)
    train = search._train.next()
    valid = search._valid.next() if update.needs_valid else None
    update.step(
        train,
        valid,
        step_weights=lambda gradients: None,
        step_alphas=seen.append,
        sgd=lambda: SgdState(0.1, 0.0, 0.0, False, [None] * 99),
    )
    batch = train if valid is None else valid
    search.supernet.train()
    loss = F.cross_entropy(
        search.supernet(batch[0], search.relaxation.weights(search.alphas)), batch[1]
    )
    truth = list(torch.autograd.grad(loss, list(search.alphas.values())))
    for found, expected in zip(seen[0], truth, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    return train[0], batch[0], truth


@pytest.mark.parametrize("batch", ["same", "other"])
@pytest.mark.parametrize("part", ["train", "all"])
def test_single_level_has_the_same_batch_for_alpha_or_another_of_the_same_images(
    batch: str, part: str, tmp_path: Path
) -> None:
    keys = {
        **PLAIN,
        "update.level": "single",
        "update.sequence": "simultaneous",
        "update.alpha_batch": batch,
        "data.single_level": part,
        "runtime.dtype": "float64",
    }
    search = Search(small_trial(tmp_path, **keys))
    own, other, _ = one_step(search)
    assert torch.equal(own, other) == (batch == "same")
    half = search.data.train if part == "train" else search.data.all_train
    assert len(half) == {"train": 16, "all": 32}[part]
    known = {
        tuple(image.flatten().tolist())
        for images, _ in search.data.evaluation_batches(half, 8)
        for image in images
    }
    assert all(tuple(image.flatten().tolist()) in known for image in torch.cat([own, other]))


def test_different_data_sets_are_the_two_halves(tmp_path: Path) -> None:
    keys = {**PLAIN, "update.sequence": "simultaneous", "runtime.dtype": "float64"}
    search = Search(small_trial(tmp_path, **keys))
    _, other, _ = one_step(search)
    known = {
        tuple(image.flatten().tolist())
        for images, _ in search.data.evaluation_batches(search.data.valid, 8)
        for image in images
    }
    assert all(tuple(image.flatten().tolist()) in known for image in other)


PHASE = {"until": 1, "set": {"level": "single"}}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "images of both": (
        {"data.single_level": "all", "update.phases": [PHASE]},
        "data.single_level is 'all', but update.level is 'single' in some epochs and 'bilevel' in "
        "others",
    ),
    "batches of both": (
        {"update.phases": [{"until": 1, "set": {"level": "single", "alpha_batch": "separate"}}]},
        "update.alpha_batch is 'separate' in some epochs, but update.level is 'bilevel' in others",
    ),
    "a path that moves at first": (
        {
            "relaxation.kind": "uniform-path",
            "update.level": "none",
            "update.phases": [PHASE],
            "selection.kind": "sampled",
        },
        "relaxation.kind is 'uniform-path', which has no α to move, but update.level is 'single'",
    ),
    "longer than the search": (
        {"update.phases": [{**PHASE, "until": 4}]},
        r"update.phases.0.until is 4, but the search has 3 epochs \(schedule.epochs\)",
    ),
    "all of the search": (
        {"update.warmup": 3},
        r"update.warmup is 3, as long as the search \(schedule.epochs\), so that α never moves",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_updates_that_make_no_sense_together_are_refused_in_one_line(
    case: str, tmp_path: Path
) -> None:
    changes, message = REFUSED[case]
    with pytest.raises(ConfigError, match=message) as caught:
        small_trial(tmp_path, **changes)
    assert "\n" not in str(caught.value)


def test_alpha_that_moves_at_first_may_be_read_at_the_end(tmp_path: Path) -> None:
    phase = {"until": 1, "set": {"level": "bilevel"}}
    trial = small_trial(tmp_path, **{"update.level": "none", "update.phases": [phase]})
    search = Search(trial)
    search.run_epoch()
    after = {name: alpha.detach().clone() for name, alpha in search.alphas.items()}
    search.run_epoch()
    assert all(torch.equal(alpha, after[name]) for name, alpha in search.alphas.items())
    with pytest.raises(ConfigError, match="never moves"):
        with_overrides(trial, {"update.phases": []})
