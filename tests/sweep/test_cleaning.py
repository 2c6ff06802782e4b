"""Cleaning a storage: what goes, what stays, and that networks and genotypes still can be used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from stored_runs import store_run

from tune_nas.checkpoint import load_state, save_state
from tune_nas.errors import CheckpointError, StorageError
from tune_nas.files import folder_bytes
from tune_nas.sweep.manage import cleaning
from tune_nas.sweep.manage.cleaning import OLD, OPTIMIZER, PAUSED, SUPERNET, clean, plan_cleaning
from tune_nas.sweep.runs.checkpoints import list_checkpoints, newest_artifacts
from tune_nas.sweep.runs.locking import locked
from tune_nas.sweep.runs.origin import find_origin
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.runs.storage import Storage

TRIALS = [
    ("search-00000", "finished", {"valid_accuracy": 80.0}),
    ("search-00001", "failed", {"valid_accuracy": 70.0}),
    ("search-00002", "finished", {"valid_accuracy": 75.0}),
    ("retrain-00000", "finished", {"test_accuracy": 90.0}),
]
MOMENTUM = 4096 * 4  # bytes


def write_checkpoint(folder: Path, name: str) -> None:
    state: dict[str, Any] = {
        "epoch": 1,
        "trial": {},
        "network": {"weight": torch.arange(4096.0)},
        "optimizer": {"state": {0: {"momentum_buffer": torch.ones(4096)}}, "param_groups": []},
    }
    files = {"genotype.yaml": "space: darts\n", "alphas.csv": "epoch\n1\n"}
    save_state(folder, state, name=name, files=files)
    (folder / "reports.json").write_text("[]")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A finished sweep with two checkpoints of each trial."""
    store_run(tmp_path, "x", TRIALS, status="finished")
    for trial_id, _, _ in TRIALS:
        phase = trial_id.partition("-")[0]
        for number in (3, 4):
            folder = tmp_path / "x" / phase / trial_id / f"checkpoint_{number:06d}"
            write_checkpoint(folder, f"{phase}.pt")
    return tmp_path


def names(root: Path, trial_id: str) -> list[str]:
    return sorted(path.name for path in (root / "x").glob(f"*/{trial_id}/*"))


def kinds(root: Path, **more: bool) -> list[tuple[str, str]]:
    parts = plan_cleaning(str(root), ["x"], **more).parts
    return sorted((part.kind, part.trial_id) for part in parts)


def test_old_checkpoints_and_optimizer_states_go(root: Path) -> None:
    before = folder_bytes(root)
    plan = plan_cleaning(str(root), ["x"])
    assert sorted((part.kind, part.trial_id) for part in plan.parts) == [
        (OLD, "retrain-00000"),
        (OLD, "search-00000"),
        (OLD, "search-00002"),
        (OPTIMIZER, "retrain-00000"),
    ]
    sizes = {part.trial_id: part.size for part in plan.parts if part.kind == OPTIMIZER}
    assert sizes == {"retrain-00000": MOMENTUM}
    assert before == folder_bytes(root)  # a plan removes nothing
    freed = clean(str(root), plan)
    after = folder_bytes(root) - (root / "x" / ".lock").stat().st_size
    assert freed == before - after
    assert names(root, "search-00000") == ["checkpoint_000004"]
    assert names(root, "search-00001") == ["checkpoint_000003", "checkpoint_000004"]  # it failed
    (newest,) = names(root, "retrain-00000")
    checkpoint = root / "x" / "retrain" / "retrain-00000" / newest
    state = load_state(checkpoint, name="retrain.pt")
    assert "optimizer" not in state and torch.equal(
        state["network"]["weight"], torch.arange(4096.0)
    )
    assert (checkpoint / "reports.json").read_text() == "[]"
    record = Records(Storage(root / "x"), "retrain")["retrain-00000"]
    assert list(newest_artifacts(record.folders)) == ["alphas.csv"]
    assert plan_cleaning(str(root), ["x"]).parts == []


def test_checkpoints_that_were_kept_for_other_trials_go(root: Path) -> None:
    write_checkpoint(root / "x" / "search" / "search-00000" / "kept_000002", "search.pt")
    plan = plan_cleaning(str(root), ["x"])
    assert sum(part.trial_id == "search-00000" for part in plan.parts) == 2
    clean(str(root), plan)
    assert names(root, "search-00000") == ["checkpoint_000004"]


