"""Records survive a power cut: what is synced and renamed, in which order."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tune_nas.config import TrialConfig
from tune_nas.sweep.jobs import Job
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.runs.storage import Storage

Calls = list[tuple[str, str]]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """The calls that change or sync a folder, each with its path, in order."""
    made: Calls = []
    fsync, mkdir, replace = os.fsync, os.mkdir, os.replace

    def noted_fsync(descriptor: int) -> None:
        made.append(("fsync", str(Path(f"/proc/self/fd/{descriptor}").readlink())))
        fsync(descriptor)

    def noted_mkdir(path: str, mode: int = 0o777) -> None:
        made.append(("mkdir", str(path)))
        mkdir(path, mode)

    def noted_replace(source: str, target: str) -> None:
        made.append(("rename", str(target)))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "mkdir", noted_mkdir)
    monkeypatch.setattr(os, "replace", noted_replace)
    return made


def test_a_record_is_synced_before_and_after_its_rename(tmp_path: Path, calls: Calls) -> None:
    root = tmp_path / "runs"
    records = Records(Storage(root / "s"), "search")
    records.start(Job("search-00000", "search", "search", TrialConfig()))
    folders = [root, root / "s", root / "s/search", root / "s/search/records"]
    made = [
        call
        for folder in folders
        for call in (("mkdir", str(folder)), ("fsync", str(folder.parent)))
    ]
    file = str(folders[-1] / "search-00000.json")
    temporary = f"{folders[-1]}/.search-00000.json.{os.getpid()}.tmp"
    written = [("fsync", temporary), ("rename", file), ("fsync", str(folders[-1]))]
    assert calls == [*made, *written]

    calls.clear()
    records.add("search-00000", {"epoch": 1})
    assert calls == written
    assert [path.name for path in folders[-1].iterdir()] == ["search-00000.json"]
