"""Checkpoints of a trial, newest first; artifacts come from the newest intact one."""

from functools import partial
from pathlib import Path

import pytest

from tune_nas.checkpoint import load_state, save_state
from tune_nas.errors import CheckpointError, StorageError
from tune_nas.sweep.runs.checkpoints import first_intact, list_checkpoints, newest_artifacts


def save(folder: Path, number: int, **files: str) -> Path:
    checkpoint = folder / f"checkpoint_{number:06d}"
    named = {f"{key}.csv": text for key, text in files.items()}
    save_state(checkpoint, {"epoch": number}, name="search.pt", files=named)
    return checkpoint


def test_the_newest_checkpoint_of_the_last_session_that_has_any(tmp_path: Path) -> None:
    first, second, third = (tmp_path / name for name in ("t", "t.1", "t.2"))
    save(first, 7, alphas="first\r\n")
    save(second, 0, alphas="old", decisions="d")
    newest = save(second, 1, alphas="new, ä\r\n")
    folders = [str(first), str(second), str(third)]  # the third session wrote none
    found = newest_artifacts(folders)
    assert found == {"alphas.csv": "new, ä\r\n".encode(), "decisions.csv": b"d"}

    (newest / "alphas.csv").write_text("cut")
    assert newest_artifacts(folders)["alphas.csv"] == b"old"
    (newest / "manifest.json").unlink()
    (second / "checkpoint_000000" / "manifest.json").write_text("[]")
    assert newest_artifacts(folders)["alphas.csv"] == b"first\r\n"
    assert newest_artifacts([]) == {}


def test_checkpoints_are_listed_by_number_from_the_last_session_on(tmp_path: Path) -> None:
    for session, names in (
        ("t", ("checkpoint_000003", "checkpoint_1000000", "checkpoint_999999")),
        ("t.1", ("checkpoint_000000", "checkpoint_tmp", "params.json", "checkpoint_000001.txt")),
        ("t.2", ()),
    ):
        for name in names:
            (tmp_path / session / name).mkdir(parents=True)
    folders = [str(tmp_path / session) for session in ("t", "t.1", "t.2", "never-began")]
    newest = ["t.1/checkpoint_000000", *(f"t/checkpoint_{n}" for n in ("1000000", "999999"))]
    expected = [f"{tmp_path}/{name}" for name in (*newest, "t/checkpoint_000003")]
    assert list(list_checkpoints(folders)) == expected
    assert list(list_checkpoints(folders[:1], before=999999)) == expected[-1:]


def test_the_newest_intact_checkpoint_is_loaded_and_each_damaged_one_is_told(
    tmp_path: Path,
) -> None:
    for number in (8, 9, 10):
        save(tmp_path, number)
    (tmp_path / "checkpoint_000010" / "search.pt").write_bytes(b"cut short")
    skipped: list[CheckpointError] = []
    load = partial(load_state, name="search.pt")
    found = first_intact(list_checkpoints([str(tmp_path)]), load, skipped.append)
    assert found == (f"{tmp_path}/checkpoint_000009", {"epoch": 9})
    assert ["checkpoint_000010" in str(error) for error in skipped] == [True]
    assert first_intact([], load, skipped.append) is None


def test_a_checkpoint_that_cannot_be_reached_is_not_taken_for_a_damaged_one(
    tmp_path: Path,
) -> None:
    skipped: list[CheckpointError] = []
    (tmp_path / "file").touch()
    for absent in ("gone", "gone/checkpoint_000001"):
        assert first_intact([f"file://{tmp_path}/{absent}"], str, skipped.append) is None
    assert len(skipped) == 2
    with pytest.raises(StorageError, match="cannot be fetched"):
        first_intact([f"file://{tmp_path}/file/checkpoint_000001"], str, skipped.append)