def test_supernets_go_only_if_that_is_meant(root: Path) -> None:
    clean(str(root), plan_cleaning(str(root), ["x"]))
    assert kinds(root) == []
    assert kinds(root, supernets=True) == [(SUPERNET, "search-00000"), (SUPERNET, "search-00002")]
    clean(str(root), plan_cleaning(str(root), ["x"], supernets=True))
    left = root / "x" / "search" / "search-00000" / "checkpoint_000004"
    assert sorted(path.name for path in left.iterdir()) == [
        "alphas.csv",
        "genotype.yaml",
        "manifest.json",
        "reports.json",
    ]
    record = Records(Storage(root / "x"), "search")["search-00000"]
    assert list(newest_artifacts(record.folders)) == ["alphas.csv"]
    with (
        pytest.warns(UserWarning, match=r"search\.pt is missing"),
        pytest.raises(CheckpointError, match="no whole checkpoint among the 1 in"),
    ):
        find_origin("x/search-00000", str(root))


def test_the_newest_intact_checkpoint_is_kept(root: Path) -> None:
    damaged = root / "x" / "search" / "search-00000" / "checkpoint_000004" / "search.pt"
    damaged.write_bytes(damaged.read_bytes()[:-10])
    damaged = root / "x" / "retrain" / "retrain-00000" / "checkpoint_000004" / "retrain.pt"
    damaged.write_bytes(b"")
    (root / "x" / "search" / "search-00002" / "checkpoint_000004" / "manifest.json").unlink()
    (root / "x" / "search" / "search-00002" / "checkpoint_000003" / "manifest.json").unlink()
    clean(str(root), plan_cleaning(str(root), ["x"]))
    assert names(root, "search-00000") == ["checkpoint_000003"]
    assert names(root, "retrain-00000") == ["checkpoint_000005"]
    # Without a manifest nothing is known about a checkpoint, e.g. that of a custom task.
    assert names(root, "search-00002") == ["checkpoint_000003", "checkpoint_000004"]


@pytest.mark.parametrize("dies_at", ["save_state", "sync_folder"])
def test_a_kill_leaves_the_network(
    root: Path, monkeypatch: pytest.MonkeyPatch, dies_at: str
) -> None:
    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    plan = plan_cleaning(str(root), ["x"])
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(cleaning, dies_at, die)
        clean(str(root), plan)
    folder = str(root / "x" / "retrain" / "retrain-00000")
    newest = next(list_checkpoints([folder]))
    state = load_state(Path(newest), name="retrain.pt")
    assert torch.equal(state["network"]["weight"], torch.arange(4096.0))
    clean(str(root), plan_cleaning(str(root), ["x"]))
    assert len(names(root, "retrain-00000")) == 1
    assert plan_cleaning(str(root), ["x"]).parts == []


def test_states_of_paused_candidates_go(root: Path) -> None:
    folder = root / "x" / "search" / "search-00000" / "candidates" / "3-5"
    write_checkpoint(folder, "candidate.pt")
    assert (PAUSED, "search-00000") in kinds(root)
    clean(str(root), plan_cleaning(str(root), ["x"]))
    assert names(root, "search-00000") == ["checkpoint_000004"]


def test_only_what_has_ended_is_cleaned(root: Path) -> None:
    plan = plan_cleaning(str(root), ["x"])
    running = store_run(root, "y", TRIALS)
    assert plan_cleaning(str(root), ["y"]).skipped == {"y": "it has not finished"}
    file = root / "x" / "state.json"
    state = json.loads(file.read_text())
    file.write_text(json.dumps({**state, "status": "running"}))  # it was resumed meanwhile
    assert clean(str(root), plan) == 0
    file.write_text(json.dumps(state))
    with locked(running), locked_x(root), pytest.raises(StorageError, match="'x' is running"):
        clean(str(root), plan)
    assert names(root, "search-00000") == ["checkpoint_000003", "checkpoint_000004"]
    with pytest.raises(StorageError, match="is remote; only a folder can be cleaned"):
        plan_cleaning("mock://bucket", ["x"])


def test_a_damaged_run_does_not_keep_others_from_being_cleaned(root: Path) -> None:
    store_run(root, "y", TRIALS, status="finished")
    record = root / "y" / "search" / "records" / "search-00000.json"
    record.write_bytes(b"\xff{")
    plan = plan_cleaning(str(root), ["y", "x"])
    assert {part.name for part in plan.parts} == {"x"}
    assert list(plan.skipped) == ["y"]
    assert f"{record} cannot be read" in plan.skipped["y"]


def locked_x(root: Path) -> Any:
    from tune_nas.sweep.runs.locking import locked_folder

    return locked_folder(Storage(root / "x"), "x")


def test_a_trial_that_the_user_stopped_can_still_continue(root: Path) -> None:
    records = Records(Storage(root / "x"), "search")
    with records.changing("search-00000") as record:
        record.reason = "stopped by the user after epoch 3 of 50"
    assert ("old checkpoints", "search-00000") not in kinds(root)
