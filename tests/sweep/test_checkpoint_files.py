"""Artifacts are read from the newest intact checkpoint; the state is not an artifact."""

from pathlib import Path

from tune_nas.checkpoint import save_state
from tune_nas.sweep.runs.checkpoint_files import newest_artifacts


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
