"""Searches branched from the checkpoint of another search, to the bit; which are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from branching_pairs import (
    EPOCHS,
    PT,
    SAMPLED,
    STAGES,
    WARM,
    assert_same_search,
    branch,
    pair,
    run_new,
    run_on,
)

from tune_nas.checkpoint import save_state
from tune_nas.errors import CheckpointError
from tune_nas.library import with_overrides
from tune_nas.search import Search
from tune_nas.search.so_far import shared_epochs


def test_what_depends_on_w_must_have_been_watched(tmp_path: Path) -> None:
    plain, sampled = pair(tmp_path, {}, SAMPLED)
    assert shared_epochs(plain, sampled) == shared_epochs(sampled, plain) == 0
    assert shared_epochs(plain, with_overrides(plain, PT)) == EPOCHS
    message = "has not watched for selection.kind 'sampled', whose genotypes depend on w"
    trunk = run_new(plain, 1)
    with pytest.raises(CheckpointError, match=message):
        branch(sampled, trunk, tmp_path / "one")
    # Watched too late, from a checkpoint on.
    late = Search(plain)
    late.watch([sampled])
    late.load(tmp_path / "one")
    trunk = late, run_on(late, trunk[1], 2)
    with pytest.raises(CheckpointError, match=message):
        branch(sampled, trunk, tmp_path / "late")


@pytest.mark.parametrize(
    ("base", "changes", "at"),
    [
        ({**WARM, "relaxation.edge_normalization": True}, {**PT, "update.level": "mixed"}, 2),
        ({"schedule.stages": STAGES}, {**SAMPLED, "schedule.stages.1.operations": 2}, 1),
        ({"relaxation.kind": "gumbel", **SAMPLED}, {**PT, "selection.sampled.genotypes": 2}, 3),
    ],
    ids=str,
)
def test_a_branch_run_to_its_end_is_a_search_from_the_start(
    base: dict[str, Any], changes: dict[str, Any], at: int, tmp_path: Path
) -> None:
    """Killed after each of its epochs, too."""
    one, other = pair(tmp_path, base, changes)
    whole = run_new(other)
    search, reports = branch(other, run_new(one, at, [other]), tmp_path / "trunk")
    assert search.epoch == at < shared_epochs(one, other, watched=True) + 1
    while not search.done:
        search.save(tmp_path / "killed")
        search = Search(other)
        search.load(tmp_path / "killed")
        run_on(search, reports, search.epoch + 1)
    assert_same_search(whole, (search, reports))


def test_a_branch_is_branched_from(tmp_path: Path) -> None:
    """Also by a trial that only the first search has watched for."""
    one, sampled = pair(tmp_path, {**WARM, "update.level": "mixed"}, SAMPLED)
    third = with_overrides(one, {"update.lambda": 2.0, **PT})
    trunk = run_new(one, 1, [sampled, third])
    search, reports = branch(third, trunk, tmp_path / "one")
    trunk = search, run_on(search, reports, 2)
    assert_same_search(run_new(one, 2), branch(one, trunk, tmp_path / "two"))
    assert_same_search(run_new(sampled, 1), branch(sampled, run_new(one, 1, [sampled]), tmp_path))


def test_a_search_that_stopped_early_ends_there_in_its_branch(tmp_path: Path) -> None:
    """The remark on its end is that of the last epoch, which a selection that tunes puts off."""
    stop = {"schedule.stop.skips": {"normal": 1}, "schedule.stop.patience": 2}
    one, other = pair(tmp_path, stop, {"retrain.init_channels": 8})
    trunk = run_new(one)
    assert trunk[0].epoch < EPOCHS and "ended" in trunk[1][-1]
    assert_same_search(run_new(other), branch(other, trunk, tmp_path / "same"))


def test_a_tuned_search_is_no_trunk_after_an_early_stop(tmp_path: Path) -> None:
    settled = {"schedule.stop.settled": 1, "optimizer.alphas.learning_rate": 1e-9}
    one, other = pair(tmp_path, {**settled, **PT}, {"selection.kind": "magnitude"})
    assert shared_epochs(one, other) == EPOCHS
    trunk = run_new(one, 2)
    assert_same_search(run_new(other), branch(other, trunk, tmp_path / "stopped"))
    run_on(*trunk, 3)
    with pytest.raises(CheckpointError, match="stopped after epoch 2: its selection has gone on"):
        branch(other, trunk, tmp_path / "tuned")


def test_a_search_that_is_not_the_same_is_refused_with_the_key(tmp_path: Path) -> None:
    one, other = pair(tmp_path, WARM, {"update.order": 2, "update.epsilon": 0.5})
    trunk = run_new(one, 3)
    with pytest.raises(CheckpointError) as refused:
        branch(other, trunk, tmp_path / "late")
    assert str(refused.value) == (
        "the checkpoint is of epoch 3 of another search, which is the same only for 2 epochs: "
        "update.order, update.epsilon matter from epoch 3 on"
    )
    seed = with_overrides(one, {"seed": 1, "update.order": 2})
    with pytest.raises(CheckpointError, match="for 0 epochs: seed matters from epoch 1 on"):
        branch(seed, trunk, tmp_path / "seed")
    longer = with_overrides(one, {"schedule.epochs": 6})
    with pytest.raises(CheckpointError, match=r"for 1 epoch: schedule.epochs matters from epoch 2"):
        branch(longer, trunk, tmp_path / "length")
    tuned = with_overrides(one, PT)
    trunk = run_new(tuned, EPOCHS + 1)
    with pytest.raises(CheckpointError, match=f"selection.kind, .* from epoch {EPOCHS + 1} on"):
        branch(one, trunk, tmp_path / "tuned")


def test_damaged_or_foreign_checkpoints_are_refused(tmp_path: Path) -> None:
    one, other = pair(tmp_path, {}, {"selection.max_skips": {"normal": 0}})
    search, reports = run_new(one, 2)
    search.save(tmp_path / "trunk")
    with pytest.raises(CheckpointError, match="has 1 results, but 2 epochs"):
        Search(other).branch(tmp_path / "trunk", reports[:1])
    Search(one).save(tmp_path / "first")
    with pytest.raises(CheckpointError, match="has run no epoch"):
        Search(other).branch(tmp_path / "first", [])
    with pytest.raises(CheckpointError, match="no whole checkpoint"):
        Search(other).branch(tmp_path / "nowhere", reports)
    state = search.state_dict()
    del state["choice_history"]
    save_state(tmp_path / "earlier", state, name="search.pt")
    with pytest.raises(CheckpointError, match="an earlier version began: none can branch"):
        Search(other).branch(tmp_path / "earlier", reports)
    resumed = Search(one)
    resumed.load(tmp_path / "earlier")  # but it goes on
    run_on(resumed, list(reports), 3)
    with pytest.raises(CheckpointError, match="an earlier version began"):
        branch(other, (resumed, [*reports, {}]), tmp_path / "resumed")
    path = Path(one.space.name)
    path.write_text(path.read_text().replace("stem_multiplier: 1", "stem_multiplier: 2"))
    with pytest.raises(CheckpointError, match="space 'small' is not as it was"):
        Search(other).branch(tmp_path / "trunk", reports[:2])
